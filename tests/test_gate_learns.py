"""A gate that the task's loss does not reach: `gate_learns` is what gradients say, and is said."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

import moe
from moe import router_check
from moe.errors import GateWarning

Run = Callable[..., CompletedProcess[str]]


def choices(name: str) -> list[dict[str, Any]]:
    """All settings of what decides it: k, and whether weights are renormalised."""
    if name == "sparsemixer":
        return [{"jitter_eps": 0.5}]  # by default a clear winner's weight is 1, and has no slope
    known = moe.make_router(name).options()
    ways = {"k": (1, 2), "renormalize": (False, True), "score": ("softmax", "sigmoid")}
    named = [key for key in ways if key in known]
    return [
        dict(zip(named, values, strict=True))
        for values in itertools.product(*(ways[key] for key in named))
    ]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is the first to train."""
    monkeypatch.setattr(router_check, "_WARNED", set())


@pytest.mark.parametrize("name", moe.ROUTERS)
def test_it_says_whether_there_is_a_gradient(name: str, rng: np.random.Generator) -> None:
    for options in choices(name):
        router = moe.make_router(name, **options)
        layer = moe.MoELayer.init(6, 5, 8, router=router, dtype="float64")
        y_ND, ctx = layer.forward(rng.standard_normal((30, 6)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GateWarning)
            _, grads = layer.backward(rng.standard_normal(y_ND.shape), ctx)
        steepest = float(np.abs(grads["gate_DE"]).max()) if "gate_DE" in grads else 0.0
        assert router.gate_learns == (steepest > 1e-9), (options, steepest)


DEAF = [("topk", {}), ("noisy_topk", {}), ("deepseek_v3", {}), ("deepseek_v4", {})]


@pytest.mark.parametrize(("name", "options"), DEAF)
def test_training_such_a_gate_warns_once(name: str, options: dict[str, Any]) -> None:
    router = moe.make_router(name, k=1, **options)
    layer = moe.MoELayer.init(6, 5, 8, router=router)
    y_ND, ctx = layer.forward(np.ones((3, 6)))
    words = rf"router '{name}': every weight is a constant.*no gradient from the task"
    with pytest.warns(GateWarning, match=words) as caught:
        layer.backward(y_ND, ctx)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.backward(y_ND, ctx)  # once is enough
        moe.MoELayer.init(6, 5, 8, router=router)(np.ones((3, 6)))


def test_nothing_is_said_of_gates_that_learn_or_of_no_gate() -> None:
    for name in moe.ROUTERS:
        words = router_check.gate_words(moe.make_router(name))
        assert words == "", name


def test_the_command_says_it_in_one_line(run_moe: Run) -> None:
    small = ["--steps", "2", "--batch", "32", "--d-model", "8", "--d-expert", "8", "--task"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = run_moe("train", *small, "spirals", "--router", "topk", "--k", "1", "--json")
    lines = [line for line in said.stderr.splitlines() if "no gradient from the task" in line]
    assert len(lines) == 1 and lines[0].startswith("moe: router 'topk'")
    assert len([json.loads(line) for line in said.stdout.splitlines()]) == 2
    assert "gradient" not in run_moe("train", *small, "spirals", "--k", "2", "--json").stderr
