"""A study keeps a sweep's rows in one file, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from docs.generator import studies
from docs.generator.studies import Study, distinct
from moe.sweeps import run as engine
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import make_plan, read_plan
from moe.sweeps.run import perform
from moe.sweeps.store import FAILED, OK, Row

TINY = dict(task="linear_maps", d_model=8, d_expert=4, n_experts=4, batch=16, steps=2)
PLAN = dict(experiment="train", settings=TINY, grid=dict(balance=["none", "bias"]), seeds=[0, 1])


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    made = []
    for run in make_plan(PLAN).runs:
        outcome = perform(run)
        about = dict(id=run.id, status=OK, version=run.version, data=run.data)
        made.append({**about, **run.settings, **outcome.figures})
    return made


def test_a_study_is_written_and_read_back(rows: list[Row], tmp_path: Path) -> None:
    plan = make_plan(PLAN)
    study = Study.of(plan, reversed(rows))
    study.write(tmp_path / "study.jsonl")
    again = Study.read(tmp_path / "study.jsonl")
    assert again == study
    assert again.seeds() == [0, 1]
    assert distinct(again.rows, "balance") == [("none",), ("bias",)]
    assert [again.make_settings(row) for row in again.rows] == [
        run.make_settings() for run in plan.runs
    ]
    assert "steps" in again.settings and "steps" not in again.rows[0]


def test_spreads_are_means_over_the_seeds(rows: list[Row]) -> None:
    study = Study.of(make_plan(PLAN), rows)
    first, second = (row["max_vio"] for row in rows if row["balance"] == "bias")
    spread = study.spread("max_vio", balance="bias")
    assert spread.n == 2 and spread.mean == pytest.approx((first + second) / 2)
    assert spread.deviation == pytest.approx(abs(first - second) / math.sqrt(2))
    with pytest.raises(ValueError, match="figure: got 'luck', allowed is one of loss"):
        study.spread("luck")


def test_a_study_says_what_all_runs_have_in_common(rows: list[Row]) -> None:
    plan = make_plan(PLAN)
    study = Study.of(plan, rows)
    assert (study.experiment, study.version, study.data) == (
        "train", plan.runs[0].version, plan.runs[0].data,
    )  # fmt: skip
    assert study.version != study.data
    common = dict(plan.runs[0].settings)
    for name in ("balance", "seed"):
        del common[name]
    assert study.settings == common
    for kept, row in zip(study.rows, rows, strict=True):
        assert list(kept)[:2] == ["balance", "seed"]
        assert list(kept)[2:] == list(EXPERIMENTS["train"].figure_types())
        assert kept == {name: row[name] for name in kept}


def test_rows_are_found_by_all_that_is_asked(tmp_path: Path) -> None:
    study = Study(
        "control", "1", "none", {"k": 1},
        (
            dict(balance="pi", seed=3, swing=1.0, settled_after=None),
            dict(balance="pi", seed=0, swing=4.0, settled_after=7),
            dict(balance="bias", seed=3, swing=6.0, settled_after=9),
        ),
    )  # fmt: skip
    assert study.own() == list(study.rows)
    assert study.own(balance="pi", seed=3) == [study.rows[0]]
    assert study.own(balance="bias", seed=0) == []
    assert study.seeds() == [0, 3]
    assert study.spread("swing").mean == pytest.approx(11 / 3)
    assert study.spread("swing", seed=3).mean == 3.5
    left = study.spread("settled_after", balance="pi")  # None is no number
    assert (left.mean, left.n) == (7, 1)
    assert distinct(study.rows, "seed", "balance") == [(3, "pi"), (0, "pi"), (3, "bias")]
    assert distinct(study.rows, "seed") == [(3,), (0,)]
    made = study.make_settings(study.rows[0])
    assert (made.balance, made.seed, made.k) == ("pi", 3, 1)
    study.write(tmp_path / "study.jsonl")
    head, *lines = (tmp_path / "study.jsonl").read_text().splitlines()
    assert json.loads(head) == dict(
        experiment="control", version="1", data="none", settings={"k": 1}
    )
    assert [json.loads(line) for line in lines] == list(study.rows)


def test_a_sweep_that_is_not_whole_makes_no_study(rows: list[Row]) -> None:
    plan = make_plan(PLAN)
    with pytest.raises(ValueError, match="rows: got none for 1 of 4 runs"):
        Study.of(plan, rows[1:])
    with pytest.raises(ValueError, match="rows: got none for 1 of 4 runs"):
        Study.of(plan, [rows[0] | {"status": FAILED}, *rows[1:]])
    with pytest.raises(ValueError, match="rows: got several versions or data"):
        Study.of(plan, [rows[0] | {"version": "0.0.1"}, *rows[1:]])


def test_a_study_is_run_from_its_plan_and_recorded_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here:
        places = 1

        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(function(*arguments))
            return future

        def stop(self) -> None:
            """Nothing to end."""

    monkeypatch.setattr(engine, "LocalProcesses", lambda count: Here())
    monkeypatch.setattr(studies, "FOLDER", tmp_path)
    (tmp_path / "sums.toml").write_text('experiment = "savings"\n[grid]\nn_experts = [4, 8]\n')
    assert studies.names() == ["sums"]
    *_, last = studies.run("sums")
    assert (last.to_do, last.done, last.failed) == (2, 2, 0)
    assert [row["n_experts"] for row in studies.read("sums").rows] == [4, 8]
    *_, again = studies.run("sums")
    assert (again.kept, again.to_do) == (2, 0)


@pytest.mark.parametrize("name", studies.names())
def test_a_record_holds_the_runs_of_its_plan_under_the_settings_of_today(name: str) -> None:
    study, plan = studies.read(name), read_plan(studies.FOLDER / f"{name}.toml")
    assert study.experiment == plan.experiment
    assert [study.make_settings(row) for row in study.rows] == [
        run.make_settings() for run in plan.runs
    ], f"run `make pages ARGS='--study {name}'`"
    assert len(study.seeds()) >= 3
