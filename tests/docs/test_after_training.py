"""The page on what can be done after training says what its records hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import batch_reads as bench
from benchmarks.real_routing import FILE
from docs.generator import after_training as page
from docs.generator import studies
from docs.generator.studies import Study
from moe.traces import make_trace, save_trace
from moe.traces.reads import batch_reads


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in studies.record(name).read_text().splitlines()[1:]]


def cell(values: list[float], spec: str = ".3f") -> str:
    return f"{np.mean(values):{spec}} ± {np.std(values, ddof=1):{spec}}"


def text() -> str:
    return page.page().replace("\u00a0", " ")


@pytest.mark.parametrize("by", page.CRITERIA)
def test_every_cell_of_the_pruning_table_is_that_of_the_record(by: str) -> None:
    rows = rows_of(page.PRUNE)
    keeps = list(dict.fromkeys(row["keep"] for row in rows))
    cells = [
        cell([row["after"] for row in rows if (row["by"], row["keep"]) == (by, keep)])
        for keep in keeps
    ]
    assert f"| {page.CRITERIA[by]} | {' | '.join(cells)} |" in text()


def test_pairs_are_counted_of_the_same_seed_and_number() -> None:
    rows = rows_of(page.PRUNE)
    of = {(row["by"], row["keep"], row["seed"]): row["after"] for row in rows}
    pairs = [(keep, seed) for by, keep, seed in of if by == "reap"]
    better = sum(of["reap", *pair] < of["random", *pair] for pair in pairs)
    counted = sum(of["count", *pair] < of["random", *pair] for pair in pairs)
    assert f"drawn experts in {counted} of {len(pairs)}" in text()
    assert f"loses less than drawn ones in {better}," in text()


def test_losses_by_topic_are_differences_of_the_record() -> None:
    rows = rows_of(page.TOPICS)
    names = [name for name in dict.fromkeys(row["calibrate"] for row in rows) if name]
    less = clear = 0
    for name in names:
        own = [row for row in rows if row["calibrate"] == name]
        topic = [row["topic_after"] - row["topic_before"] for row in own]
        rest = [row["rest_after"] - row["rest_before"] for row in own]
        assert f"| {name} | {cell(topic, '.2f')} | {cell(rest, '.2f')} |" in text()
        less += np.mean(topic) < np.mean(rest)
        clear += np.mean(rest) - np.mean(topic) > np.std(topic, ddof=1) + np.std(rest, ddof=1)
    assert f"In {less} of {len(names)} kinds" in text()
    assert f"on the rest, in {clear} of them by more than the spread" in text()


@pytest.mark.parametrize("k", [1, 2])
def test_jumps_are_those_of_the_record(k: int) -> None:
    own = [row for row in rows_of(page.UPCYCLE) if (row["way"], row["k"]) == ("copies", k)]
    jumps = [row["after"] - row["before"] for row in own]
    assert f"({np.mean(jumps):+.3f} ± {np.std(jumps, ddof=1):.3f} bits)" in text()
    ends = [row["bits_per_byte"] for row in own]
    assert f"| {cell(ends)} |" in text()


def test_copies_are_held_against_the_same_seed_without_more_experts() -> None:
    bits = {
        (row["way"], row["seed"]): row["bits_per_byte"]
        for row in rows_of(page.UPCYCLE) if row["k"] == 2
    }  # fmt: skip
    more = [bits["copies", seed] - bits["small", seed] for seed in (0, 1, 2)]
    assert min(more) > 0  # in each seed, though the deviations of both overlap
    said = f"({np.mean(more):+.3f} ± {np.std(more, ddof=1):.3f} of the same seed)"
    assert "It has not paid by the end of so short a run: " in text() and said in text()
    for more, words in (
        ((-0.1, -0.1, -0.11), "It pays by the end"),
        ((0.1, 0.1, 0.11), "It has not paid"),
        ((-0.1, 0.0, 0.1), "By the end it is within the spread"),
    ):
        ends = [2.0 + one for one in more]
        made = _with(
            studies.read(page.UPCYCLE),
            bits_per_byte=lambda row, ends=ends: (
                ends[row["seed"]] if row["way"] == "copies" else 2.0
            ),
        )
        assert words in page._end_words(made)


def test_shared_choices_bring_back_what_the_record_says() -> None:
    rows = rows_of(page.SPARE)

    def mean(figure: str, k0: int, more: bool) -> float:
        own = [row[figure] for row in rows if (row["k0"], row["piggyback"]) == (k0, more)]
        return float(np.mean(own))

    k = max(row["k0"] for row in rows)
    full, alone, shared = (mean("bits", *of) for of in ((k, True), (1, False), (1, True)))
    assert f"bring back {(alone - shared) / (alone - full):.0%} of that" in text()
    bits = {(row["k0"], row["piggyback"], row["seed"]): row["bits"] for row in rows}
    costs = [bits[1, False, seed] - bits[k, True, seed] for seed in (0, 1, 2)]
    assert f"One choice alone costs {cell(costs, '.2f')} bits" in text()
    fewer = 1 - mean("experts", 1, True) / mean("experts", k, True)
    assert f"a layer reads {fewer:.0%} fewer experts" in text()


@pytest.mark.parametrize(
    ("won", "word"), [(14, "no better"), (20, "no better"), (21, "better"), (9, "worse")]
)
def test_a_few_pairs_more_than_half_are_chance(won: int, word: str) -> None:
    assert page._against_chance(won, 30) == f"{word} than chance"


def test_words_follow_the_figures() -> None:
    """Where the record is another, the page says another thing."""
    prune, topics, upcycle, spare = (studies.read(name) for name in page.NAMES)
    swap = {"reap": "random", "random": "reap"}
    turned = _with(prune, by=lambda row: swap.get(row["by"], row["by"]))
    flat = _with(upcycle, after=lambda row: row["before"])
    before = page.page_of(prune, topics, upcycle, spare)
    after = page.page_of(turned, topics, flat, spare)
    assert "**With two it does**" in before and "**With two it does not**" in after
    found = [re.findall(r"drawn ones in (\d+)", one)[0] for one in (before, after)]
    assert sum(map(int, found)) == len(prune.own(by="reap"))


def _with(study: Study, **changed: Any) -> Study:
    rows = tuple(
        {**row, **{name: make(row) for name, make in changed.items()}} for row in study.rows
    )
    return Study(study.experiment, study.version, study.data, study.settings, rows)


# The real model --------------------------------------------------------------------------------


def test_the_shipped_table_says_where_it_is_from_and_agrees_with_the_review() -> None:
    said = page.origin()
    for word in (
        "deepseek-ai/ESFT",
        "579a7711e4b332b4c57b47e378a0cf240d85caa6",
        "MIT",
        "command: ",
    ):
        assert any(word in line for line in said)
    found = {one.k0: one for one in page.real_reads()}
    assert list(found) == [6, 5, 4, 3, 2, 1] and all(one.experts.n == 4 for one in found.values())
    for k0, (experts, mass) in bench.REVIEW.items():
        assert found[k0].experts.mean == pytest.approx(experts, rel=0.02)
        assert found[k0].gate_mass.mean == pytest.approx(mass, abs=0.005)


def test_the_benchmark_writes_the_table_that_the_page_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    trace = make_trace(
        np.argsort(rng.random((2, 160, 12)), axis=2)[:, :, :6],
        -np.sort(-rng.random((2, 160, 6)), axis=2), 12,
        sequence_N=np.repeat([0, 1], 80), domain_N=np.repeat([0, 1], 80), domains=("law", "intent"),
    )  # fmt: skip
    save_trace(trace, str(tmp_path / FILE))
    bench.main([str(tmp_path), "--write", "--out", str(tmp_path / "table.csv")])
    monkeypatch.setattr(page, "READS", tmp_path / "table.csv")
    left = bench.without_prompts(trace)
    rows = list(batch_reads(left, bench.BATCH))
    for one in page.real_reads():
        own = [row for row in rows if row.k0 == one.k0]
        assert one.experts.mean == pytest.approx(np.mean([row.experts for row in own]), abs=1e-4)
    said = capsys.readouterr().out
    assert left.describe() in said and "41.7, 100.0%" in said
    assert left.n_tokens == 160 - 11 - 17
