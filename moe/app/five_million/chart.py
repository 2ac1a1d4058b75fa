"""Charts of the page on money: parts, what is left out, assumptions, other models, limits."""

from __future__ import annotations

from typing import Any

import altair as alt

from ...numbers import dollars
from ...pictures.figure import Figure, Rows, draw, drawn_once, spoken
from ...pictures.marks import (
    end_labels,
    goal,
    keyed,
    legible,
    looks,
    sheet,
    stacked,
    with_room,
)
from ...pictures.palette import BLUE, PAPER_INK, VERMILION
from . import chips, story
from . import claim as money_claim

MAIN, OTHER = BLUE, VERMILION
STEP = 48  # pixels of a row: its name above, its mark below
MONEY = "(datum.value >= 1e9 ? '$' + datum.value / 1e9 + 'B' : datum.value >= 1e6 ? '$' + "
MONEY += "datum.value / 1e6 + 'M' : '$' + datum.value / 1e3 + 'K')"


def _named(name: str, ink: str, **channels: Any) -> tuple[alt.Chart, alt.Chart]:
    """Begin a chart with a named row for each mark; names stand above, where a phone has room.

    Returns
    -------
    The chart to mark, and the names.
    """
    base = draw(name).encode(y=alt.Y("name:N", sort=None, axis=None))
    names = base.mark_text(
        align="left", baseline="bottom", dy=-9, fontSize=12.5, color=ink, limit=330
    ).encode(x=alt.value(0), text="name:N")
    return base.encode(**channels), names


def _label(base: alt.Chart, ink: str, x: alt.X) -> alt.Chart:
    """Write words right of a mark's end."""
    return end_labels(base, ink, dx=8, dy=4, fontSize=12.5).encode(x=x)


def _stack(layers: list[alt.Chart]) -> alt.LayerChart:
    return alt.LayerChart(layer=layers).properties(height=alt.Step(STEP))


def _log_money(lowest: float, highest: float, values: list[float]) -> alt.X:
    """Return an axis of dollars in powers of ten."""
    return alt.X(
        "low:Q",
        scale=alt.Scale(type="log", domain=[lowest, highest], nice=False),
        axis=alt.Axis(title=None, values=values, labelExpr=MONEY, gridOpacity=0.6),
    )


def parts(found: list[story.Part], ink: str = PAPER_INK) -> Figure:
    """Draw the parts of the published cost."""
    rows = [
        {"name": part.name, "dollars": part.dollars, "label": part.sum_words()} for part in found
    ]
    return Figure(
        f"{dollars(story.published_dollars(), 4)} and what it paid for",
        _parts(ink),
        f"Three bars. {spoken(rows)}.",
        {"parts": rows},
    )


@drawn_once
def _parts(ink: str) -> alt.LayerChart:
    x = alt.X("dollars:Q", axis=None, scale=with_room(2.2))
    base, names = _named("parts", ink, x=x)
    bars = base.mark_bar(size=16, yOffset=6, color=MAIN, cornerRadiusEnd=2)
    return _stack([bars, names, _label(base, ink, x)])


def left_out(found: list[story.Beside], ink: str = PAPER_INK) -> Figure:
    """Draw the published figure beside what it leaves out, in powers of ten."""
    rows: Rows = [
        {
            "name": one.what,
            "low": one.dollars.low if one.dollars else None,
            "high": one.dollars.high if one.dollars else None,
            "kind": "published" if one is found[0] else "left out",
            "label": one.amount(),
        }
        for one in found
    ]
    return Figure(
        "What that figure leaves out (each line of the grid is ten times the one before)",
        _left_out(ink),
        f"Dollars in powers of ten. {spoken(rows)}.",
        {"left_out": rows},
    )


@drawn_once
def _left_out(ink: str) -> alt.LayerChart:
    x = _log_money(1e5, 3e11, [10.0**power for power in range(5, 11)])
    base, names = _named("left_out", ink, x=x)
    colour = keyed(alt.Color, "kind:N", {"published": MAIN, "left out": OTHER})
    shape = keyed(alt.Shape, "kind:N", {"published": "circle", "left out": "diamond"})
    known = base.transform_filter("datum.low != null")
    lines = known.mark_rule(strokeWidth=5, yOffset=6).encode(x2="high:Q", color=colour)
    ends = [
        known.mark_point(size=90, filled=True, opacity=1, yOffset=6).encode(
            x=x_of, color=colour, shape=shape
        )
        for x_of in (x, _same(x, "high"))
    ]
    labels = end_labels(known, ink, dx=11, dy=7, fontSize=12.5).encode(x=_same(x, "high"))
    unknown = end_labels(
        base.transform_filter("datum.low == null"), ink, dx=0, dy=7, fontSize=12.5,
        fontStyle="italic",
    )  # fmt: skip
    return _stack([lines, *ends, names, labels, unknown.encode(x=alt.value(0))])


def _same(x: alt.X, field: str) -> alt.X:
    """Return the same axis for another field."""
    copy = x.copy()
    copy.shorthand = f"{field}:Q"
    return copy


def swings(found: list[story.Swing], middle: float, ink: str = PAPER_INK) -> Figure:
    """Draw how far each assumption alone moves the rent."""
    rows = [
        {
            "name": f"{swing.name}: {swing.setting}",
            "low": swing.low,
            "high": swing.high,
            "label": f"{dollars(swing.low)} to {dollars(swing.high)}",
        }
        for swing in found
    ]
    return Figure(
        "One assumption at a time: how far the rent moves",
        _swings(ink),
        f"Bars from low to high around {dollars(middle)}, the strongest first. {spoken(rows)}.",
        {"swings": rows, "middle": [{"middle": middle}]},
    )


@drawn_once
def _swings(ink: str) -> alt.LayerChart:
    x = alt.X("low:Q", axis=None, scale=with_room(1.5))
    base, names = _named("swings", ink, x=x)
    bars = base.mark_bar(size=16, yOffset=6, color=MAIN, cornerRadius=2).encode(x2="high:Q")
    labels = _label(base, ink, _same(x, "high"))
    rule = goal("middle", ink, x=_same(x, "middle"))
    return _stack([rule, bars, *legible(ink, names, labels)])


def compared(found: list[money_claim.Compared], ink: str = PAPER_INK) -> Figure:
    """Draw computed ranges of all trainings with published hours, beside these hours."""
    rows: Rows = [
        {
            "name": f"{row.model} ({row.gpu})" + ("" if row.within else ": outside"),
            "low": row.dollars.low,
            "high": row.dollars.high,
            "published": row.published,
            "label": dollars(row.published, 3),
            "edge": max(row.published, row.dollars.high),
        }
        for row in found
    ]
    words = "; ".join(
        f"{row['name']}: computed {dollars(row['low'])} to {dollars(row['high'])}, "
        f"published hours {row['label']}"
        for row in rows
    )
    return Figure(
        "Computed (bar) beside the rent of the published hours (diamond)",
        _compared(ink),
        f"Rent in dollars, in powers of ten. {words}.",
        {"compared": rows},
    )


@drawn_once
def _compared(ink: str) -> alt.LayerChart:
    x = _log_money(5e5, 1e9, [1e6, 1e7, 1e8])
    base, names = _named("compared", ink, x=x)
    bars = base.mark_bar(size=14, yOffset=6, color=MAIN, opacity=0.75).encode(x2="high:Q")
    points = base.mark_point(
        shape="diamond", size=150, filled=True, opacity=1, color=OTHER, yOffset=6,
        stroke="white", strokeWidth=1,
    ).encode(x=_same(x, "published"))  # fmt: skip
    labels = _label(base, ink, _same(x, "edge"))
    return _stack([bars, points, names, labels])


def ways(found: list[money_claim.Way], ink: str = PAPER_INK) -> Figure:
    """Draw ways of counting beside the claimed range."""
    claim = money_claim.CLAIM
    rows = [
        {
            "name": f"{way.name} ({way.how})",
            "low": way.dollars.low,
            "mid": way.dollars.mid,
            "high": way.dollars.high,
            "label": story.from_to(way.dollars),
        }
        for way in found
    ]
    return Figure(
        f"Which ways of counting reach {story.from_to(claim)} (the dashed lines)?",
        _ways(ink),
        f"Bars of rent, with a tick at the middle. {spoken(rows)}.",
        {"ways": rows, "claim": [{"at": claim.low}, {"at": claim.high}]},
    )


@drawn_once
def _ways(ink: str) -> alt.LayerChart:
    x = alt.X("low:Q", axis=None, scale=with_room(1.4))
    base, names = _named("ways", ink, x=x)
    bars = base.mark_bar(size=16, yOffset=6, color=MAIN, cornerRadius=2).encode(x2="high:Q")
    ticks = base.mark_tick(thickness=3, height=16, yOffset=6, color="white").encode(
        x=_same(x, "mid")
    )
    labels = _label(base, ink, _same(x, "high"))
    rules = goal("claim", OTHER, x=_same(x, "at"))
    return _stack([rules, bars, ticks, *legible(ink, names, labels)])


def limits(sides: dict[str, list[chips.Limit]], ink: str = PAPER_INK) -> Figure:
    """Draw the time that each part of two GPUs needs for a token, a bar for each GPU."""
    rows = [
        {
            "part": limit.name,
            "gpu": gpu,
            "name": f"{limit.name}: {gpu}",
            "microseconds": limit.microseconds,
            "label": f"{limit.microseconds:.0f} µs"
            + (", sets the pace" if limit is chips.binding(found) else ""),
        }
        for found_at in range(len(chips.PARTS))
        for gpu, found in sides.items()
        for limit in [found[found_at]]
    ]
    words = "; ".join(f"{row['name']} {row['label']}" for row in rows)
    return Figure(
        "How long each part of the chip needs for one token of training (µs, at full speed)",
        _limits(tuple(sides), ink),
        f"Bars in microseconds. {words}.",
        {"limits": rows},
    )


@drawn_once
def _limits(gpus: tuple[str, ...], ink: str) -> alt.LayerChart:
    x = alt.X("microseconds:Q", axis=None, scale=with_room(1.6))
    base, names = _named("limits", ink, x=x)
    bars = base.mark_bar(size=14, yOffset=6, cornerRadiusEnd=2)
    bars = bars.encode(color=keyed(alt.Color, "gpu:N", looks(gpus, (MAIN, OTHER))))
    return _stack([bars, names, _label(base, ink, x)])


def poster(ink: str = PAPER_INK) -> Figure:
    """Draw the published parts and what they leave out on one sheet."""
    figures = [parts(story.published_parts(), ink), left_out(story.beside(), ink)]
    chart = stacked(figures, 700, "x", "color", "shape")
    return sheet(
        "What DeepSeek-V3's published cost pays for, and what it leaves out", figures, chart
    )
