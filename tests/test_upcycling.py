"""Sparse upcycling: the layer starts as the dense one, exactly where that is possible."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.capacity import Capacity


def gap(layer: moe.MoELayer, dense: moe.DenseFFN, **options: object) -> float:
    """Largest difference on tokens of very different lengths."""
    x_ND = np.random.default_rng(9).standard_normal((200, dense.d_model))
    x_ND *= np.geomspace(0.01, 3, 200)[:, None]
    return float(np.abs(layer.forward(x_ND, **options)[0] - dense(x_ND)).max())  # type: ignore[arg-type]


EXACT = {
    "topk 1": ("topk", 1),
    "topk 2": ("topk", 2),
    "topk 4": ("topk", 4),
    "all experts": ("topk", 8),
    "noisy_topk": ("noisy_topk", 3),
    "gshard": ("gshard", 2),
    "deepseek_v3": ("deepseek_v3", 4),
    "groups": (moe.make_router("deepseek_v3", k=2, n_group=4, topk_group=2), 2),
    "deepseek_v4": ("deepseek_v4", 3),
    "scaled softmax": (moe.make_router("topk", k=2, scale=0.5), 2),
    "sigmoid": (moe.make_router("topk", k=3, score="sigmoid"), 3),
    "hash": ("hash", 1),
}


@pytest.mark.parametrize("activation", ["swiglu", "gelu", "relu"])
@pytest.mark.parametrize("case", EXACT)
def test_the_function_is_the_same_at_the_start(case: str, activation: str) -> None:
    router, k = EXACT[case]
    dense = moe.DenseFFN.init(12, 16, activation=activation, seed=3, dtype="float64")
    layer = moe.upcycle(dense, 8, router, k)
    assert (layer.n_experts, layer.d_expert) == (8, 16)
    assert gap(layer, dense) <= 1e-6


def test_deepseek_v3_has_its_scale_divided_out() -> None:
    dense = moe.DenseFFN.init(12, 16, dtype="float64")
    layer = moe.upcycle(dense, 8, "deepseek_v3", 4)
    assert np.allclose(layer.params["w_down_EFD"] * 2.5, dense.params["w_down_FD"])
    assert np.array_equal(layer.params["w_gate_up_ED2F"][5], dense.params["w_gate_up_D2F"])


def test_noise_on_the_gate_changes_nothing_where_weights_are_renormalised() -> None:
    dense = moe.DenseFFN.init(12, 16, dtype="float64")
    layer = moe.upcycle(dense, 8, "noisy_topk", 2)
    assert gap(layer, dense, rng=np.random.default_rng(0)) <= 1e-6


def test_training_pulls_the_copies_apart() -> None:
    dense = moe.DenseFFN.init(12, 16, dtype="float64")
    layer = moe.upcycle(dense, 4, k=2)
    x_ND, g_ND = np.random.default_rng(0).standard_normal((2, 60, 12))
    _, ctx = layer.forward(x_ND)
    _, grads = layer.backward(g_ND, ctx)
    assert not np.allclose(grads["w_down_EFD"][0], grads["w_down_EFD"][1])
    # Equal experts make every weight as good as any other: the gate learns only later.
    assert np.abs(grads["gate_DE"]).max() < 1e-12


def test_same_seed_same_bits_and_the_dense_layer_is_copied() -> None:
    dense = moe.DenseFFN.init(12, 16)
    one, two, other = (moe.upcycle(dense, 4, seed=seed) for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.params["gate_DE"].tobytes() == two.params["gate_DE"].tobytes()
    assert one.params["gate_DE"].tobytes() != other.params["gate_DE"].tobytes()
    dense.params["w_down_FD"][:] = 0
    assert one.params["w_down_EFD"].all()


@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
@pytest.mark.parametrize(
    ("router", "k", "slices"),
    [("topk", 2, 2), ("topk", 4, 2), ("topk", 4, 4), ("deepseek_v3", 4, 2)],
)
def test_fine_grained_experts_add_up_to_the_dense_layer(
    router: str, k: int, slices: int, activation: str
) -> None:
    dense = moe.DenseFFN.init(12, 16, activation=activation, dtype="float64")
    layer = moe.upcycle(dense, 16, router, k, slices=slices)
    assert layer.d_expert == 16 // slices
    assert gap(layer, dense) <= 1e-6


NOT_EXACT = ["switch", "st_moe", "base", "sinkhorn", "deepseek_moe", "deepseek_v2", "relu"]


@pytest.mark.parametrize("router", NOT_EXACT)
def test_a_router_without_a_constant_sum_is_refused_or_matched_in_the_mean(router: str) -> None:
    dense = moe.DenseFFN.init(12, 16, dtype="float64")
    with pytest.raises(ValueError, match=f"router: got '{router}', whose weights of a token sum"):
        moe.upcycle(dense, 8, router)
    layer = moe.upcycle(dense, 8, router, exact=False)
    x_ND = np.random.default_rng(5).standard_normal((4000, 12))
    mean_sum = layer.route(x_ND).combine().sum(axis=1).mean()
    assert np.allclose(layer.params["w_down_EFD"], dense.params["w_down_FD"] / mean_sum, rtol=0.1)


BAD = {
    "slices and experts": (dict(n_experts=6, slices=4), r"slices: got 4, .* n_experts \(6\)"),
    "slices and width": (dict(n_experts=6, slices=3), r"slices: got 3, .* d_hidden \(16\)"),
    "k and slices": (dict(n_experts=8, k=3, slices=2), "k a multiple of slices"),
    "gates": (dict(n_experts=8, router="hash", slices=2), "router: got 'hash'"),
    "mixing": (dict(n_experts=8, router="soft"), "router: got 'soft', allowed is one that mixes"),
    "mixing, cut": (dict(n_experts=8, router="soft", slices=2), "router: got 'soft'"),
    "specials": (dict(n_experts=8, router="longcat"), "whose experts all compute"),
    "k": (dict(n_experts=2, k=3), "k: got 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_the_same_is_named(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        moe.upcycle(moe.DenseFFN.init(12, 16, dtype="float64"), **options)  # type: ignore[arg-type]


def test_capacity_and_gate_scale_are_passed_on() -> None:
    dense = moe.DenseFFN.init(12, 16)
    layer = moe.upcycle(dense, 4, capacity=Capacity(0.5), gate_scale=0.0)
    assert layer.capacity == Capacity(0.5) and not layer.params["gate_DE"].any()
    assert np.allclose(
        layer.params["w_down_EFD"], dense.params["w_down_FD"]
    )  # drops are not averaged in


@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0])
def test_gate_scale_multiplies_the_gates_spread_and_nothing_else(scale: float) -> None:
    plain = moe.MoELayer.init(64, 4, 8, dtype="float64")
    scaled = moe.MoELayer.init(64, 4, 8, dtype="float64", gate_scale=scale)
    for name, array in plain.params.items():
        factor = scale if name == "gate_DE" else 1
        assert np.array_equal(scaled.params[name], factor * array)
    with pytest.raises(ValueError, match="gate_scale: got -1"):
        moe.MoELayer.init(4, 4, 4, gate_scale=-1)


def test_gate_scale_is_nothing_to_a_router_without_a_gate() -> None:
    assert moe.MoELayer.init(8, 4, 4, "hash", gate_scale=0.1).n_experts == 4
