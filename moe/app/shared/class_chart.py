"""A class's guesses as bars, the right answer marked."""

from __future__ import annotations

import altair as alt

from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import end_labels, keyed
from ...pictures.palette import FAIR, GREEN, PAPER_INK
from .guesses import Tally

RIGHT, IN_HERE = " · right", " · the right one is in here"


def guessed(tally: Tally, ink: str = PAPER_INK) -> Figure:
    """Draw how many gave each answer; the right one has another colour and a word."""
    mark = IN_HERE if tally.steps else RIGHT
    rows: Rows = [
        {
            "answer": answer,
            "guesses": n,
            "right": answer == tally.right,
            "label": f"{answer}: {n}{mark if answer == tally.right else ''}",
        }
        for answer, n in tally.counts.items()
    ]
    spoken = "; ".join(row["label"] for row in rows)
    return Figure(
        tally.question,
        _guessed(ink),
        f"How many gave each answer: {spoken}.",
        {"guesses": rows},
        name="Guesses of a class",
    )


@drawn_once
def _guessed(ink: str) -> Chart:
    """Answers stand above their bars, where a phone has room for them."""
    base = draw("guesses").encode(
        y=alt.Y("answer:N", sort=None, axis=None),
        x=alt.X("guesses:Q", axis=None, scale=alt.Scale(zero=True, nice=False)),
    )
    bars = base.mark_bar(height=14, yOffset=10, cornerRadiusEnd=2)
    bars = bars.encode(color=keyed(alt.Color, "right:N", {True: GREEN, False: FAIR}))
    words = end_labels(base, ink, dx=0, dy=-8).encode(x=alt.value(0), text="label:N")
    return (bars + words).properties(height=alt.Step(46))
