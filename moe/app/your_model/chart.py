"""Charts of the page on your own model: loads, layers, pairs of experts, domains and devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt

from ...pictures.figure import Chart, Drawing, Figure, draw, drawn_once
from ...pictures.load_map import load_marks, load_rows
from ...pictures.marks import (
    RATIO_TIP,
    by_load,
    end_labels,
    goal,
    key,
    keyed,
    legible,
    looks,
    name_axis,
    percent_axis,
    sheet,
    stacked,
)
from ...pictures.palette import CROWDED, GOAL, IDLE, PAPER_INK, SHAPES
from .story import Drawn, Line

LINE_COLOURS = (IDLE, CROWDED)
SEQUENCE: Final = "cividis"  # its lightness alone says how much
LEGEND = 110  # pixels that legend and axis take of a picture's height


def _experts(experts: Sequence[int | str], title: str = "expert") -> alt.X:
    axis = alt.Axis(title=title, labelAngle=0, labelOverlap=True, ticks=False)
    return alt.X("expert:O", sort=None, axis=axis, scale=alt.Scale(domain=list(experts)))


def load_bars(layer: str, drawn: Drawn, ink: str = PAPER_INK) -> Figure:
    """Draw the load of every expert of one layer in fair shares, against the fair share.

    Parameters
    ----------
    layer
        The layer in words.
    drawn
        One row: the ratio of each expert.
    """
    ratio_E = drawn.value_RE[0].tolist()
    rows = [{"expert": e, "ratio": ratio} for e, ratio in zip(drawn.experts, ratio_E, strict=True)]
    return Figure(
        f"How busy each expert of {layer} is",
        _load_bars(drawn.experts, ink),
        f"Bars of {len(rows)} experts against a dashed line at the fair share. {drawn.words}",
        {"load": rows, "fair": [{"fair": 1.0}]},
    )


@drawn_once
def _load_bars(experts: tuple[int | str, ...], ink: str) -> Chart:
    bars = draw("load").mark_bar(cornerRadiusEnd=2)
    bars = bars.encode(
        x=_experts(experts),
        y=alt.Y("ratio:Q", axis=alt.Axis(title="fair shares", tickCount=4)),
        color=by_load(),
        tooltip=["expert:O", RATIO_TIP],
    )
    rule = goal("fair", ink, y="fair:Q")
    return alt.LayerChart(layer=[bars, rule]).properties(height=220)


def cells(name: str, title: str, drawn: Drawn, of: str) -> Figure:
    """Draw rows by experts: taller and warmer marks are more than the fair share.

    Parameters
    ----------
    name
        The name of the data, unique on the page.
    of
        Title of the axis: what the columns are.
    """
    height = LEGEND + max(60, min(26, 640 // len(drawn.rows)) * len(drawn.rows))
    marks = load_marks(name, drawn.rows, len(drawn.experts), of)
    return Figure(
        title,
        Drawing(marks.properties(height=height)),
        f"{len(drawn.rows)} rows of {len(drawn.experts)} marks, taller and warmer where the load "
        f"is above the fair share. {drawn.words}",
        {name: load_rows(drawn.rows, drawn.experts, drawn.value_RE)},
    )


def over_layers(
    name: str, title: str, lines: Sequence[Line], percent: bool = True, ink: str = PAPER_INK
) -> Figure:
    """Draw one or two measures over the layers, each with its chance level dashed.

    Parameters
    ----------
    name
        The name of the data, unique on the page.
    """
    if len(lines[0].layers) == 1:
        return _one_layer(name, title, lines, percent, ink)
    rows, chance, spoken = [], [], []
    for line in lines:
        rows += [
            {"line": line.title, "layer": layer, "value": value}
            for layer, value in zip(line.layers, line.value_L, strict=True)
        ]
        chance += [
            {"line": line.title, "layer": layer, "value": value}
            for layer, value in zip(line.layers, line.chance_L, strict=False)  # or none at all
        ]
        spoken.append(line.words(percent))
    titles = tuple(line.title for line in lines)
    return Figure(
        title,
        _over_layers(name, titles, tuple(lines[0].layers), percent, bool(chance)),
        f"Over {len(lines[0].layers)} layers. {' '.join(spoken)}",
        {name: rows, f"{name}_chance": chance},
    )


@drawn_once
def _over_layers(
    name: str, names: tuple[str, ...], layers: tuple[int, ...], percent: bool, chance: bool
) -> Chart:
    legend = key(labelLimit=320) if len(names) > 1 else None
    axis = percent_axis() if percent else alt.Axis(title=None, tickCount=4)
    x = alt.X(
        "layer:O",
        scale=alt.Scale(domain=list(layers)),
        axis=alt.Axis(title="layer", labelAngle=0, labelOverlap=True),
    )
    y = alt.Y("value:Q", axis=axis, scale=alt.Scale(zero=True))
    colour = keyed(alt.Color, "line:N", looks(names, LINE_COLOURS), legend)
    shape = keyed(alt.Shape, "line:N", looks(names, SHAPES), legend)
    tooltip = [
        alt.Tooltip("line:N", title=" "),
        "layer:O",
        alt.Tooltip("value:Q", format=".1%" if percent else ".3f"),
    ]
    base = draw(name).encode(x=x, y=y, color=colour)
    drawn = [
        base.mark_line(strokeWidth=2),
        base.mark_point(size=60, filled=True, opacity=1).encode(shape=shape, tooltip=tooltip),
    ]
    if chance:
        dashed = draw(f"{name}_chance").encode(x=x, y=y, color=colour)
        drawn.append(dashed.mark_line(strokeDash=GOAL, strokeWidth=1.5))
        drawn.append(dashed.mark_tick(thickness=2, width=14))
    return alt.LayerChart(layer=drawn).properties(height=210 if legend is None else 250)


def _one_layer(name: str, title: str, lines: Sequence[Line], percent: bool, ink: str) -> Figure:
    """Draw the measures of a single layer: a bar for each, and a line where chance would be."""
    rows = [
        {
            "line": line.title,
            "value": line.value_L[0],
            "chance": line.chance_L[0] if line.chance_L else None,
            "label": f"{line.value_L[0]:.1%}" if percent else f"{line.value_L[0]:.2f}",
        }
        for line in lines
    ]
    top = max(max(line.value_L + line.chance_L) for line in lines) or 1.0
    titles = tuple(line.title for line in lines)
    by_chance = " (line: by chance)" if lines[0].chance_L else ""
    return Figure(
        f"{title}{by_chance}",
        _bars_of_one_layer(name, titles, top, bool(lines[0].chance_L), ink),
        f"{len(lines)} bars of one layer. {' '.join(line.words(percent) for line in lines)}",
        {name: rows},
    )


@drawn_once
def _bars_of_one_layer(
    name: str, titles: tuple[str, ...], top: float, chance: bool, ink: str
) -> Chart:
    scale = alt.Scale(domain=[0, 1.2 * top], nice=False)
    axis = name_axis(labelLimit=240)
    names = alt.Scale(domain=list(titles))
    base = draw(name).encode(y=alt.Y("line:N", scale=names, axis=axis))
    value = base.encode(x=alt.X("value:Q", scale=scale, axis=None))
    layers = [
        value.mark_bar(color=LINE_COLOURS[0], cornerRadiusEnd=2),
        end_labels(value, ink, dx=7),
    ]
    if chance:
        tick = base.mark_tick(color=LINE_COLOURS[1], thickness=3, height=24)
        layers.append(tick.encode(x=alt.X("chance:Q", scale=scale, axis=None)))
    return alt.LayerChart(layer=layers).properties(height=alt.Step(30))


def pairs(title: str, drawn: Drawn) -> Figure:
    """Draw experts by experts: how often both work on the same token; lighter is more."""
    names = list(drawn.experts)
    top = max(float(drawn.value_RE.max(initial=0.0)), 1e-9)
    rows = [
        {"first": drawn.rows[r], "expert": names[c], "share": drawn.value_RE[r, c].item()}
        for r in range(len(drawn.rows))
        for c in range(len(names))
        if drawn.rows[r] != str(names[c])
    ]
    axis = name_axis(title="tokens of expert", labelOverlap=True)
    lightness = alt.Scale(scheme=SEQUENCE, domain=[0, top])
    chart = draw("pairs").mark_rect()
    chart = chart.encode(
        x=_experts(names, "also go to expert"),
        y=alt.Y("first:O", sort=None, axis=axis, scale=alt.Scale(domain=list(drawn.rows))),
        color=alt.Color("share:Q", scale=lightness, legend=key(format=".0%", gradientLength=160)),
        tooltip=[
            alt.Tooltip("first:O", title="tokens of expert"),
            alt.Tooltip("expert:O", title="also go to"),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    ).properties(height=LEGEND + max(80, min(24, 560 // len(names)) * len(names)))
    return Figure(
        title,
        Drawing(chart),
        f"{len(names)} by {len(names)} experts, lighter where a larger share of the row's tokens "
        f"also goes to the column's expert. {drawn.words}",
        {"pairs": rows},
    )


def devices(drawn: Drawn, ink: str = PAPER_INK) -> Figure:
    """Draw the load of each device in fair shares; the whole batch waits for the longest bar."""
    rows = [
        {"device": f"device {d}", "ratio": ratio, "label": f"{ratio:.2f}"}
        for d, ratio in zip(drawn.experts, drawn.value_RE[0].tolist(), strict=True)
    ]
    top = max(row["ratio"] for row in rows)
    return Figure(
        "The load of each device",
        _devices(max(top, 1.0), ink),
        f"Bars of {len(rows)} devices against a dashed line at the fair share. {drawn.words}",
        {"devices": rows, "fair": [{"fair": 1.0}]},
    )


@drawn_once
def _devices(top: float, ink: str) -> Chart:
    scale = alt.Scale(domain=[0, 1.2 * top], nice=False)
    base = draw("devices").encode(
        y=alt.Y("device:N", sort=None, axis=name_axis()),
        x=alt.X("ratio:Q", scale=scale, axis=alt.Axis(title="fair shares", tickCount=4)),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=by_load())
    layers = [bars, goal("fair", ink, x="fair:Q"), *legible(ink, end_labels(base, ink))]
    return alt.LayerChart(layer=layers).properties(height=alt.Step(24))


def poster(layer: str, drawn: Sequence[Drawn]) -> Figure:
    """Draw the loads of a layer and of all layers on one sheet."""
    figures = [
        load_bars(layer, drawn[0]),
        cells("layers", "All layers, busiest experts first", drawn[1], "experts, busiest first"),
    ]
    return sheet(f"Routing of {layer}", figures, stacked(figures, 760, "x", "color"))
