"""The published runs that the law is fitted to, and the laws that came of them: two tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..cost.tables import origin_of, rows_of
from ..errors import check_choice
from .law import Law, fit

FOLDER = Path(__file__).parent
ROUTERS = ("S-Base", "RL-R", "Hash")
DENSE = "Dense"
# Training steps at which losses are kept; END is the last.
STEPS = (10_000, 20_000, 50_000, 100_000, 150_000, 200_000)
END = "end"
MOMENTS = (*map(str, STEPS), END)
USUAL_EVERY = 0.5  # share of blocks with experts
RUN_COLUMNS = (
    "run", "router", "size", "experts", "k", "every", "widened", "seed", "active", "total",
    *(f"loss_{moment}" for moment in MOMENTS),
)  # fmt: skip
LAW_COLUMNS = (
    "router", "moment", "runs", "a", "b", "c", "d", "start", "most", "worst", "left_out",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One published training.

    Attributes
    ----------
    number, router, size, seed
        Its number in the source, how tokens were routed, the size's name, and the seed.
    experts, k, every, widened
        Experts of a layer, experts per token, share of blocks with experts, and the factor on
        the width of a dense model's feed-forward network.
    active, total
        Parameters that a token sees, and all.
    losses
        Validation loss in nats by moment, `MOMENTS`; a moment that the source lacks is not there.
    """

    number: int
    router: str
    size: str
    experts: int
    k: int
    every: float
    widened: float
    seed: int
    active: int
    total: int
    losses: dict[str, float]

    @property
    def usual(self) -> bool:
        """Whether it is of the kind that the law is about: one of E experts, every other block."""
        return self.k == 1 and self.widened == 1 and self.every == USUAL_EVERY

    @property
    def loss(self) -> float:
        """The last validation loss."""
        return self.losses[END]


@dataclass(frozen=True)
class Fitted:
    """A law and what it was fitted to.

    Attributes
    ----------
    router, moment, runs
        How tokens were routed, after how many steps, and how many runs there were.
    law
        The law.
    worst
        Largest distance of a run from it, in nats.
    left_out
        The same with the run's size left out of the fit, at the end; None at other moments.
    """

    router: str
    moment: str
    runs: int
    law: Law
    worst: float
    left_out: float | None


@lru_cache(maxsize=1)
def runs() -> tuple[Run, ...]:
    """All published runs, as rounded in the table that ships."""
    return tuple(
        Run(
            int(row["run"]), row["router"], row["size"], int(row["experts"]), int(row["k"]),
            float(row["every"]), float(row["widened"]), int(row["seed"]), int(row["active"]),
            int(row["total"]),
            {m: float(row[f"loss_{m}"]) for m in MOMENTS if row[f"loss_{m}"]},
        )
        for row in rows_of("runs", __package__ or "")
    )  # fmt: skip


@lru_cache(maxsize=1)
def laws() -> tuple[Fitted, ...]:
    """The laws of the unrounded losses, by router and moment."""
    return tuple(
        Fitted(
            row["router"], row["moment"], int(row["runs"]),
            Law(*(float(row[name]) for name in LAW_COLUMNS[3:9])),
            float(row["worst"]), float(row["left_out"]) if row["left_out"] else None,
        )
        for row in rows_of("laws", __package__ or "")
    )  # fmt: skip


def fitted(router: str = ROUTERS[0], moment: str = END) -> Fitted:
    """The law of a router after so many steps.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    check_choice("router", router, ROUTERS)
    check_choice("moment", moment, MOMENTS)
    return next(one for one in laws() if (one.router, one.moment) == (router, moment))


def origin() -> dict[str, str]:
    """Source, commit, licence and command of the tables, as they say themselves."""
    return origin_of("runs", __package__ or "")


def taken(all_runs: Iterable[Run], router: str, moment: str = END) -> list[Run]:
    """Runs that a router's law is fitted to: of the usual kind, and dense ones for one expert.

    The smallest size with S-Base and 256 experts or more is left out: its loss flattens early, and
    would set for all sizes where experts saturate.
    """
    return [
        run
        for run in all_runs
        if run.usual
        and run.router in (router, DENSE)
        and moment in run.losses
        and not (router == "S-Base" and run.size == "15M" and run.experts >= 256)
    ]


def law_of(some: Sequence[Run], moment: str = END) -> Law:
    """The law that fits these runs."""
    columns = ([run.active for run in some], [run.experts for run in some],
               [run.losses[moment] for run in some])  # fmt: skip
    return fit(*map(np.array, columns))


def distance(law: Law, some: Iterable[Run], moment: str = END) -> float:
    """Largest distance of a run from a law, in nats."""
    return max(abs(law.loss(run.active, run.experts) - run.losses[moment]) for run in some)


def refit(all_runs: Sequence[Run], router: str, moment: str = END) -> Fitted:
    """Fit a router's law, at the end with each size left out in turn as well."""
    some = taken(all_runs, router, moment)
    law, left_out = law_of(some, moment), None
    if moment == END:
        left_out = max(left_out_by_size(some).values())
    return Fitted(router, moment, len(some), law, distance(law, some, moment), left_out)


def left_out_by_size(some: Sequence[Run]) -> dict[str, float]:
    """Largest distance of each size's runs from the law of all other sizes."""
    errors = {}
    for size in dict.fromkeys(run.size for run in some):
        inside = [run for run in some if run.size != size]
        errors[size] = distance(law_of(inside), [run for run in some if run.size == size])
    return errors


def differences(
    all_runs: Iterable[Run], one: str, other: str, moment: str = END
) -> dict[tuple[str, int], float]:
    """How much higher one router's loss is than another's, by size and experts, in nats.

    Several seeds count by their mean. Dense models are beside every number of experts.
    """
    found: dict[tuple[str, str, int], list[float]] = {}
    for run in all_runs:
        if run.usual and moment in run.losses:
            found.setdefault((run.router, run.size, run.experts), []).append(run.losses[moment])

    def mean(router: str, size: str, experts: int) -> float | None:
        losses = found.get((router, size, 1 if router == DENSE else experts))
        return None if losses is None else float(np.mean(losses))

    cells = {(size, experts) for _, size, experts in found if experts > 1}
    both = {cell: (mean(one, *cell), mean(other, *cell)) for cell in sorted(cells)}
    return {cell: a - b for cell, (a, b) in both.items() if a is not None and b is not None}
