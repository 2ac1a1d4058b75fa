"""The report of a sweep: groups, means, spread, best; and its chart."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe.sweeps.chart import sweep_figure, write_figure
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import make_plan
from moe.sweeps.report import Group, Spread, SweepReport, finite, plain, report
from moe.sweeps.store import FAILED, OK, SweepStore, columns

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


# Parts by hand ---------------------------------------------------------------------------------


def test_a_spread_has_a_deviation_from_two_values_on() -> None:
    assert (Spread.of([]).n, math.isnan(Spread.of([]).mean)) == (0, True)
    assert math.isnan(Spread.of([3.0]).deviation) and Spread.of([3.0]).mean == 3
    three = Spread.of([1.0, 2.0, 6.0])
    assert (three.mean, three.n) == (3.0, 3)
    assert three.deviation == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert three.words() == "3 ± 2.6"
    assert Spread.of([1.23456789]).words() == "1.235"
    with np.errstate(all="raise"):
        wild = Spread.of([math.inf, 1.0])
    assert wild.mean == math.inf and wild.words() == "inf"


def test_what_json_does_not_know_is_none() -> None:
    assert [finite(value) for value in (math.nan, -math.inf, 1.5, 3, "x", None)] == [
        None, None, 1.5, 3, "x", None,
    ]  # fmt: skip
    group = Group({"k": 2, "rate": 0.5}, 1, {"loss": Spread(1.0, math.nan, 1)}, True)
    assert group.as_json() == {
        "varied": {"k": 2, "rate": 0.5}, "n": 1, "best": True,
        "figures": {"loss": {"mean": 1.0, "deviation": None, "n": 1}},
    }  # fmt: skip
    assert group.label() == "k 2, rate 0.5"
    assert Group({}, 1, {}).label() == "all" and not Group({}, 1, {}).best
    assert Group({"text": None, "rate": 0.1234567}, 1, {}).label() == "text none, rate 0.123457"


def test_words_and_table_of_a_report() -> None:
    groups = (
        Group({"k": 1}, 2, {"loss": Spread(1.0, 0.5, 2), "vio": Spread(2.0, 1.0, 2)}, True),
        Group({"k": 2}, 3, {"loss": Spread(2.0, 0.5, 3), "vio": Spread(1.0, 1.0, 3)}),
    )
    made = SweepReport("train", groups, 2, ("Boom: a", "Boom: b"), "lower")
    assert made.words() == (
        "5 finished runs of train; ± is the standard deviation over a row's runs. "
        "Best by loss (lower): k 1, 1 ± 0.5. 2 failed and are left out: Boom: a; Boom: b."
    )
    assert made.table() == [
        {"k": "1", "runs": "2", "loss": "1 ± 0.5", "vio": "2 ± 1", "best": "best"},
        {"k": "2", "runs": "3", "loss": "2 ± 0.5", "vio": "1 ± 1", "best": ""},
    ]
    one = SweepReport("train", (Group({}, 1, {"loss": Spread.of([1.0])}),), 0, (), None)
    assert one.words().startswith("1 finished run of train;") and "failed" not in one.words()


def rows_of(folder: Path, experiment: str, rows: list[dict[str, Any]]) -> Path:
    """A folder of runs of an experiment that differ from its defaults and zeros as said."""
    store = SweepStore(folder)
    folder.mkdir()
    kind = EXPERIMENTS[experiment]
    settings = asdict(kind.settings())
    figures = dict.fromkeys(kind.figure_types(), 0)
    for number, change in enumerate(rows):
        about = dict(
            id=f"{number:02}", experiment=experiment, status=OK, error=None, seconds=1.0,
            version="1", data="none", repeat=0,
        )  # fmt: skip
        store.add(settings | figures | about | change)
    return folder


def test_more_is_better_where_the_experiment_says_so(tmp_path: Path) -> None:
    rows = [dict(k=k, flops_saved=saved) for k, saved in ((1, 0.2), (2, 0.9), (4, 0.9), (3, 0.1))]
    made = report(rows_of(tmp_path / "out", "savings", rows))
    assert [group.varied["k"] for group in made.groups] == [1, 2, 3, 4]
    assert [group.best for group in made.groups] == [False, True, False, True]  # none is better
    assert (made.better, list(made.groups[0].figures)) == ("higher", ["flops_saved", "bytes_saved"])
    assert made.words().count("Best by flops_saved (higher)") == 2


def test_groups_are_in_order_with_none_first_and_of_version_and_data_too(tmp_path: Path) -> None:
    rows = [
        dict(capacity_factor=2.0, drop="order"), dict(capacity_factor=None, version="2"),
        dict(capacity_factor=10.0), dict(capacity_factor=None, seed=4, max_vio=3.0),
        dict(capacity_factor=None, seed=5, max_vio=5.0, repeat=1), dict(capacity_factor=2.0),
        dict(capacity_factor=3.0, status=FAILED, error="Boom: a"),
        dict(capacity_factor=None, data="other"),
    ]  # fmt: skip
    made = report(rows_of(tmp_path / "out", "train", rows), ["max_vio"])
    assert [tuple(group.varied.values()) for group in made.groups] == [
        (None, "none", "1", "none"), (None, "none", "1", "other"), (None, "none", "2", "none"),
        (2.0, "none", "1", "none"), (2.0, "order", "1", "none"), (10.0, "none", "1", "none"),
    ]  # fmt: skip
    assert list(made.groups[0].varied) == ["capacity_factor", "drop", "version", "data"]
    first = made.groups[0]  # seeds and repeats are means
    assert (first.n, first.figures["max_vio"].mean) == (2, 4.0)
    assert (made.failed, made.errors, made.experiment) == (1, ("Boom: a",), "train")


def test_one_group_or_none_that_is_sound_has_no_best(tmp_path: Path) -> None:
    made = report(rows_of(tmp_path / "one", "savings", [{}, {}]))
    assert [group.best for group in made.groups] == [False] and made.groups[0].n == 2
    assert made.groups[0].label() == "all"
    rows = [dict(k=1, flops_saved=None), dict(k=2, flops_saved=None)]
    made = report(rows_of(tmp_path / "none", "savings", rows))
    assert [group.best for group in made.groups] == [False, False]
    rows = [dict(k=1, flops_saved=None), dict(k=2, flops_saved=0.1)]
    made = report(rows_of(tmp_path / "some", "savings", rows))
    assert [group.best for group in made.groups] == [False, True]
    assert made.groups[0].figures["flops_saved"].n == 0


def test_a_folder_of_two_experiments_is_refused(tmp_path: Path) -> None:
    folder = rows_of(tmp_path / "out", "savings", [{}])
    rows_of(tmp_path / "other", "cost", [{"id": "zz"}])
    (tmp_path / "other" / "zz.parquet").rename(folder / "zz.parquet")
    with pytest.raises(ValueError, match="with runs of cost, savings, allowed is a folder"):
        report(folder)
