"""Thousands of wrong arrays, routers and contexts: each is refused, in either backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.kernels.backend import BACKENDS
from tests.wrong_arrays import KINDS, Broken, good_layer, good_x

ROOT = Path(__file__).resolve().parent.parent
# Both backends are behind the same checks; only behind kernels a miss would end in a signal.
CASES = {"numba": 1000, "numpy": 300}


@pytest.mark.parametrize(
    ("backend", "n_cases"),
    [
        *((name, CASES[name]) for name in BACKENDS),
        *(pytest.param(name, 4000, marks=pytest.mark.soak) for name in BACKENDS),
    ],
)
def test_each_ends_in_a_value_error_and_none_in_a_signal_or_a_number(
    backend: str, n_cases: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.wrong_arrays", str(n_cases), "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | {"MOE_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert not found["numbers"] and not found["others"], found
    assert found["tried"] == found["refused"] == n_cases
    assert set(found["by kind"]) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("router", [*moe.ROUTERS, Broken(k=2)], ids=str)
def test_the_same_layers_compute_when_nothing_is_wrong(router: object) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        layer, x_ND = good_layer(rng, router), good_x(rng)
        y_ND, ctx = layer.forward(x_ND)
        dx_ND, grads = layer.backward(y_ND, ctx)
        assert np.isfinite(y_ND).all() and dx_ND.shape == y_ND.shape
        assert list(grads) == list(layer.params)
        assert layer.route(x_ND).n_tokens == len(layer(x_ND)) == len(x_ND)
