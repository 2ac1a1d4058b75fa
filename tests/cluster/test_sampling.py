"""Copies of a token by formula and by simulation, and sampled routings."""

import itertools
import math

import numpy as np
import pytest

import moe
from moe.cluster import Cluster, traffic
from moe.cluster.sampling import expected_copies, popularity, random_experts, sample_routings


def rng(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize(
    ("copies", "reach", "by_hand"),
    [
        ("expert", 8, 8.0),
        ("node", 8, 8 * (1 - math.comb(224, 8) / math.comb(256, 8))),
        ("node", 4, 4 * (1 - math.comb(96, 8) / math.comb(128, 8))),
    ],
)
def test_copies_per_token(copies, reach, by_hand):
    """A node of 32 experts is missed if all 8 of a token lie elsewhere: 5.29 and 3.63 copies."""
    cluster = Cluster(8, 8)
    formula = 8.0 if copies == "expert" else expected_copies(256, 8, 8, reach)
    expert_NK = random_experts(100_000, 256, 8, rng(), n_group=8, topk_group=reach)
    sent = traffic(expert_NK, cluster.contiguous(256), cluster, copies=copies)
    print(f"{copies}, {reach} nodes: formula {formula:.4f}, simulated {sent.copies_per_token:.4f}")
    assert formula == pytest.approx(by_hand)
    assert sent.copies_per_token == pytest.approx(formula, abs=0.012)  # four standard errors
    # Of all copies the own node's stay: 7 of 8 cross the network.
    assert sent.network_rows / sent.n_copies == pytest.approx(7 / 8, abs=0.003)


def test_kilobytes_and_milliseconds_as_derived():
    row = 7392 + 14336
    for copies, kb, ms in ((8, 173.8, 14.2), (expected_copies(256, 8, 8), 115.0, 9.4),
                           (expected_copies(256, 8, 8, 4), 78.9, 6.5)):  # fmt: skip
        assert round(copies * row / 1e3, 1) == kb
        assert round(4096 * copies * row / 50e9 * 1e3, 1) == ms


def test_expected_copies_by_enumeration():
    for reach in (2, 3):
        found = []
        for places in itertools.combinations(range(3), reach):
            experts = [e for e in range(6) if e // 2 in places]
            found += [len({e // 2 for e in c}) for c in itertools.combinations(experts, 3)]
        assert expected_copies(6, 3, 3, reach) == pytest.approx(np.mean(found))


def test_the_published_gate_reaches_nearly_all_of_its_nodes():
    router = moe.make_router("deepseek_v3", k=8, n_group=8, topk_group=4)
    cluster = Cluster(8, 8)
    (routing,) = sample_routings(router, 8000, popularity(256, 0.0), rng())
    sent = traffic(routing, cluster.contiguous(256), cluster)
    print(f"copies by DeepSeek-V3's gate on random logits: {sent.copies_per_token:.2f}")
    assert 3.9 < sent.copies_per_token <= 4


def test_random_experts_stay_in_their_groups_and_are_distinct():
    expert_NK = random_experts(2000, 32, 4, rng(1), n_group=8, topk_group=2)
    assert all(len(set(row)) == 4 for row in expert_NK.tolist())
    assert max(len(set(row // 4)) for row in expert_NK) <= 2
    load_E = np.bincount(expert_NK.ravel(), minlength=32)
    assert abs(load_E / load_E.mean() - 1).max() < 0.25


def test_skew_makes_loads_uneven():
    router = moe.make_router("topk", k=2)
    spread = []
    for skew in (0.0, 0.5, 1.0):
        load_E = sum(r.load for r in sample_routings(router, 20_000, popularity(16, skew), rng()))
        assert load_E.sum() == 40_000
        spread.append(load_E.std() / load_E.mean())
    assert spread[0] < 0.05 < spread[1] < spread[2]


def test_same_seed_same_tokens():
    router = moe.make_router("topk", k=2)
    runs = [list(sample_routings(router, 9000, popularity(8, 0.3), rng(5))) for _ in range(2)]
    assert [r.n_tokens for r in runs[0]] == [8192, 808]
    for one, two in zip(*runs):
        np.testing.assert_array_equal(one.expert_A, two.expert_A)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: expected_copies(10, 2, 3), "n_places: got 3"),
        (lambda: expected_copies(8, 5, 4, 2), "k: got 5"),
        (lambda: expected_copies(8, 2, 4, 5), "reach: got 5"),
        (lambda: popularity(8, -1.0), "skew: got -1"),
    ],
)
def test_a_wrong_value_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
