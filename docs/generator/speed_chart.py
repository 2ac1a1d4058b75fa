"""The benchmark's chart: how much of the machine each implementation uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from moe.pictures.figure import Drawing, Figure, Rows, draw
from moe.pictures.marks import keyed, looks, name_axis
from moe.pictures.palette import BLUE, GREEN, MAUVE, OCHRE, SLATE, VERMILION

TITLE = "How much of the machine each implementation uses"
# The layer of this package comes first, then NumPy, and both keep their look in every chart.
COLOURS = [VERMILION, SLATE, BLUE, GREEN, MAUVE, OCHRE]
SHAPES = ["circle", "cross", "square", "triangle-up", "diamond", "triangle-down"]


def _panel(name: str, names: Sequence[str], shapes: Sequence[str], size: float) -> alt.Chart:
    """One pass: a row for each shape, in it a mark for each implementation."""
    legend = alt.Legend(title=None, orient="bottom", columns=3, labelLimit=200, symbolSize=90)
    marks = draw(name).mark_point(filled=True, opacity=1, size=size)
    return marks.encode(
        x=alt.X(
            "share:Q",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", tickCount=5, title=None, orient="top"),
        ),
        y=alt.Y("shape:N", sort=list(shapes), axis=name_axis(grid=True, labelLimit=120)),
        color=keyed(alt.Color, "name:N", looks(names, COLOURS), legend),
        shape=keyed(alt.Shape, "name:N", looks(names, SHAPES), legend),
    ).properties(width=460, height=alt.Step(32), title=alt.Title(name, anchor="start"))


def used(shares: dict[str, Rows]) -> Figure:
    """Draw shares of the limiting roof.

    Parameters
    ----------
    shares
        By pass, rows with 'shape', 'name' (that of this package first) and 'share'.
    """
    rows = [row for part in shares.values() for row in part]
    names = list(dict.fromkeys(row["name"] for row in rows))
    panels = [
        _panel(title, names, list(dict.fromkeys(row["shape"] for row in part)), 90)
        for title, part in shares.items()
    ]
    spoken = [f"{title}: {_spoken(part, names[0])}" for title, part in shares.items()]
    return Figure(TITLE, Drawing(alt.vconcat(*panels, spacing=24)), ". ".join(spoken) + ".", shares)


def _spoken(rows: Sequence[dict[str, Any]], ours: str) -> str:
    parts = []
    for shape in dict.fromkeys(row["shape"] for row in rows):
        here = [row for row in rows if row["shape"] == shape]
        share = next(row["share"] for row in here if row["name"] == ours)
        best = max((row for row in here if row["name"] != ours), key=lambda row: row["share"])
        parts.append(f"{shape} {ours} {share:.0%}, {best['name']} {best['share']:.0%}")
    return "; ".join(parts)
