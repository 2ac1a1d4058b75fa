"""Charts of the page on money: parts, squares to scale, assumptions, other models, limits."""

from __future__ import annotations

from typing import Any

import altair as alt

from ...cost import Range, TrainingCost
from ...numbers import dollars
from ...pictures.figure import Figure, Rows, draw, drawn_once, spoken
from ...pictures.marks import (
    end_labels,
    keyed,
    looks,
    sheet,
    stacked,
    with_room,
)
from ...pictures.palette import BLUE, GREY, MAUVE, PAPER_INK, VERMILION
from . import chips, sizes, story
from . import claim as money_claim
from .sizes import Square

MAIN, OTHER = BLUE, VERMILION
KINDS = {sizes.RUN: BLUE, sizes.TRIALS: VERMILION, sizes.SERVERS: GREY, sizes.GUESS: MAUVE}
SIDE = 360  # pixels of a picture of squares
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
        axis=alt.Axis(title=None, values=values, labelExpr=MONEY, grid=False),
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


def squares(found: list[Square], whole: bool = True, ink: str = PAPER_INK) -> Figure:
    """Draw sums of money as squares to scale.

    Parameters
    ----------
    found
        The smallest first.
    whole
        Whether the largest fills the picture; otherwise the second, and larger ones are not drawn.
    """
    shown = found if whole else found[:2]
    rows: Rows = [
        {"name": one.label, "side": one.side, "corner": 0.0, "kind": one.key}
        for one in reversed(shown)
    ]
    table = "squares" if whole else "closer"
    return Figure(
        f"{dollars(shown[0].dollars)} in {dollars(shown[-1].dollars)}, to scale",
        _squares(table, shown[-1].side, ink),
        f"Squares whose areas are the dollars. {sizes.told(shown)}.",
        {table: rows},
    )


@drawn_once
def _squares(table: str, side: float, ink: str) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, side], nice=False)
    x, y = alt.X("side:Q", axis=None, scale=scale), alt.Y("side:Q", axis=None, scale=scale)
    base = draw(table).encode(
        x=x, y=y, x2=alt.X2("corner:Q"), y2=alt.Y2("corner:Q"),
        color=keyed(alt.Color, "kind:N", KINDS),
    )  # fmt: skip
    areas = base.mark_rect(opacity=0.25, strokeWidth=2)
    edges = base.mark_rect(filled=False, strokeWidth=2, opacity=1)
    names = draw(table).mark_text(
        align="left", baseline="top", dx=SIDE + 10, dy=2, fontSize=12.5, color=ink
    )
    names = names.encode(x=alt.value(0), y=y, text="name:N")
    return alt.LayerChart(layer=[areas, edges, names]).properties(height=SIDE, width=SIDE)


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
            "middle": middle,
            "label": f"{dollars(swing.low)} to {dollars(swing.high)}",
        }
        for swing in found
    ]
    return Figure(
        "One assumption at a time: how far the rent moves",
        _swings(ink),
        f"Bars from low to high around {dollars(middle)}, the strongest first. {spoken(rows)}.",
        {"swings": rows},
    )


@drawn_once
def _swings(ink: str) -> alt.LayerChart:
    x = alt.X("low:Q", axis=None, scale=with_room(1.5))
    base, names = _named("swings", ink, x=x)
    bars = base.mark_bar(size=16, yOffset=6, color=MAIN, cornerRadius=2).encode(x2="high:Q")
    labels = _label(base, ink, _same(x, "high"))
    # A mark on each bar, since a line through all of them would cross the words.
    middles = base.mark_tick(thickness=2, height=24, yOffset=6, color=ink)
    return _stack([bars, middles.encode(x=_same(x, "middle")), names, labels])


def estimate(cost: TrainingCost, rent: Range, ends: Range, ink: str = PAPER_INK) -> Figure:
    """Draw a range of rent beside the rent of the published hours, if there are any.

    Parameters
    ----------
    cost, rent
        The assumptions, and the rent that they give.
    ends
        The least and the most that the axis has room for.
    """
    published = cost.config.gpu_hours * cost.dollars_per_hour.mid if cost.published_hours else None
    label = f"published hours: {dollars(published, 3)}" if published else ""
    rows: Rows = [
        {
            "low": rent.low, "mid": rent.mid, "high": rent.high, "published": published,
            "label": label,
        }
    ]  # fmt: skip
    return Figure(
        "What it would cost",
        _estimate(ends.low, ends.high, ink),
        f"A bar of rent on an axis of powers of ten, with a tick at the middle: "
        f"{story.from_to(rent)}, {dollars(rent.mid)} in the middle. {label}",
        {"estimate": rows},
    )


@drawn_once
def _estimate(lowest: float, highest: float, ink: str) -> alt.LayerChart:
    x = _log_money(lowest, highest, [10.0**power for power in range(4, 12)])
    base, y = draw("estimate"), alt.value(36)
    bars = base.mark_bar(size=24, color=MAIN, cornerRadius=2).encode(x=x, x2="high:Q", y=y)
    ticks = base.mark_tick(thickness=3, height=24, color="white").encode(x=_same(x, "mid"), y=y)
    known = base.transform_filter("datum.published != null").encode(x=_same(x, "published"))
    points = known.mark_point(
        shape="diamond", size=170, filled=True, opacity=1, color=OTHER, stroke="white",
        strokeWidth=1,
    ).encode(y=y)  # fmt: skip
    labels = known.mark_text(fontSize=12.5, color=ink).encode(y=alt.value(10), text="label:N")
    return alt.LayerChart(layer=[bars, ticks, points, labels]).properties(height=92)


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
            "name": f"{way.name} ({way.how}): {story.from_to(way.dollars)}",
            "claim_low": claim.low,
            "claim_high": claim.high,
            "low": way.dollars.low,
            "mid": way.dollars.mid,
            "high": way.dollars.high,
        }
        for way in found
    ]
    return Figure(
        f"Which ways of counting reach {story.from_to(claim)} (the pale band)?",
        _ways(ink),
        f"Bars of rent, with a tick at the middle. {'; '.join(str(row['name']) for row in rows)}.",
        {"ways": rows},
    )


@drawn_once
def _ways(ink: str) -> alt.LayerChart:
    x = alt.X("low:Q", axis=None, scale=with_room(1.05))
    base, names = _named("ways", ink, x=x)
    bars = base.mark_bar(size=16, yOffset=6, color=MAIN, cornerRadius=2).encode(x2="high:Q")
    ticks = base.mark_tick(thickness=3, height=16, yOffset=6, color="white").encode(
        x=_same(x, "mid")
    )
    bands = base.mark_bar(size=26, yOffset=6, color=OTHER, opacity=0.3, aria=False).encode(
        x=_same(x, "claim_low"), x2="claim_high:Q"
    )
    return _stack([bands, bars, ticks, names])


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
    """Draw the published figure and what it leaves out as squares on one sheet, at two scales."""
    found = sizes.squares()
    figures = [squares(found, False, ink), squares(found, True, ink)]
    return sheet(
        "DeepSeek-V3's published cost, and what it leaves out: areas are dollars",
        figures,
        stacked(figures, SIDE, "x", "y", "color"),
    )
