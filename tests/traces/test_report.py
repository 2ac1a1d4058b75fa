"""Every figure of a trace computed another way, in plain loops; and published baselines."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from moe import CheckpointError, metrics
from moe.traces import Trace, make_trace
from moe.traces.report import analyse_trace, read_placement, top_pairs


def random_trace(
    n_tokens: int = 400, n_experts: int = 8, k: int = 3, n_layers: int = 2, seed: int = 3
) -> Trace:
    """Skewed choices that depend on the token id, in 5 sequences of 2 domains."""
    rng = np.random.default_rng(seed)
    ids_N = rng.integers(0, 12, n_tokens)
    lean_VE = rng.standard_normal((12, n_experts))
    logits_LNE = rng.standard_normal((n_layers, n_tokens, n_experts)) + lean_VE[ids_N]
    order = np.argsort(-logits_LNE, axis=2)[:, :, :k]
    return make_trace(
        order,
        np.take_along_axis(logits_LNE, order, axis=2),
        n_experts,
        ids_N,
        logits_LNE=logits_LNE,
        sequence_N=np.arange(n_tokens) * 5 // n_tokens,
        domain_N=np.arange(n_tokens) * 5 // n_tokens % 2,
        domains=("a", "b"),
    )


def information(pairs: list[tuple[int, int]]) -> float:
    """Mutual information of a list of pairs, by counting."""
    both, left, right = Counter(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    n = len(pairs)
    return sum(c / n * math.log(c * n / (left[a] * right[b])) for (a, b), c in both.items())


def test_every_figure_in_plain_loops() -> None:
    trace, later = random_trace(), random_trace(seed=3)
    rng = np.random.default_rng(0)
    turned = np.sort(later.expert_LNK, axis=2)[:, rng.permutation(400)]
    later = make_trace(turned, np.ones(turned.shape), 8, trace.token_ids_N)
    device_LE = np.tile(np.arange(8) // 2, (2, 1))
    report = analyse_trace(trace, later, device_LE)
    assert report.n_tokens == 400 and report.k == 3 and report.domains == ("a", "b")
    for index, layer in enumerate(report.layers):
        chosen = trace.expert_LNK[index].tolist()
        load = [sum(row.count(e) for row in chosen) for e in range(8)]
        assert layer.load == load
        assert layer.max_vio == pytest.approx(max(load) / (1200 / 8) - 1)
        assert layer.dead_share == load.count(0) / 8
        devices = [load[2 * d] + load[2 * d + 1] for d in range(4)]
        assert layer.overload == pytest.approx(max(devices) / (1200 / 4))
        pairs = {(a, b): 0 for a in range(8) for b in range(8)}
        adjacent = dict(pairs)
        for row in chosen:
            for a in row:
                for b in row:
                    pairs[a, b] += a != b
            for a, b in itertools.pairwise(row):
                adjacent[a, b] += 1
                adjacent[b, a] += 1
        for shown, counted in ((layer.top_pairs, pairs), (layer.top_adjacent_pairs, adjacent)):
            best = max(count / load[a] for (a, _), count in counted.items())
            assert shown[0].share == pytest.approx(best)
            for pair in shown:
                count = counted[pair.expert, pair.other]
                assert pair.share == pytest.approx(count / load[pair.expert])
        labels = trace.domain_N.tolist()
        by_domain = [(labels[t], e) for t, row in enumerate(chosen) for e in row]
        assert layer.domain_information == pytest.approx(information(by_domain))
        counts = Counter(by_domain)
        for label in range(2):
            total = sum(counts[label, e] for e in range(8))
            want = [counts[label, e] / total for e in range(8)]
            assert layer.domain_share[label] == pytest.approx(want)
        assert layer.strongest_domain == pytest.approx(8 * np.max(layer.domain_share))
        ids = trace.token_ids_N.tolist()
        shares = []
        for token in set(ids):
            firsts = [chosen[t][0] for t in range(400) if ids[t] == token]
            if len(firsts) >= 10:
                shares.append(Counter(firsts).most_common(1)[0][1] / len(firsts))
        assert layer.vocabulary_ids == len(shares)
        assert layer.vocabulary == pytest.approx(sum(shares) / len(shares))
        near = [t for t in range(399) if trace.sequence_N[t] == trace.sequence_N[t + 1]]
        first = sum(chosen[t][0] == chosen[t + 1][0] for t in near) / len(near)
        some = sum(bool(set(chosen[t]) & set(chosen[t + 1])) for t in near) / len(near)
        assert len(near) == 395
        assert layer.repeat_first == pytest.approx(first)
        assert layer.repeat_any == pytest.approx(some)
        alike = np.mean([a[0] == b[0] for a, b in itertools.combinations(chosen, 2)])
        assert layer.same_load_repeat_first == pytest.approx(alike)
        final = later.expert_LNK[index].tolist()
        kept = sum(len(set(a) & set(b)) for a, b in zip(chosen, final)) / 1200
        assert layer.saturation == pytest.approx(kept)
        same = sum(a[0] == b[0] for a, b in zip(chosen, final)) / 400
        assert layer.saturation_first == pytest.approx(same)
        assert (layer.chance_saturation, layer.chance_saturation_first) == (3 / 8, 1 / 8)
        scores = [[math.exp(v) for v in row] for row in trace.logits_LNE[index].tolist()]
        p = np.array([[v / sum(row) for v in row] for row in scores])
        mean = p.mean(axis=0)
        want = -(mean * np.log(mean)).sum() + (p * np.log(p)).sum() / 400
        assert layer.router_information == pytest.approx(want)
    json.dumps(report.as_json(), allow_nan=False)
    assert len(report.rows()) == 2 and "sat." in report.rows()[0]


def test_chance_figures_are_what_random_routing_gives() -> None:
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((1, 20_000, 8))
    order = np.argsort(-logits, axis=2)[:, :, :2]
    labels = np.arange(20_000) // 5000
    trace = make_trace(
        order, np.ones(order.shape), 8, rng.integers(0, 9, 20_000),
        domain_N=labels, domains=("a", "b", "c", "d"),
    )  # fmt: skip
    (layer,) = analyse_trace(trace).layers
    assert layer.chance_repeat_first == 0.125  # Mixtral, table 5
    assert layer.chance_repeat_any == pytest.approx(0.464, abs=0.0005)
    assert layer.repeat_first == pytest.approx(layer.chance_repeat_first, abs=0.01)
    assert layer.repeat_first == pytest.approx(layer.same_load_repeat_first, abs=0.01)
    assert layer.repeat_any == pytest.approx(layer.chance_repeat_any, abs=0.015)
    assert layer.domain_information == pytest.approx(layer.chance_domain_information, abs=5e-4)
    assert layer.vocabulary == pytest.approx(layer.chance_vocabulary, abs=0.01)
    mean_pair = np.mean(metrics.coactivation(trace.routing(0))[~np.eye(8, dtype=bool)])
    assert mean_pair == pytest.approx(layer.chance_pair, abs=1e-3)
    assert layer.chance_pair == layer.chance_adjacent_pair  # the same for K = 2


def test_adjacent_pairs_are_fewer_than_all_pairs() -> None:
    trace = random_trace(k=4)
    routing = trace.routing(0)
    every, near = metrics.coactivation(routing), metrics.adjacent_coactivation(routing)
    apart = ~np.eye(8, dtype=bool)
    assert (near <= every + 1e-12)[apart].all() and (near < every)[apart].any()
    # Of the 6 pairs of 4 choices 3 are neighbours; weighted by load, exactly.
    weight = routing.load[:, None]
    assert (near * weight)[apart].sum() == pytest.approx((every * weight)[apart].sum() / 2)
    assert (metrics.adjacent_coactivation(random_trace(k=1).routing(0)) == 0).all()


def test_what_cannot_be_said_is_none() -> None:
    trace = make_trace(np.zeros((1, 3, 1), int), np.ones((1, 3, 1)), 2, np.arange(3))
    (layer,) = analyse_trace(trace).layers
    for name in ("domain_information", "vocabulary", "saturation", "overload", "domain_share"):
        assert getattr(layer, name) is None
    assert layer.router_information is None and layer.top_pairs == []
    empty = make_trace(np.zeros((1, 0, 1), int), np.ones((1, 0, 1)), 2, np.zeros(0, int))
    assert analyse_trace(empty).layers[0].load == [0, 0]
    json.dumps(analyse_trace(empty).as_json(), allow_nan=False)


def test_tokens_with_fewer_experts_are_counted_once() -> None:
    experts = np.array([[[0, 1], [1, -1], [-1, -1]]])
    trace = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 3, np.zeros(3, int))
    (layer,) = analyse_trace(trace).layers
    assert layer.load == [1, 2, 0]
    # The first two tokens are the only neighbours that both have experts; they share expert 1.
    assert layer.repeat_first == 0 and layer.repeat_any == 1
    assert layer.chance_repeat_any == pytest.approx(2 / 3)  # two of three hold a given one
    assert trace.k == 2 and trace.mean_k == 1
    assert "on average 1.00 of 3 experts per token" in trace.describe()


def test_another_text_is_no_later_trace() -> None:
    trace = random_trace()
    with pytest.raises(ValueError, match="against: got a trace with other token_ids"):
        analyse_trace(trace, random_trace(seed=4))
    for other, name in (
        (random_trace(n_tokens=300), "n_tokens"),
        (random_trace(n_layers=1), "layers"),
        (random_trace(n_experts=9), "n_experts"),
    ):
        with pytest.raises(ValueError, match=f"against: got a trace with other {name}"):
            analyse_trace(trace, other)
    with pytest.raises(ValueError, match="device_LE"):
        analyse_trace(trace, device_LE=np.zeros((1, 8), int))


def test_placements(tmp_path: Path) -> None:
    trace = random_trace()
    assert read_placement("4", trace).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2
    path = tmp_path / "place.json"
    path.write_text("[0, 1, 0, 1, 0, 1, 0, 1]")
    assert read_placement(str(path), trace).tolist() == [[0, 1] * 4] * 2
    path.write_text(json.dumps([[0] * 8, [1] * 8]))
    assert read_placement(str(path), trace).tolist() == [[0] * 8, [1] * 8]
    for text in ("3", "0", "99"):
        with pytest.raises(ValueError, match="placement: got"):
            read_placement(text, trace)
    for content in ("[1, 2]", "{", "[0.5]", "[-1, 0, 0, 0, 0, 0, 0, 0]", '"x"', "[[1], [1, 2]]"):
        path.write_text(content)
        with pytest.raises(CheckpointError, match="placement: got"):
            read_placement(str(path), trace)
    with pytest.raises(CheckpointError, match="placement: got"):
        read_placement(str(tmp_path / "none.json"), trace)


def test_top_pairs_leave_out_an_expert_with_itself() -> None:
    experts = np.array([[[0, -1]] * 4 + [[0, 1]] * 3 + [[1, -1]] * 2])
    trace = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 2)
    pairs = [(p.expert, p.other, p.share) for p in top_pairs(trace.routing(0))]
    assert pairs == [(1, 0, 3 / 5), (0, 1, 3 / 7)]
