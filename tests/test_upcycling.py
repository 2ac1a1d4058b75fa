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


# More experts ----------------------------------------------------------------------------------


def tokens(layer: moe.MoELayer, n: int = 80) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, layer.d_model)).astype(layer.dtype)


UNMOVED = {
    "renormalised": moe.make_router("topk", k=1),
    "sigmoid": moe.make_router("topk", k=1, score="sigmoid", renormalize=False),
    "deepseek_v3": moe.make_router("deepseek_v3", k=1),
    "with a bias": moe.make_router("topk", k=1, bias=True),
}


@pytest.mark.parametrize("case", UNMOVED)
@pytest.mark.parametrize("copies", [1, 2, 5])
def test_with_one_expert_a_token_more_experts_are_the_same_function_to_the_bit(
    case: str, copies: int
) -> None:
    layer = moe.MoELayer.init(8, 6, 5, UNMOVED[case], n_shared=1)
    more = moe.upcycle_experts(layer, copies, noise=0.0)
    assert more.n_experts == 5 * copies
    assert more(tokens(layer)).tobytes() == layer(tokens(layer)).tobytes()


@pytest.mark.parametrize("router", ["topk", "deepseek_v3"])
@pytest.mark.parametrize("copies", [2, 3])
def test_with_all_copies_of_a_choice_it_is_the_same_function(router: str, copies: int) -> None:
    layer = moe.MoELayer.init(8, 6, 5, router, 2, dtype="float64")
    more = moe.upcycle_experts(layer, copies, noise=0.0)
    more.router = moe.make_router(router, **{**layer.router.options(), "k": 2 * copies})
    assert np.abs(more(tokens(layer)) - layer(tokens(layer))).max() < 1e-12


def test_at_equal_k_an_expert_and_its_copy_may_both_be_chosen() -> None:
    layer = moe.MoELayer.init(8, 6, 5, k=2, dtype="float64")
    more = moe.upcycle_experts(layer, 2, noise=0.0)
    first_N = layer.route(tokens(layer)).expert_A[::2]
    chosen_NK = more.route(tokens(layer)).expert_A.reshape(-1, 2)
    assert np.array_equal(chosen_NK, np.stack([first_N, first_N + 5], axis=1))
    alone = moe.MoELayer.init(8, 6, 5, k=1, dtype="float64")
    assert np.allclose(more(tokens(layer)), alone(tokens(layer)))


def test_noise_lets_copies_in_and_parts_them() -> None:
    layer = moe.MoELayer.init(8, 6, 5, UNMOVED["sigmoid"], dtype="float64")
    quiet, noisy = (moe.upcycle_experts(layer, 2, noise, seed=1) for noise in (0.0, 1e-3))
    assert quiet.route(tokens(layer)).load[5:].sum() == 0
    assert noisy.route(tokens(layer)).load[5:].sum() > 0
    bias_E = noisy.buffers["select_bias_E"]
    assert (bias_E[:5] == 0).all() and 0 < np.abs(bias_E[5:]).max() <= 1e-3
    again = moe.upcycle_experts(layer, 2, seed=1).buffers["select_bias_E"]
    assert again.tobytes() == bias_E.tobytes()
    _, ctx = noisy.forward(tokens(layer))
    _, grads = noisy.backward(np.ones((80, 8)), ctx)
    taken = [e for e in range(5) if noisy.route(tokens(layer)).load[[e, e + 5]].any()]
    assert all((grads["w_down_EFD"][e] != grads["w_down_EFD"][e + 5]).any() for e in taken)


def test_originals_keep_their_numbers_and_copies_come_after_them() -> None:
    layer = moe.MoELayer.init(8, 6, 3, moe.make_router("topk", bias=True))
    more = moe.upcycle_experts(layer, np.array([1, 3, 2]))
    for name, of in (("w_down_EFD", 0), ("w_gate_up_ED2F", 0), ("gate_DE", 1)):
        wanted = np.take(layer.params[name], [0, 1, 2, 1, 2, 1], of)
        assert np.array_equal(more.params[name], wanted)
    assert (more.params["gate_bias_E"][:3] == 0).all() and (more.params["gate_bias_E"][3:]).all()
    assert (more.buffers["select_bias_E"] == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_places_go_to_the_most_useful_experts_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    utility_E, most = rng.random(6), int(rng.integers(1, 5))
    order = np.argsort(-utility_E)
    turn, copies = np.zeros(6, int), np.ones(6, int)
    for n_new in range(1, 2 * 6 * most + 2):
        free = [e for e in order if turn[e] < most]
        if not free:
            turn[:], free = 0, [order[0]]
        turn[free[0]] += 1
        copies[free[0]] += 1
        assert moe.replicas(utility_E, n_new, most).tolist() == copies.tolist()
    assert moe.replicas(utility_E, 0).tolist() == [1] * 6


def test_wrong_copies_are_refused_in_words() -> None:
    layer = moe.MoELayer.init(8, 6, 4)
    for copies, why in (
        (0, r"copies: got 0, allowed is a whole number >= 1"),
        (np.array([1, 2, 3]), "allowed is a whole number from 1 for each of 4 experts"),
        (np.array([1, 2, 0, 1]), "allowed is a whole number from 1 for each of 4 experts"),
        (np.array([1.0, 2.0, 1.0, 1.0]), "allowed is a whole number from 1 for each of 4"),
    ):
        with pytest.raises(ValueError, match=why):
            moe.upcycle_experts(layer, copies)
    with pytest.raises(
        ValueError, match=r"noise: got 0.001 with router 'noisy_topk', allowed is 0"
    ):
        moe.upcycle_experts(moe.MoELayer.init(8, 6, 4, "noisy_topk"))
    with pytest.raises(ValueError, match="looks experts up in a table"):
        moe.upcycle_experts(moe.MoELayer.init(8, 6, 4, "hash"))
    with pytest.raises(ValueError, match="n_new: got -1"):
        moe.replicas(np.ones(3), -1)


# Partly anew -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["swiglu", "relu"])
def test_a_share_of_each_experts_units_is_drawn_anew_and_the_rest_is_as_it_was(
    activation: str,
) -> None:
    dense = moe.DenseFFN.init(12, 40, activation=activation, dtype="float64")
    plain, other = (moe.upcycle(dense, 4, drop=drop, seed=1) for drop in (0.0, 0.3))
    same = np.stack(_units(plain)) == np.stack(_units(other))
    whole = same.all(axis=3)  # of matrix, expert and unit
    assert (whole.sum(axis=2) == 40 - 12).all() and not same[~whole].any()
    patterns = {
        whole[matrix, expert].tobytes() for matrix in range(len(whole)) for expert in range(4)
    }
    assert len(patterns) == whole.shape[0] * 4  # each draws for itself
    assert plain.params["gate_DE"].tobytes() == other.params["gate_DE"].tobytes()


def _units(layer: moe.MoELayer) -> list[np.ndarray]:
    """Each matrix by expert and hidden unit, (E, F, D)."""
    up_EDH = layer.params.get("w_gate_up_ED2F", layer.params.get("w_up_EDF"))
    assert up_EDH is not None
    halves = np.split(up_EDH, up_EDH.shape[2] // layer.d_expert, axis=2)
    return [*(half.transpose(0, 2, 1) for half in halves), layer.params["w_down_EFD"]]


def test_what_is_drawn_has_the_mean_and_deviation_of_what_it_replaces() -> None:
    dense = moe.DenseFFN.init(64, 500, activation="relu", dtype="float64")
    dense.params["w_down_FD"] += 3.0
    layer = moe.upcycle(dense, 3, drop=1.0)
    for part, wanted in zip(
        _units(layer), (dense.params["w_up_DF"], dense.params["w_down_FD"]), strict=True
    ):
        for units_FD in part:
            assert units_FD.mean() == pytest.approx(wanted.mean(), abs=0.02)
            assert units_FD.std() == pytest.approx(wanted.std(), rel=0.02)
    again = moe.upcycle(dense, 3, drop=1.0)
    assert again == layer and moe.upcycle(dense, 3, drop=1.0, seed=1) != layer
    with pytest.raises(ValueError, match=r"drop: got 1\.5"):
        moe.upcycle(dense, 3, drop=1.5)


def test_copies_may_be_of_any_whole_type() -> None:
    layer = moe.MoELayer.init(8, 6, 4)
    wanted = moe.upcycle_experts(layer, 2, noise=0.0)
    for copies in (np.int64(2), np.full(4, 2, np.uint8), np.full(4, 2, np.uint64), [2] * 4):
        assert moe.upcycle_experts(layer, copies, noise=0.0) == wanted  # type: ignore[arg-type]
    for copies in (True, 2.0, "two", np.full(4, 2.0), 10**12, np.full(4, 2**62)):
        with pytest.raises(ValueError, match="copies: got "):
            moe.upcycle_experts(layer, copies, noise=0.0)  # type: ignore[arg-type]


def test_noise_beyond_what_a_bias_can_hold_is_refused() -> None:
    layer = moe.MoELayer.init(8, 6, 4, "deepseek_v3")
    for noise in (1e308, np.inf, np.nan, -1.0):
        with pytest.raises(
            ValueError, match=r"noise: got .*, allowed is a number >= 0 and <= 1e\+30"
        ):
            moe.upcycle_experts(layer, 2, noise=noise)


def test_places_for_copies_have_their_bounds() -> None:
    utility_E = np.array([0.1, 0.4, 0.2, 0.3])
    assert moe.replicas(utility_E, 5, 10**18).tolist() == [1, 6, 1, 1]
    assert moe.replicas(np.array([1.0]), 5, 10**18).tolist() == [6]
    for given, why in (
        ((np.zeros(0), 1), "utility_E: got no expert, allowed is at least one"),
        ((utility_E, 10**30), r"n_new: got 10+, allowed is a whole number in 0\.\.2147483647"),
        ((utility_E, 1, 0), "most: got 0"),
        ((utility_E * np.nan, 1), "utility_E: got NaN"),
    ):
        with pytest.raises(ValueError, match=why):
            moe.replicas(*given)  # type: ignore[arg-type]
