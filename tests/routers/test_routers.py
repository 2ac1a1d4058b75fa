"""What is particular to single routers: against scipy, loops, published rules and surrogates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe import kernels, metrics
from moe.kernels.assignment import balanced_assignment_oracle
from moe.routers.hash import balanced_table, token_table
from moe.routers.sinkhorn import sinkhorn
from tests.gradients import worst_error


@given(n=st.integers(0, 40), e=st.integers(1, 8), ties=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_base_assignment_is_as_good_as_scipys(n: int, e: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score_NE = rng.integers(0, 4, (n, e)).astype(float) if ties else rng.standard_normal((n, e))
    mine = kernels.balanced_assignment(score_NE)
    best = balanced_assignment_oracle(score_NE)
    load_E = np.bincount(mine, minlength=e)
    assert np.ptp(load_E) <= 1
    rows = np.arange(n)
    assert score_NE[rows, mine].sum() == pytest.approx(score_NE[rows, best].sum())


@pytest.mark.parametrize("skew", [0.0, 3.0])
def test_base_assignment_is_as_good_as_scipys_with_many_tokens(skew: float) -> None:
    score_NE = np.random.default_rng(0).standard_normal((1003, 16)) + np.linspace(skew, -skew, 16)
    total = [
        score_NE[np.arange(1003), assign(score_NE)].sum()
        for assign in (kernels.balanced_assignment, balanced_assignment_oracle)
    ]
    assert total[0] == pytest.approx(total[1], rel=1e-12)


def test_base_survives_what_is_not_a_number() -> None:
    logits_NE = np.array([[np.nan, 1.0], [2.0, np.inf], [3.0, 0.0], [np.nan, np.nan]])
    assert moe.make_router("base").choose(logits_NE).load.tolist() == [2, 2]


def test_base_takes_the_best_expert_at_test_time(rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((40, 6)) + np.linspace(2, 0, 6)
    greedy = moe.make_router("base", balanced=False).choose(logits_NE)
    assert np.array_equal(greedy.expert_A, logits_NE.argmax(axis=1))
    balanced = moe.make_router("base").choose(logits_NE)
    assert metrics.max_vio(balanced.load) < 0.1 < metrics.max_vio(greedy.load)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_sinkhorn_plan_has_even_sums(scale: float, rng: np.random.Generator) -> None:
    logs_NE = sinkhorn(scale * rng.standard_normal((32, 8)), 1e-12, 20_000)
    plan_NE = kernels.softmax(logs_NE) / 32  # each token gives 1 / N
    assert np.allclose(plan_NE.sum(axis=0), 1 / 8, rtol=1e-3 if scale > 1 else 1e-6)


def test_sinkhorn_of_one_token_is_a_tie(rng: np.random.Generator) -> None:
    routing = moe.make_router("sinkhorn", k=3).choose(rng.standard_normal((1, 8)))
    assert routing.expert_A.tolist() == [0, 1, 2]


def test_sinkhorn_takes_the_best_experts_at_test_time(rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((64, 8)) + np.linspace(2, -2, 8)
    routing = moe.make_router("sinkhorn", balanced=False).choose(logits_NE)
    assert np.array_equal(routing.expert_A.reshape(64, 2), np.argsort(-logits_NE)[:, :2])


def test_noisy_topk_spreads_the_first_tokens_by_noise_alone_if_asked() -> None:
    router = moe.make_router("noisy_topk", zero_init=True)
    layer = moe.MoELayer.init(8, 8, 8, router=router)
    x_ND = np.random.default_rng(0).standard_normal((4000, 8))
    assert metrics.max_vio(layer.route(x_ND, rng=np.random.default_rng(1)).load) < 0.1
    assert metrics.max_vio(layer.route(x_ND).load) == 8 / 2 - 1


def test_sinkhorn_evens_the_load(rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((512, 8)) + np.linspace(2, -2, 8)
    plain = moe.make_router("topk", k=1).choose(logits_NE)
    even = moe.make_router("sinkhorn", k=1).choose(logits_NE)
    assert metrics.max_vio(even.load) < 0.2 * metrics.max_vio(plain.load)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 100.0])
def test_expert_choice_by_a_loop(factor: float, rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((30, 5))
    routing = moe.make_router("expert_choice", factor=factor).choose(logits_NE)
    p_NE = np.exp(logits_NE) / np.exp(logits_NE).sum(axis=1, keepdims=True)
    room = min(30, int(np.ceil(30 * factor / 5)))
    assert (routing.load == room).all()
    dense_NE = np.zeros((30, 5))
    for e in range(5):
        for t in sorted(range(30), key=lambda t: -p_NE[t, e])[:room]:
            dense_NE[t, e] = p_NE[t, e]
    assert np.allclose(routing.combine(), dense_NE)


def test_gshard_may_draw_the_second_by_gumbel() -> None:
    logits_NE = np.log(np.tile([0.6, 0.2, 0.15, 0.05], (20_000, 1)))
    router = moe.make_router("gshard", gumbel=True)
    load_E = router.choose(logits_NE, rng=np.random.default_rng(0)).load / 20_000
    assert load_E == pytest.approx([1, 0.5, 0.375, 0.125], abs=0.015)  # p_e / (1 - p_1)
    assert router.choose(logits_NE).load.tolist() == [20_000, 20_000, 0, 0]


def test_gshard_takes_the_second_in_proportion_to_its_weight() -> None:
    logits_NE = np.log(np.tile([0.6, 0.2, 0.1, 0.1], (20_000, 1)))
    router = moe.make_router("gshard")
    routing = router.choose(logits_NE, rng=np.random.default_rng(0))
    second = routing.load[1] / 20_000
    assert second == pytest.approx(2 * 0.25, abs=0.02)  # 2 g2 with g2 = 0.2 / 0.8
    assert (routing.load[0], routing.load[2:].sum()) == (20_000, 0)
    assert np.allclose(routing.weight_A[routing.rank_A == 0], 0.75)  # the first is not raised
    assert router.choose(logits_NE).load[1] == 20_000


def test_st_moe_threshold() -> None:
    logits_NE = np.log(np.tile([0.9, 0.1, 1e-9, 1e-9], (20_000, 1)))
    router = moe.make_router("st_moe", threshold=0.2)
    assert router.choose(logits_NE).load[1] == 0
    drawn = router.choose(logits_NE, rng=np.random.default_rng(0)).load[1] / 20_000
    assert drawn == pytest.approx(0.5, abs=0.02)  # g2 / threshold = 0.1 / 0.2


def test_group_score_is_the_maximum_in_v2_and_the_sum_of_two_in_v3() -> None:
    logits_NE = np.log([[5.0, 0.1, 3.0, 2.9]])
    options = dict(k=1, n_group=2, topk_group=1)
    assert moe.make_router("deepseek_v2", **options).choose(logits_NE).expert_A.tolist() == [0]
    assert moe.make_router("deepseek_v3", **options).choose(logits_NE).expert_A.tolist() == [2]


def test_a_masked_group_is_never_chosen_even_if_all_scores_are_negative() -> None:
    router = moe.make_router("deepseek_v3", k=2, n_group=2, topk_group=1)
    routing = router.choose(
        np.array([[1.0, 1.0, 0.0, 0.0]]), select_bias_E=np.array([-5.0, -5.0, -9.0, -9.0])
    )
    assert sorted(routing.expert_A.tolist()) == [0, 1]  # a mask of 0 would let 2 and 3 win


def test_v3_weights_survive_a_large_bias() -> None:
    """A score of 1e-8 beside a bias of 12 must not be recovered as (score + bias) - bias = 0."""
    logits_NE = np.array([[-18.0, -19.0, -30.0, -30.0]], np.float32)
    bias_E = np.array([12, 12, 0, 0], np.float32)
    routing = moe.make_router("deepseek_v3", scale=1.0).choose(logits_NE, select_bias_E=bias_E)
    assert routing.weight_A.tolist() == pytest.approx([0.7310586, 0.2689414], rel=1e-4)


def test_v4_takes_experts_from_the_table_and_weights_from_the_gate(
    rng: np.random.Generator,
) -> None:
    router = moe.make_router("deepseek_v4", k=3, by_token=True, n_vocab=50, scale=1.0)
    logits_NE, ids_N = rng.standard_normal((20, 8)), rng.integers(0, 50, 20)
    routing = router.choose(logits_NE, token_ids=ids_N)
    assert np.array_equal(routing.expert_A.reshape(20, 3), token_table(50, 8, 3, 0)[ids_N])
    chosen_NK = np.sqrt(np.log1p(np.exp(logits_NE)))[
        np.arange(20)[:, None], routing.expert_A.reshape(20, 3)
    ]
    assert np.allclose(
        routing.weight_A.reshape(20, 3), chosen_NK / chosen_NK.sum(axis=1, keepdims=True)
    )


def test_hash_tables() -> None:
    table_VK = token_table(1000, 8, 2, 0)
    assert (table_VK[:, 0] != table_VK[:, 1]).all()
    assert np.abs(np.bincount(table_VK[:, 0]) / 1000 - 1 / 8).max() < 0.04
    assert not np.array_equal(table_VK, token_table(1000, 8, 2, 1))
    counts = tuple((1000 / np.arange(1, 200)).astype(int).tolist())
    balanced, chance = balanced_table(counts, 4)[:, 0], token_table(199, 4, 1, 0)[:, 0]
    work = [np.bincount(t, weights=counts, minlength=4) for t in (balanced, chance)]
    assert metrics.max_vio(work[0]) < 0.01 < metrics.max_vio(work[1])
    router = moe.make_router("hash", counts=counts)
    assert np.array_equal(
        router.choose(np.zeros((199, 4)), token_ids=np.arange(199)).expert_A, balanced
    )


def test_hash_table_balanced_by_a_corpus() -> None:
    corpus = np.repeat(np.arange(6), [50, 1, 20, 20, 8, 0])
    router = moe.routers.hash.Hash.balanced_by(corpus, n_vocab=7)
    assert router.counts == (50, 1, 20, 20, 8, 0, 0)
    assert router.choose(np.zeros((99, 2)), token_ids=corpus).load.tolist() == [50, 49]
    with pytest.raises(ValueError, match="counts: got -1"):
        moe.make_router("hash", counts=(3, -1))


def test_soft_layer_by_its_definition(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4, router=moe.make_router("soft", slots=3), dtype="float64")
    x_ND = rng.standard_normal((11, 6))
    gate_DS = layer.params["gate_DE"]
    cos_NS = (x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)) @ (
        gate_DS / np.linalg.norm(gate_DS, axis=0)
    )
    over_tokens = np.exp(cos_NS) / np.exp(cos_NS).sum(axis=0)
    over_slots = np.exp(cos_NS) / np.exp(cos_NS).sum(axis=1, keepdims=True)
    mixed_SD = over_tokens.T @ x_ND
    made_SD = np.concatenate(
        [
            moe.DenseFFN("swiglu", {"w_gate_up_D2F": layer.params["w_gate_up_ED2F"][e],
                                    "w_down_FD": layer.params["w_down_EFD"][e]})(
                mixed_SD[3 * e : 3 * e + 3]
            )
            for e in range(4)
        ]
    )  # fmt: skip
    y_ND, ctx = layer.forward(x_ND)
    assert np.allclose(y_ND, over_slots @ made_SD, atol=1e-5)
    assert ctx.executed_rows == 12
    assert np.allclose(ctx.routing.combine().sum(axis=1), 1)


def test_top_p_takes_the_smallest_set(rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((200, 6)) * 2
    routing = moe.make_router("top_p", p=0.7).choose(logits_NE)
    p_NE = np.exp(logits_NE) / np.exp(logits_NE).sum(axis=1, keepdims=True)
    chosen_NE = routing.combine() > 0
    held_N = (p_NE * chosen_NE).sum(axis=1)
    least_N = np.where(chosen_NE, p_NE, np.inf).min(axis=1)
    assert (held_N >= 0.7 - 1e-12).all() and (held_N - least_N < 0.7).all()


def test_zero_computation_experts_cost_nothing(rng: np.random.Generator) -> None:
    router = moe.make_router("moe_pp", k=1, n_constant=1, n_copy=1, n_zero=1)
    layer = moe.MoELayer.init(6, 5, 5, router=router, dtype="float64")
    assert layer.params["w_down_EFD"].shape[0] == 2 and layer.n_experts == 5
    x_ND = rng.standard_normal((4, 6))
    for expert, expected in ((4, np.zeros_like(x_ND)), (3, x_ND)):
        layer.buffers["select_bias_E"][:] = 0
        layer.buffers["select_bias_E"][expert] = 9
        y_ND, ctx = layer.forward(x_ND)
        weight_N1 = ctx.routing.weight_A[:, None]
        assert np.allclose(y_ND, weight_N1 * expected) and ctx.executed_rows == 0
    layer.buffers["select_bias_E"][:] = [0, 0, 9, 0, 0]
    y_ND, ctx = layer.forward(x_ND)
    e_N2 = np.exp(x_ND @ layer.params["constant_mix_ZD2"][0])
    mix_N2 = e_N2 / e_N2.sum(axis=1, keepdims=True)
    made_ND = mix_N2[:, :1] * x_ND + mix_N2[:, 1:] * layer.params["constant_ZD"][0]
    assert np.allclose(y_ND, ctx.routing.weight_A[:, None] * made_ND)


def test_gating_residual_and_its_gradient(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 5, router="moe_pp", dtype="float64")
    layer.params["residual_EE"][:] = 0.3 * rng.standard_normal((5, 5))
    x_ND, g_ND = rng.standard_normal((2, 12, 6))
    previous_NE = rng.standard_normal((12, 5))
    _, ctx = layer.forward(x_ND, previous_NE=previous_NE)
    expected_NE = x_ND @ layer.params["gate_DE"] + previous_NE @ layer.params["residual_EE"]
    assert ctx.routing.logits_NE is not None and np.allclose(ctx.routing.logits_NE, expected_NE)
    dx_ND, grads = layer.backward(g_ND, ctx)
    error = worst_error(
        lambda: float((layer.forward(x_ND, previous_NE=previous_NE)[0] * g_ND).sum()),
        layer.params | {"x": x_ND, "previous_NE": previous_NE},
        grads | {"x": dx_ND},
    )
    assert error <= 1e-6


def test_dynmoe_gradient_is_that_of_its_straight_through_surrogate(
    rng: np.random.Generator,
) -> None:
    """With the step replaced by the score's distance to its bar, differences must agree."""
    router = moe.make_router("dynmoe")
    logits_NE, threshold_E = rng.standard_normal((15, 6)), 0.3 * rng.standard_normal(6)
    routing = router.choose(logits_NE, threshold_E=threshold_E)
    dweight_A = rng.standard_normal(routing.n_assignments)
    dlogits_NE = router.backward(routing, dweight_A)
    dparams = router.backward_state(routing, dweight_A, dlogits_NE, dlogits_NE)

    def surrogate(l_NE: np.ndarray, t_E: np.ndarray) -> float:
        distance_NE = 1 / (1 + np.exp(-l_NE)) - 1 / (1 + np.exp(-t_E))
        passed = routing.saved["passed_A"]
        at = distance_NE[routing.token_A, routing.expert_A]
        return float((dweight_A * routing.weight_A * at)[passed].sum())

    for array, gradient in ((logits_NE, dlogits_NE), (threshold_E, dparams["threshold_E"])):
        for index in np.ndindex(*array.shape):
            kept = array[index]
            array[index] = kept + 1e-6
            high = surrogate(logits_NE, threshold_E)
            array[index] = kept - 1e-6
            low = surrogate(logits_NE, threshold_E)
            array[index] = kept
            assert (high - low) / 2e-6 == pytest.approx(gradient[index], abs=1e-7)


def test_dynmoe_fallback_takes_the_best_expert() -> None:
    logits_NE = np.array([[-0.5, -0.1, -0.2, -0.3]])
    assert moe.make_router("dynmoe").choose(logits_NE).expert_A.tolist() == [1]
    assert moe.make_router("dynmoe", fallback=False).choose(logits_NE).n_assignments == 0


def test_renormalised_moe_pp_goes_back_through_an_empty_batch() -> None:
    router = moe.make_router("moe_pp", k=3, renormalize=True)
    layer = moe.MoELayer.init(6, 5, 8, router=router)
    y_ND, ctx = layer.forward(np.empty((0, 6)))
    dx_ND, grads = layer.backward(y_ND, ctx)
    assert dx_ND.shape == (0, 6) and not any(array.any() for array in grads.values())
