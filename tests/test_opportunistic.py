"""Opportunistic activation: the algorithm step by step as it is printed, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import moe
from moe.opportunistic import Opportunistic, piggyback
from moe.routers.topk import TopK
from tests.gradients import layer_error


def printed(order_NE: list[list[int]], k0: int, k: int) -> list[list[int]]:
    """Algorithm 1 of arXiv 2511.02237, line by line."""
    base = [set(order[:k0]) for order in order_NE]
    union = set().union(*base)
    found = []
    for order in order_NE:
        chosen = list(order[:k0])
        for expert in order[k0:]:
            if len(chosen) >= k:
                break
            if expert in union:
                chosen.append(expert)
        found.append(chosen)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_choices_are_those_of_the_printed_algorithm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_tokens, n_experts = int(rng.integers(1, 20)), int(rng.integers(2, 14))
    k = int(rng.integers(1, n_experts + 1))
    k0 = int(rng.integers(1, k + 1))
    logits_NE = rng.standard_normal((n_tokens, n_experts))
    routing = Opportunistic(moe.make_router("topk", k=k), k0).choose(logits_NE)
    wanted = printed(np.argsort(-logits_NE, axis=1).tolist(), k0, k)
    got = [routing.expert_A[routing.token_A == token].tolist() for token in range(n_tokens)]
    assert got == wanted
    weights = [
        np.exp(row[chosen]) / np.exp(row[chosen]).sum()
        for row, chosen in zip(logits_NE, wanted, strict=True)
    ]
    assert np.allclose(routing.weight_A, np.concatenate(weights))


def test_a_batch_reads_no_expert_that_is_nobodys_first_choice() -> None:
    logits_NE = np.random.default_rng(0).standard_normal((16, 64))
    router = moe.make_router("topk", k=6)
    read = []
    for k0 in range(1, 7):
        routing = Opportunistic(router, k0).choose(logits_NE)
        first = np.argsort(-logits_NE, axis=1)[:, :k0]
        assert set(routing.expert_A.tolist()) == set(first.ravel().tolist())
        read.append(len(np.unique(routing.expert_A)))
    assert read == sorted(read) and read[0] < read[-1]


@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "deepseek_v4"])
def test_with_every_choice_kept_it_is_the_router_itself(router: str) -> None:
    layer = moe.MoELayer.init(8, 6, 12, router, 3)
    x_ND = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    same = replace(layer, router=Opportunistic(layer.router, 3))
    assert np.array_equal(same(x_ND), layer(x_ND))


def test_a_token_alone_keeps_its_first_choices() -> None:
    logits_NE = np.array([[0.1, 0.9, 0.5, 0.3]])
    few = Opportunistic(moe.make_router("topk", k=3), 2)
    assert few.choose(logits_NE).expert_A.tolist() == [1, 2]
    assert not few.causal and not few.batch_invariant  # a later token's choice lets a third one in
    both = few.choose(np.array([[0.1, 0.9, 0.5, 0.3], [0.0, 0.1, 0.8, 0.9]]))
    assert both.expert_A[both.token_A == 0].tolist() == [1, 2, 3]
    empty = Opportunistic(moe.make_router("topk", k=3), 2).choose(np.zeros((0, 4)))
    assert empty.n_assignments == 0


def test_a_selection_bias_chooses_and_does_not_weigh() -> None:
    router = moe.make_router("topk", k=2)
    logits_NE = np.log([[4.0, 3.0, 2.0], [4.0, 3.0, 2.0]])
    bias_E = np.array([0.0, 0.0, 1.0])
    routing = Opportunistic(router, 1).choose(logits_NE, select_bias_E=bias_E)
    assert routing.expert_A.tolist() == [2, 2] and routing.weight_A.tolist() == [1, 1]


@pytest.mark.parametrize("router", ["topk", "deepseek_v3"])
def test_gradients_are_the_slope(router: str) -> None:
    layer = moe.MoELayer.init(6, 5, 8, router, 3, dtype="float64", seed=4)
    layer.router = Opportunistic(layer.router, 1)
    x_ND, g_ND = np.random.default_rng(1).standard_normal((2, 9, 6))
    assert layer_error(layer, x_ND, g_ND) < 1e-6


def test_lists_may_be_short_and_have_holes_at_their_end() -> None:
    expert_NK = np.array([[0, 1, -1], [2, 0, 1], [3, -1, -1]])
    assert piggyback(expert_NK, 1).tolist() == [
        [True, False, False], [True, True, False], [True, False, False],
    ]  # fmt: skip
    assert piggyback(expert_NK, 2).tolist() == [
        [True, True, False], [True, True, True], [True, False, False],
    ]  # fmt: skip
    assert piggyback(expert_NK, 1, 1).sum() == 3
    assert piggyback(np.full((2, 3), -1), 1).sum() == 0


def test_wrong_values_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"k0: got 3, allowed is a whole number in 1..2"):
        Opportunistic(moe.make_router("topk", k=2), 3)
    for router in (
        moe.make_router("switch"), moe.make_router("expert_choice"),
        moe.make_router("deepseek_v3", k=2, n_group=2),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="allowed is one whose weights depend on the chosen"):
            Opportunistic(router)
    for name, why in (("topk", "router: got 'topk'"), (moe.ROUTERS["topk"], "the class TopK")):
        with pytest.raises(ValueError, match=why):
            Opportunistic(name)  # type: ignore[arg-type]
    empty_pool = moe.make_router("moe_pp", n_constant=0, n_copy=0, n_zero=0)
    with pytest.raises(ValueError, match="router: got 'moe_pp', allowed is one whose weights"):
        Opportunistic(empty_pool)
    for more in ({"projections": ("gate", "noise")}, {"choice_params": ("residual_EE",)}):
        with pytest.raises(ValueError, match="router: got 'topk', allowed is one whose weights"):
            Opportunistic(type("Mine", (TopK,), more)())
    with pytest.raises(ValueError, match=r"logits_NE: got shape \(\), allowed is \(any, any\)"):
        Opportunistic(moe.make_router("topk")).choose(np.float64(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"k0: got 0, allowed is a whole number in 1..3"):
        piggyback(np.zeros((2, 3), int), 0)
    for wrong in (np.zeros((2, 3)), np.zeros(3, int), [[True]]):
        with pytest.raises(ValueError, match=r"expert_NK: got .*, allowed are integers of shape"):
            piggyback(wrong, 1)  # type: ignore[arg-type]


def test_numbers_of_experts_may_be_any() -> None:
    huge = 2**62
    found_NK = piggyback(np.array([[huge, 1, 2], [1, huge, 3]]), 1)
    assert found_NK.tolist() == [[True, True, False], [True, True, False]]


def test_a_router_of_ones_own_projects_in_its_own_way() -> None:
    @dataclass(frozen=True)
    class Doubled(TopK):
        def project(self, x_ND: np.ndarray, params: Any, n_experts: int) -> dict[str, np.ndarray]:
            made = super().project(x_ND, params, n_experts)
            return made | {"logits_NE": 2 * made["logits_NE"]}

        def project_backward(self, x_ND: np.ndarray, params: Any, dmade: Any) -> Any:
            twice = {name: 2 * grad for name, grad in dmade.items()}
            return super().project_backward(x_ND, params, twice)

    layer = moe.MoELayer.init(6, 5, 8, Doubled(k=3), dtype="float64")
    x_ND, g_ND = np.random.default_rng(1).standard_normal((2, 9, 6))
    same = replace(layer, router=Opportunistic(layer.router, 3))
    assert np.array_equal(same(x_ND), layer(x_ND))
    few = replace(layer, router=Opportunistic(layer.router, 1))
    assert layer_error(few, x_ND, g_ND) < 1e-6
