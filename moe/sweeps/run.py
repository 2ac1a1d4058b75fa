"""A sweep: many runs of one experiment, each kept on disk as soon as it is finished.

Stopped or killed, it goes on where it was: `sweep` does what the folder does not hold yet.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    wait,
)
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import kernels
from .experiments import EXPERIMENTS
from .plan import SweepPlan, SweepRun
from .store import FAILED, OK, Row, SweepStore, columns
from .workers import DaskCluster, LocalProcesses, Workers

MOST_DEATHS = 3  # worker processes that one run may take with it before it counts as failed


@dataclass(frozen=True)
class Outcome:
    """What came of a run: figures, or else an error in words; and its seconds."""

    figures: dict[str, Any] | None
    error: str | None
    seconds: float


@dataclass(frozen=True)
class Remaining:
    """Runs of a plan by what the folder holds of them.

    Attributes
    ----------
    to_do
        Not there, or failed and to be tried again.
    finished, failed
        Ids of what is there and stays.
    """

    to_do: tuple[SweepRun, ...]
    finished: frozenset[str]
    failed: frozenset[str]


def perform(run: SweepRun) -> Outcome:
    """Do a run on one thread, here or on another machine; what goes wrong is an outcome too."""
    start = time.perf_counter()
    try:
        settings = run.make_settings()
        here = SweepRun.make(run.experiment, settings, run.repeat)
        if here.id != run.id:
            raise RuntimeError(
                f"worker has version {here.version} and data {here.data}, "
                f"the sweep has {run.version} and {run.data}"
            )
        with kernels.using(threads=1):
            figures = EXPERIMENTS[run.experiment].measure(settings)
        return Outcome(asdict(figures), None, time.perf_counter() - start)
    except Exception as error:
        return Outcome(None, _words(error), time.perf_counter() - start)


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def remaining(plan: SweepPlan, store: SweepStore, retry: bool = False) -> Remaining:
    """Say which runs of a plan are still to do.

    Parameters
    ----------
    retry
        Do failed runs again.

    Raises
    ------
    ValueError
        If the folder holds another experiment's runs.
    CheckpointError
        If a file in the folder is damaged.
    """
    there: dict[str, str] = {}
    for row in store.rows():
        if row["experiment"] != plan.experiment:
            raise ValueError(
                f"out: got {str(store.folder)!r} with runs of {row['experiment']!r}, allowed is a "
                f"new folder or one with runs of {plan.experiment!r}"
            )
        there[row["id"]] = row["status"]
    known = {run.id: there[run.id] for run in plan.runs if run.id in there}
    kept = {id for id, status in known.items() if status == OK or not retry}
    return Remaining(
        tuple(run for run in plan.runs if run.id not in kept),
        frozenset(id for id in kept if known[id] == OK),
        frozenset(id for id in kept if known[id] == FAILED),
    )


def planned(plan: SweepPlan, folder: Path, retry: bool = False) -> list[Row]:
    """List a plan's runs, with id, state and settings; the folder is left as it is."""
    left = remaining(plan, SweepStore(folder), retry)
    return [
        {
            "id": run.id,
            "state": OK
            if run.id in left.finished
            else FAILED
            if run.id in left.failed
            else "to do",
            "experiment": run.experiment,
            **run.settings,
            "repeat": run.repeat,
        }
        for run in plan.runs
    ]


@dataclass(frozen=True)
class Tally:
    """How far a sweep is.

    Attributes
    ----------
    kept
        Runs that were there before.
    to_do, done
        Runs that were not, and how many of them have ended.
    failed
        Runs without figures, old and new.
    """

    kept: int
    to_do: int
    done: int
    failed: int


def tally(rows: Iterator[Row | Remaining]) -> Iterator[tuple[Row, Tally]]:
    """Count what `sweep` yields: each row, and first an empty one, with how far the sweep is."""
    state = Tally(0, 0, 0, 0)
    for row in rows:
        if isinstance(row, Remaining):
            kept = len(row.finished) + len(row.failed)
            state = Tally(kept, len(row.to_do), 0, len(row.failed))
            yield {}, state
        else:
            failed = state.failed + (row["status"] == FAILED)
            state = replace(state, done=state.done + 1, failed=failed)
            yield row, state


def sweep(
    plan: SweepPlan,
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    retry: bool = False,
) -> Generator[Row | Remaining, None, None]:
    """Do the runs that the folder does not hold; yield what there is to do, then each row.

    A row is on disk before it is yielded. Closing the generator stops the runs under way.

    Parameters
    ----------
    folder
        Of the results: see `SweepStore`.
    workers
        Processes of this machine, each on one thread.
    scheduler
        Address of a Dask cluster that does the runs instead.
    retry
        Do failed runs again.

    Raises
    ------
    ValueError
        If another sweep works in the folder, it holds another experiment, or the scheduler does
        not answer.
    """
    store = SweepStore(folder)
    with store.locked():
        left = remaining(plan, store, retry)
        if not left.to_do:
            yield left
            return
        staff: Workers = LocalProcesses(workers) if scheduler is None else DaskCluster(scheduler)
        try:
            yield left
            for run, outcome in _work(left.to_do, staff):
                row = _row(run, outcome)
                store.add(row)
                yield row
        finally:
            staff.stop()


def _work(runs: tuple[SweepRun, ...], staff: Workers) -> Iterator[tuple[SweepRun, Outcome]]:
    """Yield each run with its outcome, in the order in which they end."""
    waiting, deaths, ended = deque(runs), Counter[str](), False
    under_way: dict[Future[Outcome], SweepRun] = {}
    while waiting or under_way:
        places = staff.places
        while waiting and len(under_way) < places:
            run = waiting.popleft()
            under_way[staff.submit(perform, run)] = run
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            run = under_way.pop(future)
            try:
                outcome, ended = future.result(), True
            except CancelledError as error:
                raise ValueError(
                    "scheduler: got no answer any more, allowed is one that stays; what is "
                    "finished is kept"
                ) from error
            except BrokenExecutor:
                deaths[run.id] += 1
                if not ended and deaths.total() >= MOST_DEATHS * (places + 3):
                    raise ValueError(
                        "workers: got processes that end at once, allowed are ones that can "
                        "start: a script that sweeps is a file, and does it below "
                        "`if __name__ == '__main__':`"
                    ) from None
                if deaths[run.id] < MOST_DEATHS:
                    waiting.appendleft(run)
                    continue
                text = f"its process died {MOST_DEATHS} times; is there enough memory?"
                outcome = Outcome(None, text, 0.0)
            except Exception as error:  # of the cluster, not of the run
                outcome = Outcome(None, _words(error), 0.0)
            yield run, outcome


def _row(run: SweepRun, outcome: Outcome) -> Row:
    about = {
        "id": run.id,
        "experiment": run.experiment,
        "status": FAILED if outcome.figures is None else OK,
        "error": outcome.error,
        "seconds": outcome.seconds,
        "version": run.version,
        "data": run.data,
        "repeat": run.repeat,
    }
    empty = dict.fromkeys(columns(run.experiment))
    return empty | about | dict(run.settings) | (outcome.figures or {})
