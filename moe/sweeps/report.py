"""What a sweep found: means over seeds and repeats for each combination of what varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import check_choice
from ..numbers import plural
from ..settings import setting
from .experiments import EXPERIMENTS, LOWER
from .plan import SEED
from .store import OK, Row, SweepStore

MIXED = ("version", "data")  # tell groups apart if a folder has rows of several


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a figure over the n runs that have it.

    The mean is NaN without a run, the deviation with fewer than two.
    """

    mean: float
    deviation: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values; infinite ones and NaN count, since they tell of runs that diverged."""
        n = len(values)
        if not n:
            return cls(math.nan, math.nan, 0)
        with np.errstate(invalid="ignore"):
            deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
        return cls(float(np.mean(values)), deviation, n)

    def words(self) -> str:
        """Write both as text: 1.234 ± 0.005."""
        if not self.n:
            return "-"
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.2g}"
        return f"{self.mean:.4g}{spread}"


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and repeat only.

    Attributes
    ----------
    varied
        Settings that tell the group from others.
    n
        Number of finished runs.
    figures
        By name.
    best
        Whether no other group's mean of the report's first figure is better.
    """

    varied: dict[str, Any]
    n: int
    figures: dict[str, Spread]
    best: bool = False

    def label(self) -> str:
        """Write what tells the group from others, in one line."""
        return ", ".join(f"{name} {setting(value)}" for name, value in self.varied.items()) or "all"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, ready for `json.dumps`; what is no number is None."""
        figures = {
            name: {"mean": finite(s.mean), "deviation": finite(s.deviation), "n": s.n}
            for name, s in self.figures.items()
        }
        return {"varied": self.varied, "n": self.n, "best": self.best, "figures": figures}


@dataclass(frozen=True)
class SweepReport:
    """All groups, in order of what varied, and how many runs failed.

    `better` says which end of the first figure is the good one; None if that is not known.
    """

    experiment: str
    groups: tuple[Group, ...]
    failed: int
    errors: tuple[str, ...]
    better: str | None

    def table(self) -> list[dict[str, str]]:
        """Return one row of texts per group."""
        return [
            {
                **{name: setting(value) for name, value in group.varied.items()},
                "runs": str(group.n),
                **{name: spread.words() for name, spread in group.figures.items()},
                "best": "best" if group.best else "",
            }
            for group in self.groups
        ]

    def words(self) -> str:
        """Write the number of runs, and the best group, in a few sentences."""
        n = sum(group.n for group in self.groups)
        runs = plural(n, "finished run")
        text = f"{runs} of {self.experiment}; ± is the standard deviation over a row's runs."
        for group in self.groups:
            if group.best:
                name, spread = next(iter(group.figures.items()))
                text += f" Best by {name} ({self.better}): {group.label()}, {spread.words()}."
        if self.failed:
            text += f" {self.failed} failed and are left out: {'; '.join(self.errors)}."
        return text


def finite(value: Any) -> Any:
    """Return the value, or None if it is NaN or infinite, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(row: Row) -> Row:
    """Return a row ready for `json.dumps`."""
    return {name: finite(value) for name, value in row.items()}


def report(folder: Path, figures: Sequence[str] = ()) -> SweepReport:
    """Summarise a sweep's folder.

    Parameters
    ----------
    figures
        Figures to show, the one to rank by first; by default those that the experiment names.

    Raises
    ------
    ValueError
        If the folder holds no runs, those of several experiments, or has no such figure.
    CheckpointError
        If a file in the folder is damaged.
    """
    rows = SweepStore(folder).rows()
    names = sorted({row["experiment"] for row in rows})
    if len(names) != 1:
        got = f"runs of {', '.join(names)}" if names else "no runs"
        raise ValueError(
            f"out: got {str(folder)!r} with {got}, allowed is a folder that moe sweep wrote"
        )
    experiment = EXPERIMENTS[names[0]]
    shown = [check_choice("figure", name, list(experiment.figure_types())) for name in figures]
    shown = shown or list(experiment.better)
    finished = [row for row in rows if row["status"] == OK]
    varied = [
        name
        for name in (*experiment.setting_names(), *MIXED)
        if name != SEED and len({row[name] for row in finished}) > 1
    ]
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(finished, key=lambda row: [_order(row[name]) for name in varied]):
        by_key.setdefault(tuple(row[name] for name in varied), []).append(row)
    groups = [
        Group(
            dict(zip(varied, key, strict=True)),
            len(runs),
            {
                name: Spread.of([float(row[name]) for row in runs if row[name] is not None])
                for name in shown
            },
        )
        for key, runs in by_key.items()
    ]
    better = experiment.better.get(shown[0])
    errors = [row["error"] for row in rows if row["status"] != OK]
    return SweepReport(
        names[0],
        tuple(_mark_best(groups, shown[0], better)),
        len(errors),
        tuple(dict.fromkeys(errors)),
        better,
    )


def _order(value: Any) -> tuple[bool, bool, Any]:
    """Sort key for values of one column: none first, then numbers or words."""
    return value is not None, isinstance(value, str), 0 if value is None else value


def _mark_best(groups: list[Group], figure: str, better: str | None) -> list[Group]:
    means = [group.figures[figure].mean for group in groups]
    sound = [mean for mean in means if not math.isnan(mean)]
    if better is None or len(groups) < 2 or not sound:
        return groups
    best = min(sound) if better == LOWER else max(sound)
    return [replace(group, best=mean == best) for group, mean in zip(groups, means, strict=True)]
