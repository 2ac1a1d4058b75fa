"""Sweeps behind pages: what to run stands in docs/studies/, and so does what it came to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from moe.lab.study import Study
from moe.lab.sweep import Tally, sweep, tally
from moe.lab.sweep_plan import read_plan
from moe.lab.sweep_store import SweepStore

FOLDER = Path(__file__).resolve().parent.parent / "studies"


def names() -> list[str]:
    """Studies that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def record(name: str) -> Path:
    """File that keeps a study's rows."""
    return FOLDER / f"{name}.jsonl"


def read(name: str) -> Study:
    """Rows of a study."""
    return Study.read(record(name))


def run(name: str, workers: int = 1) -> Iterator[Tally]:
    """Do the runs that are missing, saying how far it is, and write the record at the end.

    A study that is stopped goes on where it was: finished runs wait in a folder beside it.
    """
    plan, folder = read_plan(FOLDER / f"{name}.toml"), FOLDER / f"{name}.parquet"
    for _, state in tally(sweep(plan, folder, workers=workers)):
        yield state
    Study.of(plan, SweepStore(folder).rows()).write(record(name))
