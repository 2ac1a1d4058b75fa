"""Expert Threshold: the authors' running cutoff in plain loops, its balance, and its causality."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import metrics


def authors_cutoffs(batches: list[np.ndarray], k: int, alpha: float) -> list[list[float]]:
    """engines/common.py: the k-th largest of each column, a running mean, and its correction."""
    n_experts = batches[0].shape[1]
    raw, seen = [0.0] * n_experts, []
    for n, logits_NE in enumerate(batches, 1):
        for e in range(n_experts):
            column = sorted(logits_NE[:, e].tolist(), reverse=True)
            raw[e] = alpha * raw[e] + (1 - alpha) * column[k - 1]
        seen.append([value / (1 - alpha**n) for value in raw])
    return seen


@pytest.mark.parametrize("rate", [0.001, 0.1, 1.0])
def test_the_bars_are_the_authors(rate: float) -> None:
    rng = np.random.default_rng(3)
    batches = [rng.standard_normal((40, 8)) + step for step in range(6)]
    balancer, router = moe.make_balancer("cutoff_ema", rate=rate, k=2), "expert_threshold"
    buffers = {"threshold_E": np.zeros(8)} | balancer.init_state(8)
    for logits_NE, expected in zip(batches, authors_cutoffs(batches, 10, 1 - rate), strict=True):
        balancer.update(buffers, moe.make_router(router).choose(logits_NE, **buffers))
        assert buffers["threshold_E"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rate", [0, 1e-300])
def test_a_rate_of_next_to_nothing_leaves_the_bars(rate: float) -> None:
    balancer = moe.make_balancer("cutoff_ema", rate=rate)
    buffers = {"threshold_E": np.full(4, 0.5)} | balancer.init_state(4)
    balancer.update(buffers, moe.make_router("expert_threshold").choose(np.ones((8, 4))))
    assert buffers["threshold_E"].tolist() == [0.5] * 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bars_balance_other_tokens_than_those_they_come_from(seed: int) -> None:
    """Even in the mean over all tokens, and without a look at the batch that is routed."""
    rng = np.random.default_rng(seed)
    popular_E = np.linspace(2, -2, 16)
    balancer = moe.make_balancer("cutoff_ema", rate=0.1, k=2)
    router, buffers = moe.make_router("expert_threshold"), {"threshold_E": np.zeros(16)}
    before = metrics.max_vio(router.choose(rng.standard_normal((2048, 16)) + popular_E).load)
    for _ in range(30):
        routing = router.choose(rng.standard_normal((2048, 16)) + popular_E, **buffers)
        balancer.update(buffers, routing)
    fresh = router.choose(rng.standard_normal((20_000, 16)) + popular_E, **buffers)
    assert before > 0.7 and metrics.max_vio(fresh.load) < 0.1
    assert fresh.n_assignments / fresh.n_tokens == pytest.approx(2, abs=0.1)
    counts = np.bincount(fresh.token_A, minlength=fresh.n_tokens)
    assert (counts == 0).any() and counts.max() >= 5


def test_on_its_own_batch_a_full_step_gives_every_expert_its_share() -> None:
    """The q-th largest is the bar, and only what is above counts: one fewer than expert choice."""
    logits_NE = np.random.default_rng(0).standard_normal((64, 8))
    balancer = moe.make_balancer("cutoff_ema", rate=1.0, k=2)
    router, buffers = moe.make_router("expert_threshold"), {"threshold_E": np.zeros(8)}
    balancer.update(buffers, router.choose(logits_NE, **buffers))
    routing = router.choose(logits_NE, **buffers)
    assert routing.load.tolist() == [15] * 8
    chosen = moe.make_router("expert_choice", factor=2.0).choose(logits_NE)
    mine = set(zip(routing.token_A.tolist(), routing.expert_A.tolist(), strict=True))
    shares = np.argsort(-logits_NE, axis=0)[:15]
    assert mine == {(int(t), e) for e in range(8) for t in shares[:, e]}
    assert chosen.load.tolist() == [16] * 8


def test_a_token_is_routed_the_same_alone_and_first_choices_are_the_furthest_above() -> None:
    rng = np.random.default_rng(1)
    logits_NE, bars_E = rng.standard_normal((50, 8)), rng.standard_normal(8)
    router = moe.make_router("expert_threshold")
    whole = router.choose(logits_NE, threshold_E=bars_E)
    for token in range(50):
        one = router.choose(logits_NE[token : token + 1], threshold_E=bars_E)
        own = whole.token_A == token
        assert np.array_equal(one.expert_A, whole.expert_A[own])
        assert np.array_equal(one.weight_A, whole.weight_A[own])
        assert one.rank_A.tolist() == list(range(one.n_assignments))
        above = [logits_NE[token, e] - bars_E[e] for e in one.expert_A]
        assert above == sorted(above, reverse=True) and all(value > 0 for value in above)


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    balancer = moe.make_balancer("cutoff_ema", k=3)
    words = r"k: got 3, allowed is a whole number in 1\.\.2 \(n_experts is 2\)"
    with pytest.raises(ValueError, match=words):
        balancer.init_state(2)
    routing = moe.make_router("expert_threshold").choose(np.ones((4, 2)))
    with pytest.raises(ValueError, match=words):
        balancer.update({"threshold_E": np.zeros(2)}, routing)
    buffers = {"threshold_E": np.zeros(3)}  # all of them: the bar is the smallest
    balancer.update(buffers, moe.make_router("expert_threshold").choose(np.eye(3) + 1))
    assert buffers["threshold_E"] == pytest.approx([1, 1, 1], rel=1e-12)


def test_in_a_batch_of_few_tokens_the_bar_is_the_largest() -> None:
    balancer, buffers = moe.make_balancer("cutoff_ema", rate=1.0), {"threshold_E": np.zeros(4)}
    logits_NE = np.array([[4.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]])  # a share of half a token
    balancer.update(buffers, moe.make_router("expert_threshold").choose(logits_NE))
    assert buffers["threshold_E"].tolist() == [4, 2, 3, 4]


@pytest.mark.parametrize("name", ["expert_threshold", "dynmoe"])
def test_thresholds_of_another_shape_or_kind_are_named(name: str) -> None:
    router, logits_NE = moe.make_router(name), np.ones((2, 4))
    for bars, words in (
        (np.zeros(3), r"threshold_E: got shape \(3,\), allowed is \(4,\)"),
        (np.zeros(4, int), "threshold_E: got dtype int64"),
        (np.full(4, np.nan), "threshold_E: got NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=words):
            router.choose(logits_NE, threshold_E=bars)
