"""Each metric against a hand-made case, its bounds, or a second way to compute it."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import moe
from moe import contingency, metrics

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
    with pytest.raises(ValueError, match="later_NK"):
        metrics.fluctuation(early, late[:1])


def test_no_expert_is_none_in_common() -> None:
    early, late = np.array([[0, -1, -1]]), np.array([[1, -1, -1]])
    assert metrics.saturation(early, late) == 0
    assert metrics.saturation(late, late) == 1
    # Shares of 1/2 and 1/1; the token without a final expert is left out.
    early, late = (
        np.array([[0, 1, 2], [3, -1, -1], [0, 1, 2]]),
        np.array([[2, 4], [3, -1], [-1, -1]]),
    )
    assert metrics.saturation(early, late) == pytest.approx(3 / 4)
    assert metrics.random_saturation(early, late, 8) == pytest.approx((3 / 8 + 1 / 8) / 2)
    assert metrics.fluctuation(early, late) == pytest.approx(2 / 3)
    nobody = np.full((2, 1), -1)
    assert metrics.saturation(nobody, nobody) == metrics.random_saturation(nobody, nobody, 4) == 0


def ragged(rng: np.random.Generator, n_tokens: int, n_experts: int, most: int) -> moe.Routing:
    """Each token has 0 to `most` experts."""
    expert_NK = np.argsort(rng.random((n_tokens, n_experts)), axis=1)[:, :most]
    listed_NK = np.arange(most) < rng.integers(0, most + 1, n_tokens)[:, None]
    return moe.Routing.from_choices(
        expert_NK, np.ones(expert_NK.shape), n_experts, listed_NK=listed_NK
    )


def chosen(routing: moe.Routing) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(routing.n_tokens)]
    for token, expert in zip(routing.token_A.tolist(), routing.expert_A.tolist()):
        rows[token].append(expert)
    return rows


def test_figures_of_tokens_with_few_or_no_experts_in_plain_loops(rng: np.random.Generator) -> None:
    routing = ragged(rng, 60, 5, 3)
    rows, sequence_N = chosen(routing), np.arange(60) // 20
    near = [
        (a, b)
        for n, (a, b) in enumerate(itertools.pairwise(rows))
        if a and b and sequence_N[n] == sequence_N[n + 1]
    ]
    assert 20 < len(near) < 50
    again = [bool(set(a) & set(b)) for a, b in near]
    assert metrics.repetition(routing, None, sequence_N) == pytest.approx(np.mean(again))
    # Chance: all sets of as many experts, one by one.
    overlap = {
        (a, b): np.mean(
            [bool({*range(a)} & set(other)) for other in itertools.combinations(range(5), b)]
        )
        for a in range(1, 4)
        for b in range(1, 4)
    }
    chance = np.mean([overlap[len(a), len(b)] for a, b in near])
    assert metrics.chance_repetition(routing, sequence_N) == pytest.approx(chance)
    firsts = [a[0] == b[0] for a, b in near]
    assert metrics.repetition(routing, 0, sequence_N) == pytest.approx(np.mean(firsts))
    seconds = [a[1] == b[1] for a, b in near if len(a) > 1 < len(b)]
    assert metrics.repetition(routing, 1, sequence_N) == pytest.approx(np.mean(seconds))
    pairs = [(a, b) for row in rows for a in row for b in row if a != b]
    n_chosen = sum(map(len, rows))
    # Dealt at random, all 4 others are as likely.
    assert metrics.random_coactivation(routing) == pytest.approx(len(pairs) / n_chosen / 4)
    steps = sum(2 * (len(row) - 1) for row in rows if row)
    assert metrics.random_coactivation(routing, adjacent=True) == pytest.approx(
        steps / n_chosen / 4
    )


def test_nobody_has_neighbours() -> None:
    routing = ragged(np.random.default_rng(0), 5, 4, 2)
    alone_N = np.arange(5)
    assert metrics.repetition(routing, None, alone_N) == 0
    assert metrics.chance_repetition(routing, alone_N) == 0


def test_chances_of_two_numbers_of_choices() -> None:
    assert metrics.random_repetition(8, 2) == pytest.approx(1 - math.comb(6, 2) / math.comb(8, 2))
    for a, b in ((3, 1), (1, 3), (2, 5), (5, 4), (8, 1)):
        want = 1 - math.comb(8 - a, b) / math.comb(8, b)
        assert metrics.random_repetition(8, a, b) == pytest.approx(want)
    with pytest.raises(ValueError, match="next_k"):
        metrics.random_repetition(8, 2, 9)


@pytest.mark.parametrize(
    ("n_experts", "most", "chunk"),
    [(6, 3, 1 << 20), (40, 4, 64), (3000, 5, 1 << 20), (3000, 40, 50), (12, 12, 1 << 20)],
    ids=["table", "merged table", "sorted", "merged", "matrix"],
)
def test_pairs_are_counted_alike_whichever_way(
    n_experts: int, most: int, chunk: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(contingency, "CHUNK", chunk)
    routing = ragged(rng, 50, n_experts, most)
    rows = chosen(routing)
    every = Counter(tuple(sorted(p)) for row in rows for p in itertools.combinations(row, 2))
    near = Counter(tuple(sorted(p)) for row in rows for p in itertools.pairwise(row))
    for adjacent, want in ((False, every), (True, near)):
        expert_P, other_P, count_P = contingency.pair_counts(routing, adjacent)
        found = zip(expert_P.tolist(), other_P.tolist())
        assert dict(zip(found, count_P.tolist())) == dict(want)
        assert (expert_P < other_P).all()


def test_more_pairs_than_can_be_counted_are_refused() -> None:
    one = np.arange(20_000)[None]
    routing = moe.Routing.from_choices(one, np.ones(one.shape), 20_000)
    with pytest.raises(ValueError, match=r"routing: got 199990000 pairs .* allowed are 134217728"):
        contingency.pair_counts(routing)


def test_information_of_tables() -> None:
    def told(table: np.ndarray) -> float:
        rows, columns = np.nonzero(np.ones(table.shape))
        return float(contingency.cells_information(rows[None], columns, table.reshape(-1))[0])

    assert told(np.eye(4)) == pytest.approx(math.log(4))
    assert told(np.ones((3, 5))) == pytest.approx(0)
    assert told(np.zeros((3, 5))) == 0
    table = np.array([[3, 0, 1], [2, 2, 5]])
    p = table / table.sum()
    apart = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    want = (p[p > 0] * np.log(p[p > 0] / apart[p > 0])).sum()
    assert told(table) == pytest.approx(want)


def test_information_of_several_labels_and_of_rare_ones(rng: np.random.Generator) -> None:
    label_RN = rng.integers(0, 3, (4, 30))
    routing = ragged(rng, 30, 5, 2)
    own = contingency.cells_information(label_RN[:, routing.token_A], routing.expert_A)
    assert own == pytest.approx([metrics.label_information(routing, row) for row in label_RN])
    rare_RN = label_RN * 1000  # the same labels, in a table too large to be filled
    assert contingency.cells_information(rare_RN[:, routing.token_A], routing.expert_A) == (
        pytest.approx(own)
    )


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


# Everything once more in plain loops, and at the edges -------------------------------------------


def test_an_empty_batch_has_figures_without_a_division_by_zero() -> None:
    nothing_E = np.zeros(4, int)
    assert metrics.max_vio(nothing_E) == metrics.min_vio(nothing_E) == 0
    assert metrics.coefficient_of_variation(nothing_E) == metrics.load_entropy(nothing_E) == 0
    assert metrics.effective_experts(nothing_E) == 1 and metrics.hottest_share(nothing_E) == 0
    assert metrics.utilisation(nothing_E).tolist() == [0, 0, 0, 0]
    assert metrics.dead_experts(nothing_E) == 4
    assert metrics.overload_factor(nothing_E, np.arange(4)) == 1
    assert metrics.padding_waste(nothing_E) == 0 and metrics.padding_waste(nothing_E, 5) == 1
    nobody = routing_of(np.zeros((0, 1), int), 3)
    assert metrics.drop_rate(nobody) == metrics.unserved_tokens(nobody) == 0
    assert metrics.random_coactivation(nobody) == metrics.repetition(nobody) == 0
    assert metrics.chance_repetition(nobody) == metrics.label_information(nobody, np.zeros(0)) == 0
    assert metrics.specialisation(nobody, np.zeros(0, int), 0).shape == (0, 3)
    assert metrics.fluctuation(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_one_of_everything() -> None:
    """A single expert, token, or assignment is the least at which each quotient must still hold."""
    one_E = np.array([1])
    assert metrics.hottest_share(one_E) == 1 and metrics.load_entropy(one_E) == 0
    assert metrics.coefficient_of_variation(one_E) == 0
    assert metrics.utilisation(one_E).tolist() == [1]
    one = routing_of([[0]], 1)
    assert metrics.drop_rate(one) == metrics.unserved_tokens(one) == 0
    assert metrics.random_coactivation(one) == 0
    assert metrics.random_coactivation(one, adjacent=True) == 0
    both = routing_of([[1, 0]], 2)
    assert metrics.random_coactivation(both) == metrics.random_coactivation(both, True) == 1
    assert metrics.coactivation(both).tolist() == [[1, 1], [1, 1]]
    assert metrics.adjacent_coactivation(both).tolist() == [[0, 1], [1, 0]]
    assert metrics.hottest_share(np.array([0.25, 0.5])) == 0.5  # of shares below one in all


@pytest.mark.parametrize(
    ("limit", "rows"), [(0, 9), (5, 9), (9, 9), (10, 10), (30, 30)],
)  # fmt: skip
def test_rows_without_a_token(limit: int, rows: int) -> None:
    """Three experts compute as many rows as the busiest has, or as they have room for."""
    load_E = np.array([9, 3, 0])
    assert metrics.padding_waste(load_E, limit) == pytest.approx((3 * rows - 12) / (3 * rows))


def test_arguments_out_of_range_are_named() -> None:
    load_E = np.array([1, 2])
    for ddof in (-1, 2):
        with pytest.raises(ValueError, match=f"ddof: got {ddof}, allowed"):
            metrics.coefficient_of_variation(load_E, ddof)
    with pytest.raises(ValueError, match="ddof: got 1"):
        metrics.coefficient_of_variation(np.array([3]), 1)
    with pytest.raises(ValueError, match="limit: got -1"):
        metrics.padding_waste(load_E, -1)
    routing, ids_N = routing_of([[0], [1]], 2), np.zeros(2, int)
    with pytest.raises(ValueError, match="min_count: got 0"):
        metrics.vocabulary_specialisation(routing, ids_N, 0)
    with pytest.raises(ValueError, match="n_labels: got 1"):
        metrics.specialisation(routing, np.array([0, 1]), 1)
    for label_N in (np.zeros(3, int), np.zeros((2, 1), int)):
        for wrong in (metrics.label_information, lambda r, n: metrics.specialisation(r, n, 1)):
            with pytest.raises(ValueError, match=r"label_N: got shape .*, allowed is \(2,\)"):
                wrong(routing, label_N)
    for arguments, name in (
        ((0, 1), "n_experts"),
        ((4, 0), "k"),
        ((4, 5), "k"),
        ((4, 1, 0), "next_k"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: got"):
            metrics.random_repetition(*arguments)
    assert metrics.random_repetition(1, 1) == metrics.random_repetition(4, 4, 1) == 1
    flat, table = np.zeros(3, int), np.zeros((3, 1), int)
    for pair in ((flat, table), (table, flat), (table, table[:2])):
        for figure in (
            metrics.saturation, metrics.fluctuation,
            lambda a, b: metrics.random_saturation(a, b, 4),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"_NK: got shape"):
                figure(*pair)


def test_the_entropy_of_scores_of_any_size(rng: np.random.Generator) -> None:
    """Scores are divided by their sum first; a token without any is sure."""
    scores_NE = rng.random((30, 5)) * rng.integers(1, 50, (30, 1))
    scores_NE[3, 1:] = 0
    p_NE = [[value / sum(row) for value in row] for row in scores_NE.tolist()]

    def entropy(p: list[float]) -> float:
        return -sum(q * math.log(q) for q in p if q)

    mean = sum(map(entropy, p_NE)) / 30
    assert metrics.router_confidence(scores_NE) == pytest.approx(mean)
    total = entropy([sum(column) / 30 for column in zip(*p_NE)])
    assert metrics.mutual_information(scores_NE) == pytest.approx(total - mean)
    assert metrics.router_confidence(np.zeros((2, 3))) == 0
    with pytest.raises(ValueError, match="scores_NE"):
        metrics.router_confidence(np.ones(3))
    assert metrics.router_confidence(np.zeros((1, 1))) == 0


def test_saturation_and_fluctuation_in_plain_loops(rng: np.random.Generator) -> None:
    def sets(k: int) -> np.ndarray:
        experts = np.argsort(rng.random((80, 7)), axis=1)[:, :k]
        listed = np.arange(k) < rng.integers(0, k + 1, 80)[:, None]
        return np.where(listed, experts, -1)

    for k, final_k in ((2, 3), (3, 2), (1, 1), (4, 4)):
        before, final = sets(k), sets(final_k)
        rows = [({*a} - {-1}, {*b} - {-1}) for a, b in zip(before.tolist(), final.tolist())]
        served = [(a, b) for a, b in rows if b]
        assert 0 < len(served) < 80
        assert metrics.saturation(before, final) == pytest.approx(
            np.mean([len(a & b) / len(b) for a, b in served])
        )
        assert metrics.random_saturation(before, final, 7) == pytest.approx(
            np.mean([len(a) / 7 for a, _ in served])
        )
        for one, other in ((before, final), (final, before)):
            assert metrics.fluctuation(one, other) == np.mean([a != b for a, b in rows])
    lists = before.tolist(), final.tolist()
    assert metrics.saturation(*lists) == metrics.saturation(before, final)


def test_pairs_of_experts_in_plain_loops(rng: np.random.Generator) -> None:
    routing = ragged(rng, 70, 6, 4)
    rows = chosen(routing)
    for share_EE, pairs in (
        (metrics.coactivation(routing), itertools.permutations),
        (metrics.adjacent_coactivation(routing), None),
    ):
        for a, b in itertools.product(range(6), repeat=2):
            with_a = [row for row in rows if a in row]
            if pairs:
                met = sum(b in row for row in with_a)
            else:
                met = sum({a, b} == {*pair} for row in rows for pair in itertools.pairwise(row))
            assert share_EE[a, b] == pytest.approx(met / len(with_a))


def test_labels_and_experts_in_plain_loops(rng: np.random.Generator) -> None:
    routing, label_N = ragged(rng, 90, 5, 3), rng.integers(0, 4, 90) * 3
    pairs = [(label_N[t], e) for t, row in enumerate(chosen(routing)) for e in row]
    both, left, right = Counter(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    n = len(pairs)
    told = sum(c / n * math.log(c * n / (left[a] * right[b])) for (a, b), c in both.items())
    assert metrics.label_information(routing, label_N) == pytest.approx(told)
    share_LE = metrics.specialisation(routing, label_N, 11)
    for label, expert in itertools.product(range(11), range(5)):
        want = both[label, expert] / left[label] if left[label] else 0
        assert share_LE[label, expert] == pytest.approx(want)


@pytest.mark.parametrize("min_count", [1, 6, 7, 10])
def test_favourite_experts_in_plain_loops(min_count: int, rng: np.random.Generator) -> None:
    routing = ragged(rng, 120, 5, 2)
    ids_N = rng.integers(0, 20, 120) * 1000 - 5
    firsts: dict[int, list[int]] = {}
    for token, row in zip(ids_N.tolist(), chosen(routing)):
        if row:
            firsts.setdefault(token, []).append(row[0])
    want = []
    for token in sorted(firsts):
        count = Counter(firsts[token])
        favourite = min(count, key=lambda e: (-count[e], e))  # of equals the lower one
        if len(firsts[token]) >= min_count:
            want.append((token, favourite, count[favourite] / len(firsts[token])))
    ids, expert, share = metrics.vocabulary_specialisation(routing, ids_N, min_count)
    assert list(zip(ids.tolist(), expert.tolist(), share.tolist())) == want


def test_an_id_counts_from_ten_on() -> None:
    routing = routing_of([[0]] * 19, 2)
    ids_N = np.array([7] * 10 + [8] * 9)
    assert metrics.vocabulary_specialisation(routing, ids_N)[0].tolist() == [7]


def test_neighbours_are_named_by_the_first_of_them(rng: np.random.Generator) -> None:
    routing, sequence_N = ragged(rng, 50, 4, 3), np.arange(50) // 11
    rows = chosen(routing)
    assert metrics.first_choices(routing).tolist() == [row[0] if row else -1 for row in rows]
    assert metrics.first_choices(routing, 2).tolist() == [
        row[2] if len(row) > 2 else -1 for row in rows
    ]
    for sequences in (None, sequence_N):
        for rank in (None, 0, 1):
            token_P, again_P = metrics.repeats(routing, rank, sequences)
            near = [
                (t, bool({*a} & {*b}) if rank is None else a[rank] == b[rank])
                for t, (a, b) in enumerate(itertools.pairwise(rows))
                if min(len(a), len(b)) > (rank or 0)
                and (sequences is None or sequences[t] == sequences[t + 1])
            ]
            assert list(zip(token_P.tolist(), again_P.tolist())) == near


@pytest.mark.parametrize("seed", range(5))
def test_how_a_load_comes_to_rest_is_its_definition_in_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratio_SE = 1 + rng.normal(0, 0.3, (12, 5)) * np.linspace(1, 0.1, 12)[:, None]
    rows = ratio_SE.tolist()
    changes = [abs(b - a) for one, two in itertools.pairwise(rows) for a, b in zip(one, two)]
    assert metrics.ripple(ratio_SE) == pytest.approx(sum(changes) / len(changes))
    beyond = [0.0]
    for e, first in enumerate(rows[0]):
        if abs(first - 1) >= 0.1:
            beyond += [(1 - row[e]) if first > 1 else (row[e] - 1) for row in rows]
    assert metrics.overshoot(ratio_SE) == pytest.approx(max(beyond))
    error_S = np.abs(ratio_SE - 1).max(axis=1)
    for level in (0.05, 0.2, 0.4, 9.0):
        calm = [s for s in range(12) if all(error < level for error in error_S[s:])]
        assert metrics.settling(error_S, level) == (calm[0] if calm else None)
    assert metrics.ripple(ratio_SE[:1]) == 0
    assert metrics.settling(np.array([0.5, np.nan]), 1.0) is None
    assert metrics.settling(np.array([np.nan, 0.5]), 1.0) == 1
    assert metrics.settling(np.zeros(0), 1.0) is None


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), ()])
def test_ratios_of_another_shape_are_named(shape: tuple[int, ...]) -> None:
    for metric in (metrics.overshoot, metrics.ripple):
        with pytest.raises(ValueError, match=r"ratio_SE: got shape .*, allowed is \(S, E\), both"):
            metric(np.ones(shape))
    with pytest.raises(ValueError, match=r"error_S: got shape \(2, 2\), allowed is \(S,\)"):
        metrics.settling(np.ones((2, 2)), 1.0)
