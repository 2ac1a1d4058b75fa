"""How a gate starts: lengths and angles of its columns, and what that does to the first loads."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.fresh import GATE_INITS, start_gate


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_columns_start_as_the_kind_says(seed: int) -> None:
    drawn_DE = np.random.default_rng(seed).standard_normal((24, 24)) / np.sqrt(24)
    assert start_gate(drawn_DE, "normal") is drawn_DE
    equal_DE = start_gate(drawn_DE, "equal")
    assert np.linalg.norm(equal_DE, axis=0) == pytest.approx(np.ones(24))
    assert np.allclose(equal_DE * np.linalg.norm(drawn_DE, axis=0), drawn_DE)
    straight_DE = start_gate(drawn_DE, "orthonormal")
    assert np.abs(straight_DE.T @ straight_DE - np.eye(24)).max() < 1e-14
    # The first column keeps its direction, and each is turned out of the ones before it only.
    assert np.allclose(straight_DE[:, 0], equal_DE[:, 0])
    assert (np.diag(straight_DE.T @ drawn_DE) > 0).all()


def test_only_the_gate_changes_and_it_keeps_its_scale() -> None:
    layers = {
        kind: moe.MoELayer.init(32, 4, 8, dtype="float64", gate_scale=0.5, gate_init=kind)
        for kind in GATE_INITS
    }
    for kind, layer in layers.items():
        for name, array in layer.params.items():
            same = np.array_equal(array, layers["normal"].params[name])
            assert same == (name != "gate_DE" or kind == "normal")
        if kind != "normal":
            assert np.linalg.norm(layer.params["gate_DE"], axis=0) == pytest.approx([0.5] * 8)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="gate_init: got 'even', allowed is one of normal, equal"):
        moe.MoELayer.init(8, 4, 4, gate_init="even")
    with pytest.raises(ValueError, match="gate_init: got 'orthonormal' with 9 columns of 8"):
        moe.MoELayer.init(8, 4, 9, gate_init="orthonormal")
    with pytest.raises(ValueError, match=r"n_experts: got 16, allowed is a whole number in 1\.\.8"):
        moe.TrainSettings(d_model=8, gate_init="orthonormal")
    assert moe.MoELayer.init(8, 4, 9, "hash", gate_init="orthonormal").n_experts == 9


def test_equal_lengths_even_out_the_first_loads_and_leave_the_rest_of_their_spread() -> None:
    """Mean MaxVio of 40 seeds on random tokens: lower with equal lengths, and far from 0."""
    x_ND = np.random.default_rng(1).standard_normal((4000, 16)).astype(np.float32)
    found = {
        kind: [
            moe.metrics.max_vio(layer.route(x_ND).load)
            for layer in (moe.MoELayer.init(16, 1, 16, seed=s, gate_init=kind) for s in range(40))
        ]
        for kind in GATE_INITS
    }
    assert np.mean(found["normal"]) > 2 * np.mean(found["equal"])
    assert np.mean(found["equal"]) > np.mean(found["orthonormal"])
