"""Policies of an expert cache, each against another way to say what it does."""

from __future__ import annotations

from collections import Counter, OrderedDict
from fractions import Fraction
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe import kernels
from moe.expert_cache import POLICIES, Past, Requests, base
from moe.kernels.residence import Visits


def tokens(rng: np.random.Generator, n: int, k: int, n_experts: int) -> np.ndarray:
    """Random choices, some experts more popular than others, now and then fewer than k."""
    gumbel_NE = rng.gumbel(size=(n, n_experts)) + rng.normal(size=n_experts)
    expert_NK = np.argsort(-gumbel_NE, axis=1)[:, :k].astype(np.int16)
    expert_NK[rng.random(n) < 0.1, -1] = -1
    return expert_NK


def requests(rng: np.random.Generator, n: int, k: int, n_experts: int) -> Requests:
    now, below, then, below_then = (tokens(rng, n, k, n_experts) for _ in range(4))
    return Requests(now, below, n_experts, k, Past(then, below_then, n_experts))


def replayed(name: str, asked: Requests, slots: int) -> Visits:
    policy = POLICIES[name]()
    return kernels.replay_cache(
        asked.expert_NK, *policy.plan(asked), slots, asked.n_experts, policy.skips
    )


def sizes(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Tokens, k, experts, slots."""
    n_experts = int(rng.integers(2, 17))
    k = int(rng.integers(1, min(n_experts, 5) + 1))
    return int(rng.integers(1, 41)), k, n_experts, int(rng.integers(1, n_experts + 1))


def test_lru_equals_an_ordered_dict_on_a_thousand_random_traces() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        n, k, n_experts, slots = sizes(rng)
        asked = requests(rng, n, k, n_experts)
        there: OrderedDict[int, None] = OrderedDict()
        hits = 0
        wanted = asked.expert_NK[asked.expert_NK >= 0].tolist()
        for expert in wanted:
            if expert in there:
                hits += 1
                there.move_to_end(expert)
                continue
            if len(there) == slots:
                there.popitem(last=False)
            there[expert] = None
        assert replayed("lru", asked, slots) == (hits, 0, len(wanted) - hits)


def test_lfu_drops_the_one_used_least_so_far_then_the_one_unused_longest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        n, k, n_experts, slots = sizes(rng)
        asked = requests(rng, n, k, n_experts)
        there: list[int] = []  # in the order of their latest use
        used: Counter[int] = Counter()
        hits = 0
        wanted = asked.expert_NK[asked.expert_NK >= 0].tolist()
        for expert in wanted:
            hits += expert in there
            if expert in there:
                there.remove(expert)
            elif len(there) == slots:
                there.remove(min(there, key=used.__getitem__))
            used[expert] += 1
            there.append(expert)
        assert replayed("lfu", asked, slots) == (hits, 0, len(wanted) - hits)


@pytest.mark.parametrize("name", ["pinned", "pinned_other"])
def test_pinned_experts_are_missed_once_and_stay(name: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        n, k, n_experts, slots = sizes(rng)
        asked = requests(rng, n, k, n_experts)
        assert asked.past is not None
        ranked = sorted(range(n_experts), key=lambda e: (-asked.past.load_E[e], e))
        hits = replayed(name, asked, slots).hits
        wanted = Counter(asked.expert_NK[asked.expert_NK >= 0].tolist())
        # The favourite of r others is there iff fewer than `slots` of those have been asked for.
        seen: set[int] = set()
        expected = 0
        for expert in asked.expert_NK[asked.expert_NK >= 0].tolist():
            better = sum(other in seen for other in ranked[: ranked.index(expert)])
            expected += expert in seen and better < slots
            seen.add(expert)
        assert hits == expected
        assert hits >= sum(wanted[expert] - 1 for expert in ranked[:slots] if wanted[expert])


def chances(known: list[int], then: np.ndarray, pair: np.ndarray, k: int) -> list[int]:
    """The likeliest experts after known ones, from exact fractions of counted pairs."""
    scale = 2**20
    total = Counter(dict.fromkeys(range(len(pair)), 0))
    for e in known:
        if e >= 0:
            for f in range(len(pair)):
                seen = max(int(pair[e].sum()), 1)
                total[f] += Fraction(int(pair[e, f]) * scale, seen).__floor__()
    best = sorted(total, key=lambda f: (-total[f], f))[:k]
    return [f if total[f] else -1 for f in best]


def test_what_is_read_ahead_is_what_followed_most_often() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        n, k, n_experts, _ = sizes(rng)
        now, below, then, below_then = (tokens(rng, n, k, n_experts) for _ in range(4))
        asked = Requests(now, below, n_experts, k, Past(then, below_then, n_experts))
        after, under = np.zeros((2, n_experts, n_experts), int)
        for t in range(n):
            for f in then[t][then[t] >= 0]:
                for e in below_then[t][below_then[t] >= 0]:
                    under[e, f] += 1
                for e in then[t - 1][then[t - 1] >= 0] if t else []:
                    after[e, f] += 1
        by_token = POLICIES["last_token"]().ahead(asked).tolist()
        by_layer = POLICIES["last_layer"]().ahead(asked).tolist()
        k = min(k, n_experts)
        assert by_token[0] == [-1] * k
        assert by_token[1:] == [chances(row, then, after, k) for row in now[:-1].tolist()]
        assert by_layer == [chances(row, then, under, k) for row in below.tolist()]


def test_the_first_layer_has_none_below_it_and_reads_nothing_ahead() -> None:
    rng = np.random.default_rng(4)
    now, then = tokens(rng, 30, 2, 8), tokens(rng, 30, 2, 8)
    asked = Requests(now, None, 8, 2, Past(then, None, 8))
    assert replayed("last_layer", asked, 3) == replayed("lru", asked, 3)


def test_the_last_tokens_own_experts_need_no_reading_ahead() -> None:
    """LRU has kept them wherever there is room for a token's experts at all."""
    rng = np.random.default_rng(5)
    now = np.ascontiguousarray(np.sort(tokens(rng, 60, 3, 9), axis=1)[:, ::-1])
    own = np.concatenate([np.full((1, 3), -1), now[:-1].astype(np.int64)])
    worth = 2 * np.arange(now.size).reshape(now.shape) + 1
    for slots in range(3, 10):
        plain = kernels.replay_cache(now, worth, np.full((60, 0), -1), slots, 9, False)
        ahead = kernels.replay_cache(now, worth, own, slots, 9, False)
        # What is read ahead is what is there; no read is added, and none comes early.
        assert (ahead.early, ahead.hits + ahead.reads) == (0, plain.hits + plain.reads)


small = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 3), st.integers(3, 6)
)


@given(small, st.integers(1, 6))
@settings(max_examples=200, deadline=None)  # the first call compiles
def test_nothing_beats_belady(size: tuple[int, int, int, int], slots: int) -> None:
    seed, n, k, n_experts = size
    asked = requests(np.random.default_rng(seed), n, k, n_experts)
    best = replayed("belady", asked, slots)
    assert best.hits + best.reads == (asked.expert_NK >= 0).sum()
    for name in POLICIES:
        one = replayed(name, asked, slots)
        assert one.hits <= best.hits
        assert one.reads >= best.reads


def fewest_reads(wanted: tuple[int, ...], n_experts: int, slots: int) -> int:
    """Fewest reads of any plan that may read anything at any time, by trying all of them."""
    states = [
        frozenset(chosen)
        for size in range(slots + 1)
        for chosen in combinations(range(n_experts), size)
    ]

    @cache
    def least(at: int, there: frozenset[int]) -> int:
        if at == len(wanted):
            return 0
        # First anything is read ahead and anything dropped; then the expert is asked for.
        costs = []
        for ready in states:
            before = len(ready - there)
            if wanted[at] in ready:
                costs.append(before + least(at + 1, ready))
            else:
                after = {s for s in states if s <= ready | {wanted[at]}}
                costs.append(before + 1 + min(least(at + 1, s) for s in after))
        return min(costs)

    return least(0, frozenset())


@given(small, st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_belady_reads_as_few_as_any_plan_at_all(
    size: tuple[int, int, int, int], slots: int
) -> None:
    seed, n, _, n_experts = size
    asked = requests(np.random.default_rng(seed), min(n, 7), 1, min(n_experts, 4))
    wanted = tuple(asked.expert_NK[asked.expert_NK >= 0].tolist())
    assert replayed("belady", asked, slots).reads == fewest_reads(wanted, asked.n_experts, slots)


def test_more_room_never_reads_more_where_worth_ignores_the_cache() -> None:
    """LRU, LFU, pinned and Belady are stack policies: what n slots hold, n + 1 hold, too."""
    rng = np.random.default_rng(6)
    for _ in range(50):
        n, k, n_experts, _ = sizes(rng)
        asked = requests(rng, n, k, n_experts)
        for name in ("lru", "lfu", "pinned", "belady"):
            hits = [replayed(name, asked, slots).hits for slots in range(1, n_experts + 1)]
            assert hits == sorted(hits)


def test_titles_and_sources_differ() -> None:
    assert len({policy.title for policy in POLICIES.values()}) == len(POLICIES)
    assert all(
        policy.source and policy.past in ("", "own", "other") for policy in POLICIES.values()
    )


def test_pairs_are_counted_in_as_many_passes_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    left, right = tokens(rng, 50, 3, 6), tokens(rng, 50, 2, 6)
    by_hand = np.zeros((6, 6), int)
    for row, other in zip(left.tolist(), right.tolist(), strict=True):
        for e in row:
            for f in other:
                by_hand[e, f] += e >= 0 and f >= 0
    for least in (1, 100, 1 << 20):
        monkeypatch.setattr(base, "LEAST_PAIRS", least)
        assert base.pair_counts(left, right, 6).tolist() == by_hand.tolist()
    assert base.pair_counts(left[:0], right[:0], 6).tolist() == np.zeros((6, 6), int).tolist()


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.past])
def test_a_policy_without_the_past_that_it_needs_says_so(name: str) -> None:
    asked = Requests(np.array([[0, 1]], np.int16), None, 4, 2)
    with pytest.raises(ValueError, match="past: got none, allowed is what the layer chose before"):
        POLICIES[name]().plan(asked)
