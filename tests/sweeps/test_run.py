"""Sweeps: what is planned, done once, kept, and done again only when asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import moe
from moe.lm.reason import ReasonSettings
from moe.lm.settings import LMTrainSettings
from moe.studies import distilling
from moe.studies.pruning import PruneRun
from moe.studies.reasoning import DistilRun
from moe.studies.switch import SwitchSettings
from moe.sweeps import run as engine
from moe.sweeps import workers
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import SweepRun, make_plan, read_plan
from moe.sweeps.run import MOST_DEATHS, Remaining, perform, planned, sweep, tally
from moe.sweeps.store import ABOUT, FAILED, OK, SweepStore, columns

TINY = dict(task="linear_maps", d_model=8, d_expert=4, n_experts=4, batch=16, steps=2)
TRAIN = dict(experiment="train", settings=TINY, grid=dict(balance=["none", "bias"]), seeds=[0, 1])
COUNTED = dict(experiment="savings", grid=dict(n_experts=[4, 8, 16], k=[1, 2]))
TIMES = {"seconds"}
LM = dict(d_model=16, d_expert=8, n_experts=4, context=16, batch=4, steps=2)
SHORT: dict[type, dict] = {  # the first that fits
    SwitchSettings: TINY | dict(task="text", before=1),
    PruneRun: LM | dict(keep=2),
    moe.TrainSettings: TINY,
    LMTrainSettings: LM,
    ReasonSettings: dict(
        iterations=2, prompts=2, samples=2, cold_steps=2, cold_batch=4, examined=8, check_every=1
    ),
    DistilRun: dict(steps=3),
}


class Here:
    """Workers that do a run when it is submitted."""

    places = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def stop(self) -> None:
        """Nothing to end."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps that start no process."""
    monkeypatch.setattr(engine, "LocalProcesses", lambda count: Here())


def done(plan: Any, folder: Path, **options: Any) -> list[dict[str, Any]]:
    """Rows that a sweep did now."""
    return [row for row in sweep(plan, folder, **options) if not isinstance(row, Remaining)]


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({k: v for k, v in row.items() if k not in TIMES} for row in rows),
        key=lambda row: row["id"],
    )


# Experiments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_sweeps_from_its_defaults(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly = partial(distilling.train_teacher, steps=2)
    monkeypatch.setattr(distilling, "train_teacher", quickly)
    distilling.teacher_of.cache_clear()
    experiment = EXPERIMENTS[name]
    names = [*ABOUT, *experiment.setting_names(), *experiment.figure_types()]
    assert len(names) == len(set(names)) == len(columns(name))
    assert experiment.better and set(experiment.better) <= set(experiment.figure_types())
    known = [one for one in SHORT if issubclass(experiment.settings, one)]
    settings = experiment.settings(**(SHORT[known[0]] if known else {}))
    outcome = perform(SweepRun.make(name, settings))
    assert outcome.error is None
    assert set(outcome.figures) == set(experiment.figure_types())
    distilling.teacher_of.cache_clear()


def test_training_figures_are_those_of_the_run() -> None:
    settings = moe.TrainSettings(**TINY)
    figures = perform(SweepRun.make("train", settings)).figures
    records = list(moe.train(settings))
    assert figures["loss"] == pytest.approx(sum(record.loss for record in records) / 2)
    assert figures["idle"] == records[-1].dead


# The plan --------------------------------------------------------------------------------------


def test_a_plan_is_every_combination_in_order() -> None:
    plan = make_plan(
        TRAIN
        | dict(
            cases=[dict(capacity_factor="none"), dict(capacity_factor=2, drop="order")], repeat=2
        )
    )
    assert len(plan.runs) == 2 * 2 * 2 * 2 == len({run.id for run in plan.runs})
    assert plan.varied == ("capacity_factor", "drop", "balance", "seed")
    first, *_, last = plan.runs
    assert (first.settings["capacity_factor"], first.settings["balance"]) == (None, "none")
    assert (last.settings["capacity_factor"], last.settings["seed"], last.repeat) == (2.0, 1, 1)
    assert last.make_settings() == moe.TrainSettings(
        **TINY, balance="bias", capacity_factor=2.0, drop="order", seed=1
    )


def test_an_id_follows_from_all_that_decides_the_figures_and_nothing_else() -> None:
    run = make_plan(TRAIN).runs[0]
    same = SweepRun(run.experiment, dict(reversed(run.settings.items())), 0, data=run.data)
    assert same.id == run.id
    others = [
        replace(run, settings={**run.settings, "seed": 7}),
        replace(run, repeat=1),
        replace(run, version="0.0.1"),
        replace(run, data="other"),
        replace(run, experiment="savings"),
    ]
    assert len({run.id, *(other.id for other in others)}) == 6


def test_the_data_of_a_text_are_part_of_the_id(tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    ids = set()
    for words in ("one " * 2000, "two " * 2000):
        text.write_text(words)
        table = dict(experiment="train", settings=dict(text=str(text), steps=1))
        ids.add(make_plan(table).runs[0].id)
    assert len(ids) == 2


def test_values_listed_twice_are_run_once() -> None:
    assert len(make_plan(COUNTED | dict(grid=dict(k=[1, 2, 1]))).runs) == 2


def test_invalid_combinations_are_named_or_left_out() -> None:
    table = dict(experiment="savings", grid=dict(n_experts=[1, 4], k=[1, 2]))
    with pytest.raises(ValueError, match=r"k: got 2.*in the run with n_experts = 1, k = 2"):
        make_plan(table)
    plan = make_plan(table | dict(skip_invalid=True))
    assert (len(plan.runs), plan.skipped) == (3, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(experiment="magic"), r"experiment: got 'magic', allowed is one of train"),
        (dict(grids={}), r"key of the sweep: got 'grids', allowed is one of experiment"),
        (dict(settings=dict(stepz=1)), r"key of \[settings\]: got 'stepz', allowed is one of task"),
        (dict(settings=dict(steps="many")), r"settings.steps: got 'many', allowed is a whole numb"),
        (dict(settings=dict(steps=True)), r"settings.steps: got True"),
        (dict(settings=dict(steps=0)), r"steps: got 0, allowed is a whole number in 1\.\."),
        (dict(settings=3), r"settings: got 3, allowed is a table"),
        (dict(grid=dict(balance="bias")), r"grid.balance: got 'bias', allowed is a list"),
        (dict(grid=dict(k=[])), r"grid.k: got \[\], allowed is a list of values, not empty"),
        (dict(grid=dict(capacity_factor=["much"])), r"allowed is a number or 'none'"),
        (dict(grid=dict(steps=[1])), r"steps: got it in settings and in grid or seeds"),
        (dict(seeds=[0.5]), r"seeds: got 0.5, allowed is a whole number"),
        (dict(grid=dict(seed=[1])), r"seeds: got a list beside grid.seed"),
        (dict(repeat=0), r"repeat: got 0"),
        (dict(repeat=10**6), r"repeat: got 1000000"),
        (dict(repeat=99_999), r"number of runs: got 399996, allowed is a whole number in 1"),
        (dict(skip_invalid=1), r"skip_invalid: got 1, allowed is true or false"),
        (dict(cases=dict(k=1)), r"cases: got .* allowed is a list of tables"),
    ],
)  # fmt: skip
def test_a_wrong_plan_names_key_and_allowed(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_plan(TRAIN | change)


def test_a_plan_without_experiment_or_seed_says_so() -> None:
    with pytest.raises(ValueError, match="experiment: got nothing, allowed is one of train"):
        make_plan({})
    with pytest.raises(ValueError, match="seeds: got a list, allowed is none"):
        make_plan(COUNTED | dict(seeds=[1]))


@pytest.mark.parametrize("text", ["experiment = ", None])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "plan.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=r"file: got .*plan\.toml.* allowed is a TOML file"):
        read_plan(file)


# Doing it --------------------------------------------------------------------------------------


def test_processes_do_what_one_call_does(tmp_path: Path) -> None:
    plan = make_plan(TRAIN)
    rows = done(plan, tmp_path / "out", workers=2)
    assert {row["id"] for row in rows} == {run.id for run in plan.runs}
    for row in rows:
        (run,) = (run for run in plan.runs if run.id == row["id"])
        assert {name: row[name] for name in run.settings} == run.settings
        expected = asdict(EXPERIMENTS["train"].measure(run.make_settings()))
        assert {name: row[name] for name in expected} == expected
    assert timeless(SweepStore(tmp_path / "out").rows()) == timeless(rows)


def test_what_is_there_is_not_done_again(here: None, tmp_path: Path) -> None:
    plan, out = make_plan(COUNTED), tmp_path / "out"
    rows = sweep(plan, out)
    next(rows), next(rows), next(rows)  # what there is to do, and two runs
    rows.close()
    assert [row["state"] for row in planned(plan, out)] == [OK] * 2 + ["to do"] * 4
    assert [state for _, state in tally(sweep(plan, out))][-1] == engine.Tally(2, 4, 4, 0)
    assert done(plan, out) == []
    more = make_plan(COUNTED | dict(grid=dict(n_experts=[4, 8, 16, 32], k=[1, 2])))
    assert len(done(more, out)) == 2


def test_a_failed_run_is_kept_and_done_again_only_when_asked(here: None, tmp_path: Path) -> None:
    text, out = tmp_path / "own.txt", tmp_path / "out"
    text.write_text("some words " * 500)
    settings = {**TINY, "task": "text", "text": str(text)}
    plan = make_plan(dict(experiment="train", settings=settings))
    words = text.read_text()
    text.unlink()
    (row,) = done(plan, out)
    assert row["status"] == FAILED and row["error"].startswith("ValueError: text: got")
    assert row["loss"] is None and row["steps"] == 2
    text.write_text(words)
    assert done(plan, out) == []
    assert [state.failed for _, state in tally(sweep(plan, out))] == [1]
    (again,) = done(plan, out, retry=True)
    assert (again["id"], again["status"], again["error"]) == (row["id"], OK, None)
    assert timeless(SweepStore(out).rows()) == timeless([again])
    assert done(plan, out, retry=True) == []


def test_a_worker_with_other_data_or_version_refuses() -> None:
    run = make_plan(TRAIN).runs[0]
    for other in (replace(run, data="other"), replace(run, version="0.0.1")):
        outcome = perform(other)
        assert outcome.figures is None and "RuntimeError: worker has version" in outcome.error


@pytest.mark.parametrize("deaths", [MOST_DEATHS - 1, MOST_DEATHS])
def test_a_run_may_lose_its_process_twice(
    deaths: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = make_plan(COUNTED)
    unlucky, left = plan.runs[1].id, deaths

    class Mortal(Here):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            nonlocal left
            if arguments[0].id != unlucky or not left:
                return super().submit(function, *arguments)
            left -= 1
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    monkeypatch.setattr(engine, "LocalProcesses", lambda count: Mortal())
    rows = {row["id"]: row for row in done(plan, tmp_path / "out")}
    assert len(rows) == len(plan.runs)
    lost = deaths == MOST_DEATHS
    assert rows.pop(unlucky)["status"] == (FAILED if lost else OK)
    assert all(row["status"] == OK for row in rows.values())


# The folder ------------------------------------------------------------------------------------


def test_pandas_reads_the_folder_as_one_table(here: None, tmp_path: Path) -> None:
    import pandas

    rows = done(make_plan(COUNTED), tmp_path / "out")
    (tmp_path / "out" / ".1-2.new").write_bytes(b"half a")  # by a sweep that was killed
    table = pandas.read_parquet(tmp_path / "out")
    assert list(table.columns) == list(columns("savings"))
    assert sorted(table["id"]) == sorted(row["id"] for row in rows)


def test_one_sweep_at_a_time_and_what_a_killed_one_left_goes(here: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".1-2.new").write_bytes(b"half a")
    plan = make_plan(COUNTED)
    rows = sweep(plan, out)
    next(rows)
    with pytest.raises(ValueError, match=r"out: got .* another sweep is at work"):
        done(plan, out)
    rows.close()
    assert not list(out.glob(".*.new"))
    assert len(done(plan, out)) == len(plan.runs)


def test_a_folder_keeps_to_one_experiment(here: None, tmp_path: Path) -> None:
    done(make_plan(COUNTED), tmp_path / "out")
    with pytest.raises(ValueError, match="with runs of 'savings', allowed is a new folder or"):
        done(make_plan(TRAIN), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PAR1 no more"])
def test_a_damaged_file_is_named(here: None, tmp_path: Path, content: bytes) -> None:
    plan = make_plan(COUNTED)
    done(plan, tmp_path / "out")
    part = tmp_path / "out" / f"{plan.runs[0].id}.parquet"
    part.write_bytes(content)
    with pytest.raises(moe.CheckpointError, match=f"{part.name}.*delete a damaged one"):
        done(plan, tmp_path / "out")
    part.unlink()
    assert [row["id"] for row in done(plan, tmp_path / "out")] == [plan.runs[0].id]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="out: got the file"):
        done(make_plan(COUNTED), tmp_path / "out")


# Dask ------------------------------------------------------------------------------------------


def test_a_dask_cluster_does_the_same(here: None, tmp_path: Path) -> None:
    from distributed import LocalCluster

    plan = make_plan(TRAIN)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        rows = done(plan, tmp_path / "dask", scheduler=cluster.scheduler_address)
    assert [row["status"] for row in rows] == [OK] * 4
    assert timeless(rows) == timeless(done(plan, tmp_path / "here"))


def test_a_scheduler_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "WAIT_FOR_SCHEDULER", 1)
    with pytest.raises(ValueError, match=r"scheduler: got 'tcp://127.0.0.1:9', allowed is"):
        done(make_plan(COUNTED), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ValueError, match=r"needs Dask: pip install 'moescope\[dask\]'"):
        done(make_plan(COUNTED), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_workers_that_can_never_start_end_the_sweep_with_one_error(tmp_path: Path) -> None:
    plan = "dict(experiment='savings', grid=dict(k=[1, 2, 3, 4, 5, 6, 7]))"
    script = (
        "from pathlib import Path\n"
        "from moe.sweeps.run import sweep\nfrom moe.sweeps.plan import make_plan\n"
        f"for row in sweep(make_plan({plan}), Path({str(tmp_path / 'out')!r}), workers=1): pass\n"
    )
    # Spawned processes read the main script again, and there is none to read on stdin.
    done = subprocess.run([sys.executable], input=script, capture_output=True, text=True)
    assert "workers: got processes that end at once" in done.stderr
