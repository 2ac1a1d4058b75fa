"""How strong must a balancer be? The same rule for all, on the same grid, from a study.

Methods whose strengths mean different things can be compared at equal evenness only: each gets the
weakest strength of the grid at which the load is even enough, soon and still later.
"""

from __future__ import annotations

from dataclasses import dataclass

from .study import Study, distinct
from .sweep_report import Spread

EVEN = 0.3  # MaxVio; random choices of a batch of 1,024 with k = 2 of 16 experts come to 0.16


@dataclass(frozen=True)
class Point:
    """One balancer at one strength, over the seeds.

    Attributes
    ----------
    steps
        Length of the runs.
    max_vio, held_out_loss
        Over the last steps, and on data that training never drew.
    """

    balance: str
    router: str
    rate: float
    steps: int
    max_vio: Spread
    held_out_loss: Spread


def points(study: Study) -> list[Point]:
    """All of a study's balancers and strengths, each balancer's in order of strength."""
    keys = ("balance", "router", "balance_rate", "steps")
    names = [name for (name,) in distinct(study.rows, "balance")]
    cases = sorted(distinct(study.rows, *keys), key=lambda case: (names.index(case[0]), case[2:]))
    return [
        Point(
            *case,
            *(
                study.spread(figure, **dict(zip(keys, case, strict=True)))
                for figure in ("max_vio", "held_out_loss")
            ),
        )
        for case in cases
    ]


def lengths(study: Study) -> list[int]:
    """Steps of the runs, the shortest first."""
    return sorted(steps for (steps,) in distinct(study.rows, "steps"))


def chosen(study: Study) -> dict[str, float | None]:
    """Weakest strength of each balancer whose mean MaxVio is at most `EVEN` in runs of all lengths.

    None if there is none.
    """
    even: dict[str, dict[float, bool]] = {}
    for point in points(study):
        own = even.setdefault(point.balance, {})
        own[point.rate] = own.get(point.rate, True) and point.max_vio.mean <= EVEN
    return {
        name: min((rate for rate, enough in own.items() if enough), default=None)
        for name, own in even.items()
    }
