"""The strength that each balancer needs, by one rule for all, and loss against evenness drawn.

Strengths of different balancers mean different things, so methods can be compared at equal evenness
only: each gets the weakest strength of the grid at which the load is even enough, soon and still
later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from moe.pictures.figure import Drawing, Figure, draw
from moe.pictures.marks import goal, key, keyed, looks
from moe.pictures.palette import PAPER_INK, SERIES, SHAPES
from moe.sweeps.report import Spread

from .studies import Study, distinct

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
        rates = even.setdefault(point.balance, {})
        rates[point.rate] = rates.get(point.rate, True) and point.max_vio.mean <= EVEN
    return {
        name: min((rate for rate, enough in rates.items() if enough), default=None)
        for name, rates in even.items()
    }


def evenness_and_loss(points: Sequence[Point], marked: Sequence[Point]) -> Figure:
    """Draw held-out loss over MaxVio, each balancer's strengths joined in their order.

    Parameters
    ----------
    points
        Of six balancers at most.
    marked
        Those that are ringed: the strengths that are chosen.
    """
    names = list(dict.fromkeys(point.balance for point in points))
    rows = [
        {
            "balancer": point.balance,
            "strength": point.rate,
            "max_vio": point.max_vio.mean,
            "loss": point.held_out_loss.mean,
            "chosen": point in marked,
        }
        for point in points
    ]
    legend = key(symbolSize=120)
    colour = keyed(alt.Color, "balancer:N", looks(names, SERIES), legend)
    shape = keyed(alt.Shape, "balancer:N", looks(names, SHAPES), legend)
    x = alt.X(
        "max_vio:Q",
        title="MaxVio (even to the left)",
        scale=alt.Scale(type="log", nice=False, padding=20),
        axis=alt.Axis(values=[0.2, EVEN, 0.5, 1, 2, 4, 7], format="~g", grid=False),
    )
    y = alt.Y("loss:Q", title="held-out loss", scale=alt.Scale(zero=False))
    base = draw("points").encode(x=x, y=y)
    chart = alt.layer(
        goal("limit", PAPER_INK, x=alt.X("even:Q", title="MaxVio (even to the left)")),
        base.mark_line(strokeWidth=1.5, aria=False).encode(color=colour, order="strength:Q"),
        base.mark_point(filled=True, opacity=1, size=60).encode(
            color=colour,
            shape=shape,
            tooltip=[
                "balancer:N",
                alt.Tooltip("strength:Q", format="~g"),
                alt.Tooltip("max_vio:Q", title="MaxVio", format=".2f"),
                alt.Tooltip("loss:Q", title="held-out loss", format=".3f"),
            ],
        ),
        base.transform_filter("datum.chosen").mark_point(
            size=220, strokeWidth=2, color=PAPER_INK, shape="circle", aria=False
        ),
    )
    spoken = "; ".join(
        f"{point.balance} at {point.rate:g}: MaxVio {point.max_vio.mean:.2f}, loss "
        f"{point.held_out_loss.mean:.3f}"
        for point in marked
    )
    return Figure(
        "Loss against evenness",
        Drawing(chart.properties(height=320)),
        f"{', '.join(names)} at growing strengths. Weakest that is even enough: {spoken}.",
        {"points": rows, "limit": [{"even": EVEN}]},
    )
