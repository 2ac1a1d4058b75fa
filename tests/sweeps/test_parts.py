"""The parts of a sweep one by one: limits of plans, rows on disk, who does the runs, the report."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import pytest

import moe
from moe.kernels.threads import num_threads
from moe.sweeps import run as engine
from moe.sweeps import store as sweep_store
from moe.sweeps import workers
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import make_plan
from moe.sweeps.run import (
    MOST_DEATHS,
    Outcome,
    Remaining,
    perform,
    planned,
    remaining,
    sweep,
    tally,
)
from moe.sweeps.store import ABOUT, FAILED, OK, SweepStore, columns
from moe.sweeps.workers import DaskCluster, LocalProcesses

COUNTED = dict(experiment="savings", grid=dict(n_experts=[4, 8], k=[1, 2]))


def ended(value: Any) -> Future[Any]:
    """A future that has its result, or its error."""
    future: Future[Any] = Future()
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


class Here:
    """Workers that do a run at once, and count how many of them are under way."""

    def __init__(self, places: int = 1) -> None:
        self.places, self.asked, self.stopped = places, [], 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.asked.append(arguments[0].id)
        return ended(function(*arguments))

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    made = Here()
    monkeypatch.setattr(engine, "LocalProcesses", lambda count: made)
    return made


# Doing -----------------------------------------------------------------------------------------


def test_a_run_is_done_on_one_thread_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    kind = EXPERIMENTS["savings"]

    def measure(settings: Any) -> Any:
        threads.append(num_threads())
        return kind.measure(settings)

    run = make_plan(COUNTED).runs[0]
    wanted = asdict(kind.measure(run.make_settings()))
    monkeypatch.setitem(EXPERIMENTS, "savings", type(kind)(**{**vars(kind), "measure": measure}))
    outcome = perform(run)
    assert (outcome.figures, outcome.error, threads) == (wanted, None, [1])
    assert 0 < outcome.seconds < 10

    def fail(settings: Any) -> Any:
        raise RuntimeError("too\n  bad")

    monkeypatch.setitem(EXPERIMENTS, "savings", type(kind)(**{**vars(kind), "measure": fail}))
    outcome = perform(run)
    assert (outcome.figures, outcome.error) == (None, "RuntimeError: too bad")
    assert 0 < outcome.seconds < 10


def test_a_row_has_every_column_under_its_name() -> None:
    run = make_plan(COUNTED | dict(repeat=2)).runs[1]
    figures = asdict(EXPERIMENTS["savings"].measure(run.make_settings()))
    about = dict(
        id=run.id, experiment="savings", status=OK, error=None, seconds=2.5,
        version=moe.__version__, data="none", repeat=1,
    )  # fmt: skip
    row = engine._row(run, Outcome(figures, None, 2.5))
    assert row == {**about, **run.settings, **figures}
    assert list(row) == list(columns("savings"))
    assert list(row)[: len(ABOUT)] == list(ABOUT) == list(about)
    failed = engine._row(run, Outcome(None, "Boom: a", 1.0))
    assert failed == {
        **about, **run.settings, **dict.fromkeys(figures), "status": FAILED, "error": "Boom: a",
        "seconds": 1.0,
    }  # fmt: skip
    assert (OK, FAILED) == ("ok", "failed")


def test_what_remains_is_told_by_state(tmp_path: Path) -> None:
    plan, store = make_plan(COUNTED), SweepStore(tmp_path / "out")
    first, second, *others = plan.runs
    elsewhere = make_plan(COUNTED | dict(grid=dict(k=[1], d_model=[7]))).runs[0]
    store.folder.mkdir()
    figures = asdict(EXPERIMENTS["savings"].measure(first.make_settings()))
    store.add(engine._row(first, Outcome(figures, None, 1.0)))
    store.add(engine._row(second, Outcome(None, "Boom: a", 1.0)))
    store.add(engine._row(elsewhere, Outcome(figures, None, 1.0)))  # of another plan: stays
    done, lost = frozenset([first.id]), frozenset([second.id])
    assert remaining(plan, store) == Remaining(tuple(others), done, lost)
    again = remaining(plan, store, retry=True)
    assert again == Remaining((second, *others), done, frozenset())
    states = [OK, FAILED, "to do", "to do"]
    for retry, wanted in ((False, states), (True, [OK, "to do", "to do", "to do"])):
        told = planned(plan, store.folder, retry)
        assert [row["state"] for row in told] == wanted
    assert told[0] == {
        "id": first.id, "state": OK, "experiment": "savings", **first.settings, "repeat": 0,
    }  # fmt: skip


def test_a_tally_counts_old_and_new(tmp_path: Path) -> None:
    left = Remaining(make_plan(COUNTED).runs[:3], frozenset("ab"), frozenset("c"))
    rows = [left, {"status": OK}, {"status": FAILED}, {"status": OK}]
    states = list(tally(iter(rows)))
    assert [row for row, _ in states] == [{}, *rows[1:]]
    assert [asdict(state) for _, state in states] == [
        dict(kept=3, to_do=3, done=done, failed=failed)
        for done, failed in ((0, 1), (1, 1), (2, 2), (3, 2))
    ]


def test_all_places_are_filled_and_workers_stopped_once(here: Here, tmp_path: Path) -> None:
    plan, most = make_plan(COUNTED), 0

    class Later(Here):
        """Two places; a run ends only when both are taken."""

        open: ClassVar[list[tuple[Future[Any], Any]]] = []

        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            nonlocal most
            future: Future[Any] = Future()
            self.open.append((future, function(*arguments)))
            most = max(most, len(self.open))
            if len(self.open) == self.places:
                first, outcome = self.open.pop(0)
                first.set_result(outcome)
                if len(self.asked) == len(plan.runs) - 1:
                    last, outcome = self.open.pop(0)
                    last.set_result(outcome)
            self.asked.append(arguments[0].id)
            return future

    staff = Later(2)
    pairs = list(engine._work(plan.runs, staff))
    assert most == 2 and staff.asked == [run.id for run in plan.runs]
    assert sorted(run.id for run, _ in pairs) == sorted(staff.asked)
    rows = list(sweep(plan, tmp_path / "out"))
    assert here.stopped == 1 and len(rows) == 5
    assert len(list(sweep(plan, tmp_path / "out"))) == 1 and here.stopped == 1  # nothing to do


class Lost(Here):
    """Whose runs all end with an error, or with none from the given on."""

    def __init__(self, error: BaseException, until: int = 10**6) -> None:
        super().__init__()
        self.error, self.until = error, until

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        if len(self.asked) >= self.until:
            return super().submit(function, *arguments)
        self.asked.append(arguments[0].id)
        return ended(self.error)


def test_workers_that_always_die_end_the_sweep_and_others_do_not() -> None:
    runs = make_plan(dict(experiment="savings", grid=dict(d_model=list(range(1, 20))))).runs
    staff, died = Lost(BrokenProcessPool("x")), []
    with pytest.raises(ValueError, match="workers: got processes that end at once"):
        died += list(engine._work(runs, staff))
    assert len(staff.asked) == MOST_DEATHS * (1 + 3)
    staff, words = Lost(BrokenProcessPool("x"), MOST_DEATHS), []
    for _, outcome in engine._work(runs, staff):
        words.append(outcome.error)
    text = "its process died 3 times; is there enough memory?"
    assert words == [text, *[None] * (len(runs) - 1)]
    assert staff.asked[:4] == [runs[0].id] * 3 + [runs[1].id]  # the same run again at once


def test_an_error_of_the_cluster_fails_its_run_and_silence_ends_the_sweep() -> None:
    runs = make_plan(COUNTED).runs
    outcomes = [outcome for _, outcome in engine._work(runs, Lost(OSError("gone"), 1))]
    assert outcomes[0] == Outcome(None, "OSError: gone", 0.0)
    assert all(outcome.error is None for outcome in outcomes[1:])
    with pytest.raises(ValueError, match="scheduler: got no answer any more"):
        list(engine._work(runs, Lost(CancelledError())))


# Rows on disk ----------------------------------------------------------------------------------


def saved(folder: Path, **change: Any) -> tuple[SweepStore, dict[str, Any]]:
    run = make_plan(COUNTED).runs[0]
    figures = asdict(EXPERIMENTS["savings"].measure(run.make_settings()))
    store, row = SweepStore(folder), engine._row(run, Outcome(figures, None, 1.0)) | change
    folder.mkdir(exist_ok=True)
    store.add(row)
    return store, row


def test_rows_come_back_with_types_in_order_of_ids(tmp_path: Path) -> None:
    store, row = saved(tmp_path / "out", id="b")
    saved(tmp_path / "out", id="a", status=FAILED, error="Boom")
    saved(tmp_path / "out", id="b", seconds=9.0)  # in the place of the older one
    first, second = store.rows()
    assert second == row | {"seconds": 9.0}
    assert (first["id"], first["error"]) == ("a", "Boom")
    assert [type(second[name]) for name in row] == [type(value) for value in row.values()]
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["a.parquet", "b.parquet"]


def test_an_older_row_has_none_for_what_it_lacks(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    store, row = saved(tmp_path / "out")
    old = {name: value for name, value in row.items() if name != "flops_saved"}
    path = store.folder / f"{row['id']}.parquet"
    pq.write_table(pa.Table.from_pylist([old]), path)
    assert store.rows() == [row | {"flops_saved": None}]
    assert list(store.rows()[0]) == list(row)
    for wrong in ([old, old], [old | {"id": "other"}], [old | {"experiment": "magic"}], [{"a": 1}]):
        pq.write_table(pa.Table.from_pylist(wrong), path)
        with pytest.raises(moe.CheckpointError, match="allowed are the files of a sweep"):
            store.rows()
    path.rename(path.with_name(f".{path.name}"))
    (store.folder / "notes.txt").write_text("mine")
    assert store.rows() == [] == SweepStore(tmp_path / "new").rows()


def test_a_folder_is_made_with_those_above_it_or_taken_as_it_is(tmp_path: Path) -> None:
    store = SweepStore(tmp_path / "a" / "b")
    for _ in range(2):
        with store.locked():
            assert store.folder.is_dir()


def test_only_what_a_killed_sweep_left_is_deleted(tmp_path: Path) -> None:
    store, _ = saved(tmp_path / "out")
    for name in (".x-1.new", "mine.new", ".mine"):
        (store.folder / name).write_text("x")
    with store.locked():
        left = {path.name for path in store.folder.iterdir()}
    assert {"mine.new", ".mine", ".lock"} < left and ".x-1.new" not in left
    assert sum(name.endswith(".parquet") for name in left) == 1


def test_rows_are_flushed_to_the_disk_with_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    real = sweep_store.os.fsync
    monkeypatch.setattr(sweep_store.os, "fsync", lambda n: (synced.append(True), real(n)))
    saved(tmp_path / "out")
    assert len(synced) == 2


# Who does the runs -----------------------------------------------------------------------------


class FakePool:
    """A pool of one that notes what it is told."""

    made: ClassVar[list[FakePool]] = []

    def __init__(self, count: int, **options: Any) -> None:
        self.count, self.options, self.futures, self.ended = count, options, [], None
        self.broken = False
        FakePool.made.append(self)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        if self.broken:
            raise BrokenProcessPool("dead")
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        future: Future[Any] = Future()
        self.futures.append(future)
        return future

    def shutdown(self, **options: bool) -> None:
        self.ended = options


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[FakePool]:
    FakePool.made = []
    monkeypatch.setattr(workers, "ProcessPoolExecutor", FakePool)
    return FakePool.made


def test_each_process_has_one_run_and_only_the_dead_are_replaced(pools: list[FakePool]) -> None:
    staff = LocalProcesses(3)
    assert staff.places == 3 and not pools
    staff.submit(len)
    second = staff.submit(len)
    assert [len(pool.futures) for pool in pools] == [1, 1]  # as many as are needed
    second.set_result(1)
    third = staff.submit(len)
    assert [len(pool.futures) for pool in pools] == [1, 2]  # in the place that is free
    third.set_exception(BrokenProcessPool("killed"))
    staff.submit(len)
    assert [len(pool.futures) for pool in pools] == [1, 2, 1]
    staff.submit(len).set_exception(ValueError("of the run"))
    staff.submit(len).set_result(1)
    assert [len(pool.futures) for pool in pools] == [1, 2, 1, 2]
    pools[3].broken = True
    staff.submit(len)
    assert [len(pool.futures) for pool in pools] == [1, 2, 1, 2, 1]
    staff.stop()
    alive = [pool.ended is not None for pool in pools]
    assert alive == [True, False, True, False, True]
    assert pools[0].ended == dict(wait=True, cancel_futures=True)
    for pool in pools:
        assert pool.count == 1 and pool.options["initializer"] is workers._begin
        assert pool.options["mp_context"].get_start_method() == "spawn"
    with pytest.raises(ValueError, match=r"workers: got 0, allowed is a whole number in 1\.\.256"):
        LocalProcesses(0)
    with pytest.raises(ValueError, match="workers: got 257"):
        LocalProcesses(257)


def test_ctrl_c_while_a_process_begins_is_put_off_and_not_lost(pools: list[FakePool]) -> None:
    handler = signal.getsignal(signal.SIGINT)

    class Interrupted(FakePool):
        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            signal.raise_signal(signal.SIGINT)
            return super().submit(function, *arguments)

    pool = Interrupted(1)
    with pytest.raises(KeyboardInterrupt):
        workers._submit(pool, len)  # type: ignore[arg-type]
    assert len(pool.futures) == 1  # it got all that it was told
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    workers._submit(FakePool(1), len)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_worker_ignores_ctrl_c_and_ends_when_its_parent_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staff, codes, threads = LocalProcesses(1), [], []

    class Thread(workers.threading.Thread):
        def start(self) -> None:
            threads.append(self)

    monkeypatch.setattr(workers.threading, "Thread", Thread)
    monkeypatch.setattr(workers.os, "_exit", codes.append)
    handler = signal.getsignal(signal.SIGINT)
    try:
        workers._begin(staff._ends)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    (watching,) = threads
    assert watching.daemon  # else it would keep the process alive
    assert not staff._ends.writable and staff._alive.writable
    staff._alive.close()  # as the end of the process does
    with pytest.raises(EOFError):
        watching.run()
    assert codes == [1]


def test_a_cluster_has_two_runs_a_thread_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    said: list[Any] = []

    class Client:
        threads: ClassVar[dict[str, int]] = {"a": 2, "b": 3}

        def __init__(self, address: str, **options: Any) -> None:
            said.append((address, options))

        def get_executor(self, pure: bool) -> Any:
            assert not pure  # else a repeat would be taken from memory
            return self

        def nthreads(self) -> dict[str, int]:
            return self.threads

        def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return ended(function(*arguments))

        def shutdown(self, wait: bool) -> None:
            said.append(("shutdown", wait))

        def close(self) -> None:
            said.append("close")

    monkeypatch.setattr(distributed, "Client", Client)
    staff = DaskCluster("tcp://here:1")
    assert said == [("tcp://here:1", dict(timeout=10, set_as_default=False))]
    assert staff.places == 10
    monkeypatch.setattr(Client, "threads", {})
    assert staff.places == 1  # workers may still come
    assert staff.submit(max, 3, 4).result() == 4
    staff.stop()
    assert said[1:] == [("shutdown", False), "close"]
