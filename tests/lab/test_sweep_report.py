"""The report of a sweep: groups, means, spread, best; and its chart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.charts.sweep import sweep_figure, write_figure
from moe.lab.experiments import EXPERIMENTS
from moe.lab.sweep_plan import make_plan
from moe.lab.sweep_report import Spread, plain, report
from moe.lab.sweep_store import FAILED, OK, SweepStore, columns

LOSSES = {("none", 0.01): [2.0, 2.2], ("bias", 0.01): [1.5, 1.7], ("bias", 0.1): [math.nan, 9.0]}


def fill(
    folder: Path, grid: dict[str, list[Any]], losses: dict[tuple[Any, ...], list[Any]]
) -> None:
    """Write rows as a sweep would: a loss is a figure, text the error of a failed run."""
    table = dict(experiment="train", settings=dict(task="linear_maps"), grid=grid)
    store = SweepStore(folder)
    folder.mkdir()
    for run in make_plan(table | dict(seeds=[0, 1])).runs:
        own = losses.get(tuple(run.settings[name] for name in grid))
        if own is None:
            continue
        loss = own[run.settings["seed"]]
        failed = isinstance(loss, str)
        figures = dict.fromkeys(EXPERIMENTS["train"].figure_types(), 0)
        row = (
            dict.fromkeys(columns("train"))
            | run.settings
            | ({} if failed else figures | dict(held_out_loss=loss))
        )
        about = dict(
            id=run.id, experiment="train", status=FAILED if failed else OK,
            error=loss if failed else None, seconds=1.0, version=run.version, data=run.data,
            repeat=0,
        )  # fmt: skip
        store.add(row | about)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    grid = dict(balance=["none", "bias"], learning_rate=[0.01, 0.1])
    fill(tmp_path / "out", grid, LOSSES | {("none", 0.1): ["Boom: a", "Boom: a"]})
    return tmp_path / "out"


def test_groups_are_what_varied_with_mean_and_deviation_over_seeds(folder: Path) -> None:
    made = report(folder)
    assert [tuple(group.varied.values()) for group in made.groups] == [
        ("bias", 0.01), ("bias", 0.1), ("none", 0.01),
    ]  # fmt: skip
    for group in made.groups:
        losses = LOSSES[tuple(group.varied.values())]
        spread = group.figures["held_out_loss"]
        np.testing.assert_allclose(spread.mean, np.mean(losses))
        np.testing.assert_allclose(spread.deviation, np.std(losses, ddof=1))
        assert group.n == spread.n == 2
    assert [group.best for group in made.groups] == [True, False, False]
    assert made.table()[0]["held_out_loss"] == "1.6 ± 0.14"
    assert "Best by held_out_loss (lower): balance bias, learning_rate 0.01, 1.6 ± 0.14" in (
        made.words()
    )
    assert made.failed == 2 and made.words().endswith("2 failed and are left out: Boom: a.")
    json.dumps([group.as_json() for group in made.groups], allow_nan=False)


def test_other_figures_can_be_shown_and_wrong_ones_are_named(folder: Path) -> None:
    made = report(folder, ["flops_per_token", "held_out_loss"])
    assert list(made.groups[0].figures) == ["flops_per_token", "held_out_loss"]
    assert made.better is None and not any(group.best for group in made.groups)
    with pytest.raises(ValueError, match="figure: got 'magic', allowed is one of loss"):
        report(folder, ["magic"])


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"with no runs, allowed is a folder that moe sweep wrote"):
        report(tmp_path / "nothing")


def test_few_values_have_no_spread_and_json_no_nan() -> None:
    assert Spread.of([]).words() == "-"
    assert Spread.of([1.5]).words() == "1.5"
    assert Spread.of([1.0, 2.0]) == Spread(1.5, math.sqrt(0.5), 2)
    assert plain({"a": math.inf, "b": 1, "c": "x"}) == {"a": None, "b": 1, "c": "x"}


def test_a_number_with_three_values_becomes_curves(tmp_path: Path) -> None:
    rates = [0.001, 0.01, 0.1]
    losses = {(b, rate): [1.0, 3.0] for b in ("none", "bias") for rate in rates}
    fill(tmp_path / "out", dict(balance=["none", "bias"], learning_rate=rates), losses)
    figure = sweep_figure(report(tmp_path / "out"))
    assert figure.title.endswith("held_out_loss (lower is better) over learning_rate")
    rows = figure.data["sweep"]
    assert {(row["group"], row["at"]) for row in rows} == {
        (f"balance {b}", rate) for b in ("none", "bias") for rate in rates
    }
    assert {(row["low"], row["mean"], row["high"]) for row in rows} == {
        (2 - math.sqrt(2), 2.0, 2 + math.sqrt(2))
    }
    scale = figure.spec()["layer"][1]["encoding"]["x"]["scale"]
    assert scale["type"] == "log"


def test_other_groups_become_rows_and_files(folder: Path, tmp_path: Path) -> None:
    figure = sweep_figure(report(folder))
    rows = figure.data["sweep"]
    assert [row["group"] for row in rows] == [
        "balance bias, learning_rate 0.01", "balance none, learning_rate 0.01",
    ]  # fmt: skip
    assert [row["best"] for row in rows] == [True, False]
    assert "balance none, learning_rate 0.01: 2.1 ± 0.14" in figure.alt
    for ending, begin in (("png", b"\x89PNG"), ("svg", b"<svg"), ("html", b"<!DOCTYPE html>")):
        path = tmp_path / f"chart.{ending}"
        write_figure(figure, str(path))
        assert path.read_bytes().startswith(begin)
    page = (tmp_path / "chart.html").read_text()
    assert "<script src" not in page and "balance bias" in page


def test_a_chart_of_nothing_or_into_nowhere_is_refused(folder: Path, tmp_path: Path) -> None:
    figure = sweep_figure(report(folder))
    with pytest.raises(ValueError, match=r"chart: got 'a\.gif', allowed is a path ending in png"):
        write_figure(figure, "a.gif")
    with pytest.raises(ValueError, match=r"chart: got .* allowed is a path that can be written"):
        write_figure(figure, str(tmp_path / "no" / "a.png"))
    fill(tmp_path / "bad", dict(k=[1]), {(1,): ["Boom: a", "Boom: a"]})
    with pytest.raises(ValueError, match="chart: got no finished run"):
        sweep_figure(report(tmp_path / "bad"))
