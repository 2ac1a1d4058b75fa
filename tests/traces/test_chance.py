"""Chance figures are what random routing gives, and the width of a file's arrays says nothing."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.app.your_model import closer
from moe.app.your_model.story import YourModel
from moe.cluster import homes
from moe.traces import Trace, chance, make_trace
from moe.traces.myths import check_myths
from moe.traces.report import analyse_trace
from tests.traces.chance import distances, random_trace

FIVE = 5  # standard errors; of some hundred differences with 15 degrees of freedom


def test_chance_of_every_router_is_what_random_logits_give() -> None:
    far = distances(16, sayings=False)
    assert len(far) == 10 * len(moe.ROUTERS)
    assert {pair: z for pair, z in far.items() if abs(z) > FIVE} == {}


@pytest.mark.soak
def test_chance_of_every_router_over_many_seeds() -> None:
    far = distances(200, sayings=True)
    assert {pair: z for pair, z in far.items() if abs(z) > 4} == {}


@pytest.fixture(scope="module")
def narrow() -> tuple[Trace, Trace]:
    """Traces of a router without a fixed number of experts, and of another checkpoint."""
    rng = np.random.default_rng(5)
    router = moe.make_router("top_p", p=0.5)
    return random_trace(router, rng), random_trace(router, rng)


def padded(trace: Trace, width: int) -> Trace:
    added = ((0, 0), (0, 0), (0, width - trace.expert_LNK.shape[2]))
    return replace(
        trace,
        expert_LNK=np.pad(trace.expert_LNK, added, constant_values=-1),
        weight_LNK=np.pad(trace.weight_LNK, added),
    )


def everything(trace: Trace, against: Trace) -> str:
    """All that the command and the page say of two traces."""
    model, earlier = YourModel.of(trace), YourModel.of(against)
    return json.dumps([
        analyse_trace(trace, against).as_json(),
        analyse_trace(trace, against).rows(),
        [check.as_json() for check in check_myths(trace)],
        trace.describe(),
        model.figures(0),
        [line.words() for line in [*closer.repetition(model), closer.saturation(model, earlier)]],
        closer.repetition_rows(model),
        [closer.pairs(model, 0, adjacent).value_RE.tolist() for adjacent in (False, True)],
        [closer.pairs(model, 0, adjacent).words for adjacent in (False, True)],
        [model.loads(0).words, closer.domains(model, 0).words, closer.vocabulary(model, 0).words],
        closer.devices(model, 0, homes.IN_ORDER, 2).words,
    ])  # fmt: skip


@pytest.mark.parametrize("width", [6, 8])
def test_a_wider_file_of_the_same_routing_says_the_same(
    narrow: tuple[Trace, Trace], width: int
) -> None:
    trace, later = narrow
    assert trace.expert_LNK.shape[2] < 6
    want = everything(trace, later)
    assert everything(padded(trace, width), padded(later, width)) == want
    assert everything(padded(trace, width), later) == want
    assert everything(trace, padded(later, width)) == want


def test_one_token_with_all_experts_changes_no_chance_of_the_others() -> None:
    experts = np.full((1, 400, 8), -1)
    experts[0, :, 0] = np.random.default_rng(2).integers(0, 8, 400)
    before = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 8)
    experts[0, 7] = np.arange(8)
    after = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 8)
    (one,), (other,) = analyse_trace(before).layers, analyse_trace(after).layers
    assert one.chance_repeat_any == 1 / 8 and one.chance_pair == 0
    # Two of 399 pairs of neighbours hold the token, and share an expert for certain.
    assert other.chance_repeat_any == pytest.approx((397 / 8 + 2) / 399)
    assert other.chance_pair == pytest.approx(8 / 407)  # 56 of the 407 choices' partners, each of 7


def test_shuffles_leave_out_tokens_without_experts() -> None:
    """Every second token has none: the ids that have some are dealt among themselves."""
    rng = np.random.default_rng(3)
    experts = np.full((1, 400, 1), -1)
    experts[0, ::2, 0] = rng.integers(0, 4, 200)
    ids_N = np.arange(400) % 2 * 100 + np.arange(400) // 2 % 5
    trace = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 4, ids_N)
    (layer,) = analyse_trace(trace).layers
    assert layer.vocabulary_ids == 5
    firsts = np.array([experts[0, ids_N == one, 0] for one in range(5)])
    means = []
    for _ in range(200):
        dealt = rng.permutation(firsts.ravel()).reshape(5, 40)
        means.append(np.mean([np.bincount(row).max() / 40 for row in dealt]))
    error = np.std(means) / np.sqrt(chance.N_SHUFFLES)
    assert layer.chance_vocabulary == pytest.approx(np.mean(means), abs=4 * error)
    # No two tokens with experts adjoin.
    assert layer.repeat_first is layer.repeat_any is layer.chance_repeat_any is None
    assert layer.same_load_repeat_first is None and "first" not in trace_rows(trace)
    assert closer.repetition(YourModel.of(trace)) == []


def trace_rows(trace: Trace) -> dict:
    return analyse_trace(trace).rows()[0]


def test_a_hot_expert_is_no_specialist() -> None:
    """One expert has most of every topic: its share is what shuffled tokens give."""
    rng = np.random.default_rng(4)
    experts = np.where(rng.random((1, 800, 1)) < 0.7, 3, rng.integers(0, 8, (1, 800, 1)))
    trace = make_trace(
        experts, np.ones(experts.shape), 8, domain_N=np.arange(800) // 200, domains="abcd"
    )
    (layer,) = analyse_trace(trace).layers
    assert layer.strongest_domain > 5
    assert layer.chance_strongest_domain == pytest.approx(layer.strongest_domain, rel=0.05)
    share = [np.mean(experts[0, d * 200 : (d + 1) * 200] == 3) for d in range(4)]
    assert layer.strongest_domain == pytest.approx(8 * max(share))
    words = closer.domains(YourModel.of(trace), 0).words
    assert f"expert 3 gets {8 * max(share):.1f} times its fair share" in words
    assert f"would have {layer.chance_strongest_domain:.1f} times" in words


def many(n_layers: int = 1, n_tokens: int = 1, n_experts: int = 2, **described: object) -> Trace:
    experts = np.arange(n_layers * n_tokens).reshape(n_layers, n_tokens, 1) % n_experts
    return make_trace(experts, np.ones(experts.shape), n_experts, **described)


CROWDS: dict[str, Callable[[], Trace]] = {
    "experts": lambda: make_trace([[[0, 11_999]]], np.ones((1, 1, 2)), 12_000),
    "domains": lambda: many(
        n_tokens=4000, domain_N=np.arange(4000) % 2000, domains=list(map(str, range(2000)))
    ),
    "sequences": lambda: many(n_tokens=4000, sequence_N=np.arange(4000) // 2),
    "sequences of one token": lambda: many(
        n_tokens=30_000, sequence_N=np.arange(30_000), domain_N=np.arange(30_000) % 3,
        domains="abc",
    ),
    "domains of many experts": lambda: many(
        n_tokens=4000, n_experts=1000, domain_N=np.arange(4000) // 2,
        domains=list(map(str, range(2000))), sequence_N=np.arange(4000) // 8,
    ),
    "layers": lambda: many(n_layers=200, n_tokens=20, n_experts=1000),
}  # fmt: skip


@pytest.mark.parametrize("of", CROWDS)
def test_memory_goes_with_what_a_file_holds(of: str) -> None:
    """Tables of all pairs of 12,000 experts would take 2 GB, of 2,000 stretches 64 MB."""
    trace = CROWDS[of]()
    tracemalloc.start()
    model = YourModel.of(trace)
    for at in {0, trace.n_layers - 1}:
        _ = (
            closer.pairs(model, at, False),
            closer.domains(model, at),
            closer.vocabulary(model, at),
            closer.repetition_rows(model),
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48e6


def few(rng: np.random.Generator) -> moe.Routing:
    """Some tokens of up to three experts of five, the others of none."""
    expert_NK = np.argsort(rng.random((60, 5)), axis=1)[:, :3]
    listed_NK = np.arange(3) < rng.integers(0, 4, 60)[:, None]
    return moe.Routing.from_choices(expert_NK, np.ones((60, 3)), 5, listed_NK=listed_NK)


def in_loops(
    routing: moe.Routing, domain_N: np.ndarray, ids_N: np.ndarray, min_count: int
) -> tuple[float, float, float]:
    """What labels tell, their strongest share, and the mean favourite, by counting."""
    rows: list[list[int]] = [[] for _ in range(routing.n_tokens)]
    for token, expert in zip(routing.token_A.tolist(), routing.expert_A.tolist()):
        rows[token].append(expert)
    pairs = [(domain_N[t], e) for t, row in enumerate(rows) for e in row]
    both = {pair: pairs.count(pair) for pair in set(pairs)}
    left = {d: sum(n for (one, _), n in both.items() if one == d) for d, _ in both}
    right = {e: sum(n for (_, one), n in both.items() if one == e) for _, e in both}
    told = sum(
        n / len(pairs) * np.log(n * len(pairs) / left[d] / right[e]) for (d, e), n in both.items()
    )
    strongest = max(5 * n / left[d] for (d, _), n in both.items())
    shares = []
    for one in set(ids_N.tolist()):
        firsts = [row[0] for row, own in zip(rows, ids_N) if own == one and row]
        if len(firsts) >= min_count:
            shares.append(max(map(firsts.count, firsts)) / len(firsts))
    return told, strongest, float(np.mean(shares))


def test_the_strongest_domain_in_loops() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        routing, domain_N = few(rng), rng.integers(0, 4, 60)
        d, e, times = chance.strongest_domain(routing, domain_N)
        assert times == pytest.approx(in_loops(routing, domain_N, domain_N, 1)[1])
        own_A = routing.expert_A[domain_N[routing.token_A] == d]
        assert times == pytest.approx(5 * (own_A == e).mean())
    nobody = moe.Routing.from_choices(
        np.zeros((2, 1), int), np.ones((2, 1)), 3, listed_NK=np.zeros((2, 1), bool)
    )
    assert chance.strongest_domain(nobody, np.zeros(2, int)) == (0, 0, 0.0)
    none = chance.by_chance(nobody, np.zeros(2, int), np.zeros(2, int), 1, np.random.default_rng(0))
    assert none == chance.ByChance(None, None, None)


@pytest.mark.parametrize("chunk", [1 << 18, 300, 1])
def test_figures_by_chance_are_means_over_deals_of_ones_own(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    routing, domain_N, ids_N = few(rng), np.repeat([0, 1, 2], 20), np.arange(60) % 7
    monkeypatch.setattr(chance, "CHUNK", chunk)
    served = np.unique(routing.token_A)
    count = np.bincount(ids_N[served])
    least = int(np.sort(count)[2])  # some ids are too rare
    assert 0 < (count < least).sum() < 7
    found = chance.by_chance(routing, domain_N, ids_N, least, rng)
    deals = []
    for _ in range(150):
        order = rng.permutation(served)
        labels_N, names_N = domain_N.copy(), ids_N.copy()
        labels_N[served], names_N[served] = domain_N[order], ids_N[order]
        deals.append(in_loops(routing, labels_N, names_N, least))
    error = np.std(deals, axis=0) * np.sqrt(1 / chance.N_SHUFFLES + 1 / 150)
    mine = (found.information, found.strongest, found.vocabulary)
    assert (abs(np.mean(deals, axis=0) - mine) < 4 * error).all()
    for domains, ids, said in (
        (None, ids_N, (False, False, True)), (domain_N, None, (True, True, False)),
        (None, None, (False, False, False)),
    ):  # fmt: skip
        part = chance.by_chance(routing, domains, ids, least, rng)
        told = (part.information, part.strongest, part.vocabulary)
        assert tuple(one is not None for one in told) == said
    rare = chance.by_chance(routing, domain_N, ids_N, int(count.max()) + 1, rng)
    assert rare.vocabulary is None and rare.information is not None
    assert chance.by_chance(routing, None, ids_N, int(count.max()), rng).vocabulary is not None
