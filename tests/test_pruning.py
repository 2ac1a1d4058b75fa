"""Pruning: which experts go, by a plain recomputation, and what is left computes what it should."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe.expert_axis import expert_axes, with_experts

PRUNABLE = (
    "topk", "noisy_topk", "switch", "gshard", "st_moe", "sparsemixer", "base", "sinkhorn",
    "expert_choice", "deepseek_moe", "deepseek_v2", "deepseek_v3", "deepseek_v4", "top_p", "relu",
    "dynmoe",
)  # fmt: skip


def some(layer: moe.MoELayer, n: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, layer.d_model)).astype(layer.dtype)


def saliency_oracle(layer: moe.MoELayer, x_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token by token and expert by expert, with each expert's own two products."""
    routing = layer.route(x_ND)
    found: list[list[float]] = [[] for _ in range(layer.n_experts)]
    up_EDH, down_EFD = layer.params["w_up_EDF"], layer.params["w_down_EFD"]
    for token, expert, weight in zip(
        routing.token_A, routing.expert_A, routing.weight_A, strict=True
    ):
        hidden_F = np.maximum(x_ND[token] @ up_EDH[expert], 0)
        found[expert].append(float(weight) * float(np.linalg.norm(hidden_F @ down_EFD[expert])))
    return (
        np.array([len(one) for one in found]),
        np.array([np.mean(one) if one else 0.0 for one in found]),
    )


@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "top_p"])
def test_reap_is_the_mean_over_an_experts_own_tokens_of_weight_times_length(router: str) -> None:
    layer = moe.MoELayer.init(8, 6, 7, router, 2, activation="relu", dtype="float64")
    x_ND = some(layer)
    use = moe.ExpertUse.of(layer, x_ND)
    count_E, reap_E = saliency_oracle(layer, x_ND)
    assert use.count_E.tolist() == count_E.tolist()
    assert np.allclose(use.reap_E, reap_E, rtol=1e-12)


def test_uses_of_parts_add_up_to_that_of_all() -> None:
    layer = moe.MoELayer.init(8, 6, 7, dtype="float64")
    x_ND = some(layer)
    both = moe.ExpertUse.of(layer, x_ND[:20]) + moe.ExpertUse.of(layer, x_ND[20:])
    whole = moe.ExpertUse.of(layer, x_ND)
    assert both.count_E.tolist() == whole.count_E.tolist()
    assert np.allclose(both.reap_E, whole.reap_E, rtol=1e-12)


def test_an_expert_without_tokens_has_no_saliency_and_goes_first() -> None:
    layer = moe.MoELayer.init(8, 6, 7, k=2)
    layer.params["gate_DE"][0, 3] = -1e3
    x_ND = some(layer)
    x_ND[:, 0] = 1
    use = moe.ExpertUse.of(layer, x_ND)
    assert use.reap_E[3] == 0 and np.flatnonzero(use.count_E == 0).tolist() == [3]
    assert moe.experts_to_keep(use, 6).tolist() == [0, 1, 2, 4, 5, 6]


def test_criteria_differ_where_they_should_and_equals_stay_in_order() -> None:
    use = moe.ExpertUse(np.array([9, 9, 1, 5]), np.array([9.0, 9.0, 4.0, 5.0]))
    assert moe.experts_to_keep(use, 1).tolist() == [2]  # 4 a token, once
    assert moe.experts_to_keep(use, 2).tolist() == [0, 2]  # then the first of three with 1
    assert moe.experts_to_keep(use, 2, "count").tolist() == [0, 1]
    drawn = [moe.experts_to_keep(use, 2, "random", seed).tolist() for seed in range(40)]
    assert drawn[3] == moe.experts_to_keep(use, 2, "random", 3).tolist()
    assert {expert for pair in drawn for expert in pair} == {0, 1, 2, 3}
    assert all(pair == sorted(set(pair)) for pair in drawn)


@pytest.mark.parametrize("router", PRUNABLE)
def test_all_experts_kept_is_the_same_layer_to_the_bit(router: str) -> None:
    layer = moe.MoELayer.init(8, 6, 6, router, 2, n_shared=1)
    x_ND = some(layer)
    same = moe.prune(layer, np.arange(6))
    assert same == layer
    assert same(x_ND).tobytes() == layer(x_ND).tobytes()


@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "relu"])
def test_what_is_left_is_the_layer_whose_other_experts_nobody_can_choose(router: str) -> None:
    layer = moe.MoELayer.init(8, 6, 7, router, 2, dtype="float64")
    keep_M, x_ND = np.array([1, 4, 6]), some(layer)
    left = moe.prune(layer, keep_M)
    dense_NM = left.route(x_ND).combine()
    shut = layer.route(x_ND).logits_NE.copy()  # type: ignore[union-attr]
    shut[:, np.setdiff1d(np.arange(7), keep_M)] = -1e3
    assert np.allclose(dense_NM, layer.router.choose(shut).combine()[:, keep_M], atol=1e-12)
    ctx = layer.forward(x_ND)[1]  # its results for every pair that both layers have
    y_ND, ctx_left = left.forward(x_ND)
    for token in range(5):
        mine, said = left.expert_outputs(ctx_left, token)
        other, wanted = layer.expert_outputs(ctx, token)
        for expert, y_D in zip(mine, said, strict=True):
            if keep_M[expert] in other:
                assert np.allclose(y_D, wanted[other.tolist().index(keep_M[expert])])
        assert np.allclose(y_ND[token], dense_NM[token, mine] @ said)


def test_buffers_and_every_array_of_an_expert_go_with_it() -> None:
    layer = moe.MoELayer.init(8, 6, 7, moe.make_router("topk", k=2, bias=True))
    layer.params["gate_bias_E"][:] = np.arange(7)
    layer.params["b_down_ED"] = np.arange(56, dtype=np.float32).reshape(7, 8)
    layer.buffers["select_bias_E"][:] = np.arange(7)
    left = moe.prune(layer, np.array([2, 5]))
    assert left.params["gate_bias_E"].tolist() == left.buffers["select_bias_E"].tolist() == [2, 5]
    assert left.params["b_down_ED"][:, 0].tolist() == [16, 40]
    for name, array in layer.params.items():
        axes = expert_axes(name)
        wanted = np.take(array, [2, 5], axes[0]) if axes else array
        assert np.array_equal(left.params[name], wanted) and left.params[name] is not array
    left.params["w_down_EFD"][:] = 0
    assert layer.params["w_down_EFD"].all()


def test_experts_may_come_in_any_order_and_twice() -> None:
    layer = moe.MoELayer.init(8, 6, 4, "switch", dtype="float64")
    x_ND = some(layer)
    turned = with_experts(layer, np.array([3, 2, 1, 0]))
    assert np.allclose(turned(x_ND), layer(x_ND), atol=1e-12)
    assert with_experts(layer, np.array([0, 0, 1])).n_experts == 3


@pytest.mark.parametrize(
    ("router", "why"),
    [
        ("hash", "looks experts up in a table"),
        ("soft", "has slots"),
        ("moe_pp", "has experts that compute nothing"),
        (moe.make_router("deepseek_v3", k=2, n_group=2), "has 2 groups"),
        (moe.make_router("deepseek_v4", k=2, by_token=True), "looks experts up in a table"),
    ],
)
def test_routers_that_do_not_score_every_expert_alike_are_refused(
    router: str | moe.Router, why: str
) -> None:
    layer = moe.MoELayer.init(8, 6, 8, router)
    with pytest.raises(ValueError, match=why):
        moe.prune(layer, np.arange(4))
    with pytest.raises(ValueError, match=why):
        moe.ExpertUse.of(layer, some(layer))


def test_wrong_values_are_refused_in_words() -> None:
    layer = moe.MoELayer.init(8, 6, 4, k=2)
    use = moe.ExpertUse.of(layer, some(layer))
    for keep, why in (
        ([0, 1, 1], "allowed is each once"),
        ([0, 4], "allowed are one or more numbers from 0 to 3"),
        ([-1, 0], "allowed are one or more numbers from 0 to 3"),
        ([], "allowed are one or more numbers from 0 to 3"),
        ([0.5, 1.0], "allowed are one or more numbers from 0 to 3"),
        ([2], "k: got 2, allowed is a whole number in 1..1"),
    ):
        with pytest.raises(ValueError, match=why):
            moe.prune(layer, np.array(keep))
    with pytest.raises(ValueError, match=r"n_keep: got 5, allowed is a whole number in 1..4"):
        moe.experts_to_keep(use, 5)
    with pytest.raises(ValueError, match="by: got 'luck', allowed is one of reap, count, random"):
        moe.experts_to_keep(use, 2, "luck")
    inside = moe.MoELayer.init(8, 6, 4, moe.make_router("topk", weigh_input=True))
    with pytest.raises(ValueError, match="weighs the experts' results"):
        moe.ExpertUse.of(inside, some(inside))


def test_numbers_of_experts_may_be_of_any_whole_type() -> None:
    layer = moe.MoELayer.init(8, 6, 7, k=2)
    for dtype in (np.uint8, np.int16, np.uint64):
        assert moe.prune(layer, np.array([1, 4], dtype)) == moe.prune(layer, np.array([1, 4]))


def test_uses_that_no_layer_can_have_are_refused_in_words() -> None:
    for count_E, sum_E, why in (
        ([1, -1], [1.0, 1.0], "count_E: got .*, allowed is a whole number >= 0 for each expert"),
        ([1.5, 1], [1.0, 1.0], "count_E: got "),
        (3, 1.0, "count_E: got 3"),
        ([1, 1], [1.0], r"sum_E: got shape \(1,\), allowed is \(2,\)"),
        ([1, 1], [1.0, np.nan], "sum_E: got NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=why):
            moe.ExpertUse(count_E, np.array(sum_E))  # type: ignore[arg-type]
    use = moe.ExpertUse(np.array([3, 1], np.uint8), np.array([1.0, 9.0]))
    assert moe.experts_to_keep(use, 1, "count").tolist() == [0]
    with pytest.raises(ValueError, match="uses: got 2 and 1 experts, allowed are uses of one"):
        use + moe.ExpertUse(np.array([1]), np.array([1.0]))


def test_without_a_token_nothing_is_said_of_the_experts() -> None:
    layer = moe.MoELayer.init(8, 6, 4)
    use = moe.ExpertUse.of(layer, some(layer, 0))
    for by in ("reap", "count"):
        with pytest.raises(ValueError, match=f"use: got no token, .* which '{by}' says nothing"):
            moe.experts_to_keep(use, 2, by)
    assert len(moe.experts_to_keep(use, 2, "random")) == 2


def test_a_pass_of_another_layer_or_router_is_refused() -> None:
    layer, other = moe.MoELayer.init(8, 6, 4), moe.MoELayer.init(8, 6, 5)
    with pytest.raises(ValueError, match="ctx: got one from another layer, allowed is what this"):
        moe.ExpertUse.of_context(layer, other.forward(some(other))[1])
    hashed = moe.MoELayer.init(8, 6, 4, "hash")
    with pytest.raises(ValueError, match="looks experts up in a table"):
        moe.ExpertUse.of_context(hashed, hashed.forward(some(hashed))[1])


def test_results_that_are_no_numbers_are_refused() -> None:
    layer = moe.MoELayer.init(8, 6, 4)
    layer.params["w_down_EFD"][:] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="sum_E: got NaN or inf"):
        moe.ExpertUse.of(layer, some(layer))


def test_a_buffer_of_ones_own_is_kept_or_named() -> None:
    layer = moe.MoELayer.init(8, 6, 4)
    layer.buffers["notes_23"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    layer.buffers["pairs_EE"] = np.arange(16, dtype=np.float32).reshape(4, 4)
    left = moe.prune(layer, np.array([0, 3]))
    assert np.array_equal(left.buffers["notes_23"], layer.buffers["notes_23"])
    assert left.buffers["pairs_EE"].tolist() == [[0, 3], [12, 15]]
    layer.buffers["MY_TABLE"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"MY_TABLE: got shape \(3,\), allowed is 4 on axis 4"):
        moe.prune(layer, np.array([0, 3]))
