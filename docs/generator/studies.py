"""Sweeps behind pages: docs/studies/ holds what to run, and the rows that came of it.

A study is a sweep whose rows are kept in one file of text, for a page that says what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe.errors import check_choice
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import SEED, SweepPlan, read_plan
from moe.sweeps.report import Spread
from moe.sweeps.run import Tally, sweep, tally
from moe.sweeps.store import OK, Row, SweepStore


@dataclass(frozen=True)
class Study:
    """Rows of a finished sweep, as they stand in its file.

    Attributes
    ----------
    experiment, version, data
        What was run, with which library, on what.
    settings
        What all runs have in common.
    rows
        A run each: what was varied, and its figures.
    """

    experiment: str
    version: str
    data: str
    settings: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, plan: SweepPlan, rows: Iterable[Row]) -> Study:
        """Take what a sweep kept, in the order of its plan.

        Raises
        ------
        ValueError
            If a run of the plan is missing or failed.
        """
        by_id = {row["id"]: row for row in rows if row["status"] == OK}
        missing = [run.id for run in plan.runs if run.id not in by_id]
        if missing:
            raise ValueError(
                f"rows: got none for {len(missing)} of {len(plan.runs)} runs, allowed are all"
            )
        own = [by_id[run.id] for run in plan.runs]
        figures = EXPERIMENTS[plan.experiment].figure_types()
        common = {
            name: value for name, value in plan.runs[0].settings.items() if name not in plan.varied
        }
        (version, data), *others = {(row["version"], row["data"]) for row in own}
        if others:
            raise ValueError("rows: got several versions or data, allowed is one of each")
        kept = [{name: row[name] for name in (*plan.varied, *figures)} for row in own]
        return cls(plan.experiment, version, data, common, tuple(kept))

    @classmethod
    def read(cls, path: Path) -> Study:
        """Read what `write` wrote."""
        head, *rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
        return cls(**head, rows=tuple(rows))

    def write(self, path: Path) -> None:
        """Write JSON lines: what the runs have in common, then a run a line."""
        head = {name: value for name, value in vars(self).items() if name != "rows"}
        path.write_text("".join(json.dumps(line) + "\n" for line in (head, *self.rows)), "utf-8")

    def seeds(self) -> list[int]:
        """Seeds of the runs, in order."""
        return sorted({row[SEED] for row in self.rows})

    def own(self, **varied: Any) -> list[Mapping[str, Any]]:
        """Rows in which these settings have these values."""
        return [row for row in self.rows if all(row[n] == value for n, value in varied.items())]

    def spread(self, figure: str, **varied: Any) -> Spread:
        """Mean and deviation over the seeds of a figure, None left out.

        Raises
        ------
        ValueError
            If there is no such figure.
        """
        check_choice("figure", figure, EXPERIMENTS[self.experiment].figure_types())
        values = [row[figure] for row in self.own(**varied)]
        return Spread.of([float(value) for value in values if value is not None])

    def make_settings(self, row: Mapping[str, Any]) -> Any:
        """Settings of one row's run."""
        names = EXPERIMENTS[self.experiment].setting_names()
        varied = {name: value for name, value in row.items() if name in names}
        return EXPERIMENTS[self.experiment].settings(**{**self.settings, **varied})


def distinct(rows: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Combinations of values that occur, in order of appearance."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


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
