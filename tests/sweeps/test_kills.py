"""Sweeps that are killed at random moments lose nothing and do nothing twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import pytest

from moe.sweeps import run as engine
from moe.sweeps.plan import SweepPlan, read_plan
from moe.sweeps.run import Remaining, sweep
from moe.sweeps.store import OK, SweepStore
from tests.sweeps.test_run import Here

PLAN = """
experiment = "train"
seeds = [{seeds}]
[settings]
task = "linear_maps"
d_model = 16
d_expert = 8
n_experts = 8
batch = 64
steps = {steps}
[grid]
balance = ["none", "bias"]
"""
PATIENCE = 60  # seconds until a step that should take few counts as hung
VICTIMS = ("all", "main", "worker and all", "worker and main")


def write_plan(folder: Path, n_runs: int, steps: int = 60) -> Path:
    file = folder / "plan.toml"
    seeds = ", ".join(str(seed) for seed in range(n_runs // 2))
    file.write_text(PLAN.format(seeds=seeds, steps=steps))
    return file


def start(file: Path, log: Path) -> psutil.Popen:
    """Begin a sweep in a process group of its own; its JSON lines are appended to the log.

    It hears Ctrl-C even where these tests do not, as where a shell runs them in the background.
    """
    command = [sys.executable, "-m", "moe", "sweep", str(file), "--workers", "2", "--json"]
    with log.open("ab") as stdout, log.with_suffix(".err").open("ab") as stderr:
        return psutil.Popen(
            command, stdout=stdout, stderr=stderr, start_new_session=True, preexec_fn=hears_ctrl_c
        )


def hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def workers_of(main: psutil.Process) -> list[psutil.Process]:
    """The processes that do the runs: not multiprocessing's resource tracker."""
    return [child for child in main.children() if alive(child) and "spawn_main" in words_of(child)]


def words_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # gone meanwhile
        return ""


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(true: Callable[[], object], main: psutil.Popen | None = None) -> None:
    """Wait for it, as long as the main process lives."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "hangs"
        assert main is None or main.poll() is None, "ended too early"
        time.sleep(0.002)


def files_of(out: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written again: its inode and time, by name."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.parquet")
    }


def kill_and_resume(plan: Path, out: Path, log: Path, victims: Sequence[str]) -> None:
    """Start the sweep and kill it again and again; at last let it end."""
    rng = np.random.default_rng(len(victims))
    kept = files_of(out)
    for victim in victims:
        before = len(kept)
        main = start(plan, log)
        progress = int(rng.integers(0, 8))
        if progress == 0 and "worker" not in victim:
            time.sleep(rng.uniform(0, 1))  # at any moment of the start, too
        else:
            until(lambda n=before + progress: len(files_of(out)) >= n, main)
            time.sleep(rng.uniform(0, 0.05))
        workers = workers_of(main)
        if "worker" in victim:
            until(lambda m=main: workers_of(m), main)
            workers = workers_of(main)
            rng.choice(workers).kill()  # type: ignore[attr-defined]
            n = len(files_of(out))
            until(lambda n=n: len(files_of(out)) >= n + 3, main)  # the sweep goes on without it
        assert main.poll() is None
        if "main" in victim:
            workers += workers_of(main)
            main.kill()
            until(lambda w=workers: not any(map(alive, w)))  # by themselves
        else:
            os.killpg(main.pid, signal.SIGKILL)
        main.wait()
        now = files_of(out)
        assert kept.items() <= now.items(), "a finished run was lost or written again"
        kept = now
    assert start(plan, log).wait(PATIENCE) == 0
    assert kept.items() <= files_of(out).items()


def rows_without_times(out: Path) -> list[dict[str, object]]:
    rows = SweepStore(out).rows()
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def uninterrupted(plan: SweepPlan, out: Path) -> list[dict[str, object]]:
    with patch.object(engine, "LocalProcesses", lambda count: Here()):
        done = [row for row in sweep(plan, out) if not isinstance(row, Remaining)]
    assert len(done) == len(plan.runs)
    return rows_without_times(out)


def check(folder: Path, n_runs: int, victims: Sequence[str]) -> None:
    file, out, log = write_plan(folder, n_runs), folder / "plan.parquet", folder / "rows.jsonl"
    kill_and_resume(file, out, log, victims)
    plan = read_plan(file)
    rows = rows_without_times(out)
    assert [row["id"] for row in rows] == sorted(run.id for run in plan.runs)
    assert all(row["status"] == OK for row in rows)
    assert rows == uninterrupted(plan, folder / "whole.parquet")
    assert not list(out.glob(".*.new"))
    # A line may be cut short or missing by a kill, but no life did a run that was finished.
    lines = [line for line in log.read_text().split("\n") if line.endswith("}")]
    printed = [json.loads(line)["id"] for line in lines]
    assert len(printed) == len(set(printed)) > n_runs // 2
    print(f"{len(victims)} kills, {n_runs} runs, {len(rows)} rows, {len(printed)} of them reported")


def test_kills_of_a_worker_and_of_the_whole_lose_and_double_nothing(tmp_path: Path) -> None:
    check(tmp_path, n_runs=40, victims=VICTIMS[3:])


@pytest.mark.soak
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    check(tmp_path, n_runs=360, victims=5 * VICTIMS)


@pytest.mark.parametrize("seconds", [pytest.param(0, marks=pytest.mark.soak), 1])
def test_ctrl_c_ends_all_at_once_and_the_same_command_goes_on(
    tmp_path: Path, seconds: int, run_moe: Callable[..., object]
) -> None:
    endless = write_plan(tmp_path, n_runs=2, steps=1_000_000)
    log = tmp_path / "rows.jsonl"
    main = start(endless, log)
    try:
        until(lambda: len(workers_of(main)) == 2, main)
        time.sleep(seconds)  # processes begin, or are at work
        workers = workers_of(main)
        os.killpg(main.pid, signal.SIGINT)  # as a terminal does
        assert main.wait(PATIENCE) == 130
        assert not any(map(alive, workers))
    finally:  # they would work without end
        with suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)
    said = log.with_suffix(".err").read_text()
    assert "the same command goes on" in said and "Traceback" not in said
    small = write_plan(tmp_path, n_runs=2, steps=1)
    run_moe("sweep", str(small), "--workers", "1")
