"""Figures of the report on a trace, counted another way."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moe.app.your_model.story import YourModel
from moe.errors import CheckpointError
from moe.traces import make_trace
from moe.traces.report import LEGEND, analyse_trace, read_placement, top_pairs
from tests.app.your_model.ragged import chosen, loads, ragged


@pytest.fixture(scope="module")
def model() -> YourModel:
    return YourModel.of(ragged())


def test_a_row_of_the_report_has_a_figure_under_each_name(model: YourModel) -> None:
    trace = model.trace
    turned = replace(
        trace, expert_LNK=trace.expert_LNK[:, ::-1], weight_LNK=trace.weight_LNK[:, ::-1]
    )
    report = analyse_trace(trace, turned, read_placement("4", trace))
    for row, layer in zip(report.rows(), report.layers, strict=True):
        best = layer.top_pairs[0]
        assert row == {
            "layer": layer.layer, "MaxVio": layer.max_vio, "idle": f"{layer.dead_share:.0%}",
            "pair": f"{best.expert}-{best.other} {best.share:.0%}",
            "domain": f"{layer.domain_information:.2f} ({layer.chance_domain_information:.2f})",
            "vocab.": f"{layer.vocabulary:.0%} ({layer.chance_vocabulary:.0%})",
            "first": f"{layer.repeat_first:.0%} ({layer.chance_repeat_first:.0%})",
            "any": f"{layer.repeat_any:.0%} ({layer.chance_repeat_any:.0%})",
            "sat.": f"{layer.saturation:.0%} ({layer.chance_saturation:.0%})",
            "dev.": layer.overload,
        }  # fmt: skip
        assert {name for name in row if name not in ("layer", "idle")} <= {
            word.strip(".,:") + ("." if word in ("vocab.:", "sat.:", "dev.:") else "")
            for word in LEGEND.split()
        }
    bare = analyse_trace(replace(trace, token_ids_N=None, domain_N=None, domains=()))
    assert list(bare.rows()[0]) == ["layer", "MaxVio", "idle", "pair", "first", "any"]
    assert report.k == 3 and report.mean_k == pytest.approx(
        sum(len(row) for at in range(4) for row in chosen(trace, at)) / 1200
    )
    # A layer without pairs beside one with some.
    experts = np.array([[[0, 1]] * 3, [[0, -1]] * 3])
    two = make_trace(experts, np.where(experts >= 0, 1.0, 0.0), 2)
    assert [row["pair"] for row in analyse_trace(two).rows()] == ["0-1 100%", "-"]
    gone = np.array([[[0]] * 3, [[-1]] * 3])
    some = analyse_trace(make_trace(gone, np.where(gone >= 0, 1.0, 0.0), 2)).rows()
    assert [row["first"] for row in some] == ["100% (50%)", "-"]


def test_shares_of_very_many_domains_and_experts_are_not_listed(monkeypatch) -> None:
    from moe.traces import report as trace_report

    trace = ragged()
    for most, listed in ((4 * 3 * 8, True), (4 * 3 * 8 - 1, False)):
        monkeypatch.setattr(trace_report, "MAX_SHARES", most)
        layer = analyse_trace(trace).layers[0]
        assert (layer.domain_share is not None) == listed
        assert layer.domain_information is not None


@pytest.mark.parametrize("n_pairs", [1, 2, 5, 60])
@pytest.mark.parametrize("adjacent", [False, True])
def test_strongest_pairs_in_order(n_pairs: int, adjacent: bool) -> None:
    trace = ragged()
    rows, load = chosen(trace, 2), loads(trace, 2)
    count: Counter = Counter()
    for row in rows:
        for a, b in itertools.pairwise(row) if adjacent else itertools.combinations(row, 2):
            count[a, b] += 1
            count[b, a] += 1
    want = sorted((-n / load[a], a, b) for (a, b), n in count.items())[:n_pairs]
    found = top_pairs(trace.routing(2), adjacent, n_pairs)
    assert [(-p.share, p.expert, p.other) for p in found] == want
    assert len(top_pairs(trace.routing(2))) == 5


def test_saturation_by_first_choices_and_of_nobody(model: YourModel) -> None:
    trace = model.trace
    back = replace(
        trace, expert_LNK=trace.expert_LNK[:, ::-1], weight_LNK=trace.weight_LNK[:, ::-1]
    )
    for at, layer in enumerate(analyse_trace(trace, back).layers):
        mine, final = chosen(trace, at), chosen(back, at)
        served = [(a, b) for a, b in zip(mine, final) if b]
        first = [bool(a) and a[0] == b[0] for a, b in served]
        assert layer.saturation_first == pytest.approx(np.mean(first))
        assert layer.chance_saturation_first == pytest.approx(
            np.mean([bool(a) for a, _ in served]) / 8
        )
        assert layer.chance_saturation == pytest.approx(np.mean([len(a) for a, _ in served]) / 8)
    nobody = replace(trace, expert_LNK=0 * trace.expert_LNK - 1, weight_LNK=0 * trace.weight_LNK)
    layer = analyse_trace(trace, nobody).layers[0]
    assert layer.saturation is layer.chance_saturation is layer.saturation_first is None
    with pytest.raises(ValueError, match="seed: got -1"):
        analyse_trace(trace, seed=-1)
    one, other = (analyse_trace(trace, seed=s).layers[0].chance_vocabulary for s in (0, 1))
    assert one != other and analyse_trace(trace).layers[0].chance_vocabulary == one


def test_placements_at_their_edges(tmp_path: Path) -> None:
    trace = ragged()
    assert read_placement("1", trace).tolist() == [[0] * 8] * 4
    assert read_placement("8", trace).tolist() == [[*range(8)]] * 4
    path = tmp_path / "a.json"
    for values, fits in (
        ([7] * 8, True),
        ([8] + [0] * 7, False),
        ([0] * 7, False),
        ([0.0] * 8, False),
    ):
        path.write_text(json.dumps(values))
        if fits:
            assert read_placement(str(path), trace).tolist() == [values] * 4
        else:
            with pytest.raises(CheckpointError, match="placement: got"):
                read_placement(str(path), trace)
    path.write_text(json.dumps([[0] * 8] * 3))
    with pytest.raises(CheckpointError, match="allowed are device numbers from 0 below 8"):
        read_placement(str(path), trace)
