"""The benchmark's chart: how much of the machine each implementation uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from moe.pictures.figure import Drawing, Figure, Rows, draw

TITLE = "How much of the machine each implementation uses"
# Okabe-Ito, the layer's own first; shape says the same as colour.
COLOURS = ["#D55E00", "#56606B", "#0072B2", "#009E73", "#A2558A", "#8A6D00"]
SHAPES = ["circle", "cross", "square", "triangle-up", "diamond", "triangle-down"]


def _panel(name: str, names: Sequence[str], shapes: Sequence[str], size: float) -> alt.Chart:
    """One pass: a row a shape, a mark an implementation."""
    legend = alt.Legend(title=None, orient="bottom", columns=3, labelLimit=200, symbolSize=90)
    return (
        draw(name)
        .mark_point(filled=True, opacity=1, size=size)
        .encode(
            x=alt.X(
                "share:Q",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", tickCount=5, title=None, orient="top"),
            ),
            y=alt.Y(
                "shape:N",
                sort=list(shapes),
                axis=alt.Axis(title=None, grid=True, ticks=False, domain=False, labelLimit=120),
            ),
            color=alt.Color(
                "name:N",
                scale=alt.Scale(domain=list(names), range=COLOURS[: len(names)]),
                legend=legend,
            ),
            shape=alt.Shape(
                "name:N",
                scale=alt.Scale(domain=list(names), range=SHAPES[: len(names)]),
                legend=legend,
            ),
        )
        .properties(width=460, height=alt.Step(32), title=alt.Title(name, anchor="start"))
    )


def used(shares: dict[str, Rows]) -> Figure:
    """Draw shares of the limiting roof.

    Parameters
    ----------
    shares
        By pass, rows with 'shape', 'name' (the layer's own first) and 'share'.
    """
    rows = [row for part in shares.values() for row in part]
    names = list(dict.fromkeys(row["name"] for row in rows))
    panels = [
        _panel(title, names, list(dict.fromkeys(row["shape"] for row in part)), 90)
        for title, part in shares.items()
    ]
    spoken = [f"{title}: {_spoken(part, names[0])}" for title, part in shares.items()]
    return Figure(TITLE, Drawing(alt.vconcat(*panels, spacing=24)), ". ".join(spoken) + ".", shares)


def _spoken(rows: Sequence[dict[str, Any]], own: str) -> str:
    parts = []
    for shape in dict.fromkeys(row["shape"] for row in rows):
        here = [row for row in rows if row["shape"] == shape]
        share = next(row["share"] for row in here if row["name"] == own)
        best = max((row for row in here if row["name"] != own), key=lambda row: row["share"])
        parts.append(f"{shape} {own} {share:.0%}, {best['name']} {best['share']:.0%}")
    return "; ".join(parts)
