"""Each metric against a hand-made case, its bounds, or a second way to compute it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import moe
from moe import metrics

loads = st.lists(st.integers(0, 1000), min_size=1, max_size=40).map(np.array)


def test_even_load() -> None:
    load_E = np.full(8, 5)
    assert metrics.max_vio(load_E) == metrics.min_vio(load_E) == 0
    assert metrics.coefficient_of_variation(load_E) == 0
    assert metrics.load_entropy(load_E) == pytest.approx(math.log(8))
    assert metrics.effective_experts(load_E) == pytest.approx(8)
    assert metrics.hottest_share(load_E) == pytest.approx(1 / 8)
    assert (metrics.utilisation(load_E) == 1).all()


@pytest.mark.parametrize(("n_experts", "k"), [(16, 2), (8, 1), (64, 8)])
def test_total_collapse_reaches_the_bound(n_experts: int, k: int) -> None:
    logits_NE = np.zeros((100, n_experts))
    logits_NE[:, :k] = 9
    load_E = moe.make_router("topk", k=k).choose(logits_NE).load
    assert metrics.max_vio(load_E) == pytest.approx(n_experts / k - 1)
    assert metrics.dead_experts(load_E) == n_experts - k
    assert metrics.effective_experts(load_E) == pytest.approx(k)


@given(loads)
def test_definitions(load_E: np.ndarray) -> None:
    mean = sum(load_E.tolist()) / load_E.size
    assert metrics.max_vio(load_E) == pytest.approx((max(load_E) - mean) / mean if mean else 0)
    assert metrics.min_vio(load_E) == pytest.approx((min(load_E) - mean) / mean if mean else 0)
    if mean:
        spread = math.sqrt(sum((c - mean) ** 2 for c in load_E.tolist()) / load_E.size)
        assert metrics.coefficient_of_variation(load_E) == pytest.approx(spread / mean)
        shares = [c / load_E.sum() for c in load_E.tolist() if c]
        assert metrics.load_entropy(load_E) == pytest.approx(-sum(q * math.log(q) for q in shares))
        assert 1 - 1e-9 <= metrics.effective_experts(load_E) <= load_E.size + 1e-9
    assert metrics.dead_experts(load_E) == load_E.tolist().count(0)


def test_sample_and_population_spread_differ() -> None:
    load_E = np.array([1, 3])
    assert metrics.coefficient_of_variation(load_E) == pytest.approx(0.5)
    assert metrics.coefficient_of_variation(load_E, ddof=1) == pytest.approx(math.sqrt(2) / 2)


def test_overload_is_of_devices_not_experts() -> None:
    load_E = np.array([30, 10, 20, 20])
    assert metrics.overload_factor(load_E, np.array([0, 0, 1, 1])) == pytest.approx(1)
    assert metrics.overload_factor(load_E, np.array([0, 1, 0, 1])) == pytest.approx(1.25)


def test_dropped_assignments_and_unserved_tokens() -> None:
    logits_NE = np.zeros((4, 4))
    routing = moe.Capacity(0.5, "order").apply(moe.make_router("topk").choose(logits_NE))
    assert routing.load.tolist() == [1, 1, 0, 0]  # 4 tokens all want experts 0 and 1, room for 1
    assert metrics.drop_rate(routing) == pytest.approx(6 / 8)
    assert metrics.unserved_tokens(routing) == pytest.approx(3 / 4)


def test_confidence_and_mutual_information() -> None:
    same = np.full((6, 4), 0.25)
    own = np.eye(4)
    assert metrics.router_confidence(same) == pytest.approx(math.log(4))
    assert metrics.mutual_information(same) == pytest.approx(0)
    assert metrics.router_confidence(own) == pytest.approx(0)
    assert metrics.mutual_information(own) == pytest.approx(math.log(4))
    one = np.tile([1.0, 0, 0, 0], (6, 1))  # sure, but all alike: nothing is learnt about tokens
    assert metrics.mutual_information(one) == pytest.approx(0)
    with pytest.raises(ValueError, match="scores_NE: got negative"):
        metrics.mutual_information(-own)


def test_saturation_and_fluctuation() -> None:
    early, late = np.array([[0, 1], [2, 3]]), np.array([[1, 0], [2, 5]])
    assert metrics.saturation(early, late) == pytest.approx(3 / 4)
    assert metrics.saturation(late, late) == 1
    assert metrics.fluctuation(early, late) == pytest.approx(1 / 2)
    with pytest.raises(ValueError, match="final_NK"):
        metrics.saturation(early, late[:1])


def routing_of(expert_NK: list[list[int]], n_experts: int) -> moe.Routing:
    chosen = np.array(expert_NK)
    return moe.Routing.from_choices(chosen, np.ones(chosen.shape), n_experts)


def test_coactivation_counts_all_pairs() -> None:
    routing = routing_of([[0, 1, 2], [0, 1, 3], [0, 2, 3]], 5)
    share_EE = metrics.coactivation(routing)
    assert share_EE[0].tolist() == [1, 2 / 3, 2 / 3, 2 / 3, 0]
    assert share_EE[1].tolist() == [1, 1, 1 / 2, 1 / 2, 0]
    assert not share_EE[4].any()


def test_specialisation_by_label() -> None:
    routing = routing_of([[0, 1], [0, 2], [3, 2]], 4)
    share_LE = metrics.specialisation(routing, np.array([0, 0, 1]), 3)
    assert share_LE.tolist() == [[0.5, 0.25, 0.25, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="label_N"):
        metrics.specialisation(routing, np.array([0]), 3)


def test_repetition_of_random_choices_has_mixtrals_baselines(rng: np.random.Generator) -> None:
    """Mixtral's table 5: 12.5 % for the first choice of 8, 46.4 % for any of two."""
    routing = moe.make_router("topk", k=2).choose(rng.standard_normal((200_000, 8)))
    assert metrics.repetition(routing) == pytest.approx(0.125, abs=0.003)
    any_of_two = 1 - math.comb(6, 2) / math.comb(8, 2)
    assert any_of_two == pytest.approx(0.464, abs=0.0005)
    assert metrics.repetition(routing, rank=None) == pytest.approx(any_of_two, abs=0.004)


def test_repetition_by_hand() -> None:
    routing = routing_of([[0, 1], [0, 2], [2, 0], [3, 1]], 4)
    assert metrics.repetition(routing) == pytest.approx(1 / 3)
    assert metrics.repetition(routing, rank=None) == pytest.approx(2 / 3)


def test_bad_loads_are_refused() -> None:
    for bad in (np.zeros((2, 2)), np.array([])):
        with pytest.raises(ValueError, match="load_E"):
            metrics.max_vio(bad)
