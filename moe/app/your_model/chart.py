"""Charts of the page on your own model: loads, layers, pairs of experts, domains and devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt
import numpy as np

from ...pictures.figure import BUSY, PAPER_INK, Drawing, Figure, draw, legible, percent_axis
from .story import Drawn, Line

LINE_COLOURS, LINE_SHAPES = ["#1F7DC3", "#DE6210"], ["circle", "square"]  # either is enough
SEQUENCE: Final = "cividis"  # its lightness alone says how much
LEGEND = 110  # pixels that legend and axis take of a picture's height


def _experts(experts: Sequence[int | str], title: str = "expert") -> alt.X:
    axis = alt.Axis(title=title, labelAngle=0, labelOverlap=True, ticks=False)
    return alt.X("expert:O", sort=None, axis=axis, scale=alt.Scale(domain=list(experts)))


def load_bars(layer: str, drawn: Drawn, ink: str = PAPER_INK) -> Figure:
    """Load of every expert of one layer in fair shares, against the fair share.

    Parameters
    ----------
    layer
        The layer in words.
    drawn
        One row: the ratio of each expert.
    """
    ratio_E = drawn.value_RE[0].tolist()
    rows = [{"expert": e, "ratio": ratio} for e, ratio in zip(drawn.experts, ratio_E, strict=True)]
    bars = (
        draw("load")
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=_experts(drawn.experts),
            y=alt.Y("ratio:Q", axis=alt.Axis(title="fair shares", tickCount=4)),
            color=alt.Color("ratio:Q", scale=BUSY, legend=None),
            tooltip=[
                alt.Tooltip("expert:O"),
                alt.Tooltip("ratio:Q", format=".2f", title="fair shares"),
            ],
        )
    )
    rule = draw("fair").mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color=ink).encode(y="fair:Q")
    return Figure(
        f"How busy each expert of {layer} is",
        Drawing(alt.LayerChart(layer=[bars, rule]).properties(height=220)),
        f"Bars of {len(rows)} experts against a dashed line at the fair share. {drawn.words}",
        {"load": rows, "fair": [{"fair": 1.0}]},
    )


def cells(name: str, title: str, drawn: Drawn, of: str, ink: str = PAPER_INK) -> Figure:
    """Rows by experts: taller and warmer marks are more than the fair share.

    Parameters
    ----------
    name
        Of the data, unique on the page.
    of
        What the columns are.
    """
    columns = list(range(len(drawn.experts)))
    height_RE = 0.06 + 0.40 * np.clip(drawn.value_RE / 4, 0, 1)
    rows = [
        {
            "row": drawn.rows[r],
            "column": c,
            "expert": drawn.experts[c],
            "ratio": drawn.value_RE[r, c].item(),
            "low": r + 0.5 - height_RE[r, c].item(),
            "high": r + 0.5 + height_RE[r, c].item(),
        }
        for r in range(len(drawn.rows))
        for c in columns
    ]
    names = "[" + ",".join(repr(row) for row in drawn.rows) + "]"
    every = -(-len(drawn.rows) // 24)
    axis = alt.Axis(
        title=None,
        values=[r + 0.5 for r in range(0, len(drawn.rows), every)],
        labelExpr=f"{names}[floor(datum.value)]",
        ticks=False,
        domain=False,
        grid=False,
    )
    scale = alt.Scale(domain=[0, len(drawn.rows)], reverse=True, nice=False)
    marks = (
        draw(name)
        .mark_rect()
        .encode(
            x=alt.X(
                "column:O",
                axis=alt.Axis(title=of, labels=False, ticks=False),
                scale=alt.Scale(domain=columns, paddingInner=0.12),
            ),
            y=alt.Y("low:Q", axis=axis, scale=scale),
            y2=alt.Y2("high:Q"),
            color=alt.Color(
                "ratio:Q",
                scale=BUSY,
                legend=alt.Legend(
                    title="fair shares", orient="top", values=[0, 1, 2, 4], gradientLength=160
                ),
            ),
            tooltip=[
                alt.Tooltip("row:N", title=" "),
                alt.Tooltip("expert:N"),
                alt.Tooltip("ratio:Q", format=".2f", title="fair shares"),
            ],
        )
    )
    pixels = LEGEND + max(60, min(26, 640 // len(drawn.rows)) * len(drawn.rows))
    return Figure(
        title,
        Drawing(marks.properties(height=pixels)),
        f"{len(drawn.rows)} rows of {len(drawn.experts)} marks, taller and warmer where the load "
        f"is above the fair share. {drawn.words}",
        {name: rows},
    )


def over_layers(
    name: str, title: str, lines: Sequence[Line], percent: bool = True, ink: str = PAPER_INK
) -> Figure:
    """One or two measures over the layers, each with its chance level dashed.

    Parameters
    ----------
    name
        Of the data, unique on the page.
    """
    if len(lines[0].layers) == 1:
        return _one_layer(name, title, lines, percent, ink)
    rows, chance, said = [], [], []
    for line in lines:
        rows += [
            {"line": line.title, "layer": layer, "value": value}
            for layer, value in zip(line.layers, line.value_L, strict=True)
        ]
        chance += [
            {"line": line.title, "layer": layer, "value": value}
            for layer, value in zip(line.layers, line.chance_L, strict=False)  # or none at all
        ]
        said.append(line.words(percent))
    names = [line.title for line in lines]
    scale = alt.Scale(domain=names, range=LINE_COLOURS[: len(names)])
    legend = alt.Legend(title=None, orient="top", labelLimit=320) if len(names) > 1 else None
    axis = percent_axis() if percent else alt.Axis(title=None, tickCount=4)
    x = alt.X(
        "layer:O",
        scale=alt.Scale(domain=list(lines[0].layers)),
        axis=alt.Axis(title="layer", labelAngle=0, labelOverlap=True),
    )
    y = alt.Y("value:Q", axis=axis, scale=alt.Scale(zero=True))
    colour = alt.Color("line:N", scale=scale, legend=legend)
    shape = alt.Shape(
        "line:N", scale=alt.Scale(domain=names, range=LINE_SHAPES[: len(names)]), legend=legend
    )
    tooltip = [
        alt.Tooltip("line:N", title=" "),
        alt.Tooltip("layer:O"),
        alt.Tooltip("value:Q", format=".1%" if percent else ".3f"),
    ]
    base = draw(name).encode(x=x, y=y, color=colour)
    layers = [
        base.mark_line(strokeWidth=2),
        base.mark_point(size=60, filled=True, opacity=1).encode(shape=shape, tooltip=tooltip),
    ]
    if chance:
        dashed = draw(f"{name}_chance").encode(x=x, y=y, color=colour)
        layers.append(dashed.mark_line(strokeDash=[5, 4], strokeWidth=1.5))
        layers.append(dashed.mark_tick(thickness=2, width=14))
    return Figure(
        title,
        Drawing(alt.LayerChart(layer=layers).properties(height=210 if legend is None else 250)),
        f"Over {len(lines[0].layers)} layers. {' '.join(said)}",
        {name: rows, f"{name}_chance": chance},
    )


def _one_layer(name: str, title: str, lines: Sequence[Line], percent: bool, ink: str) -> Figure:
    """The same of a single layer: a bar for each measure, and a line where chance would be."""
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
    scale = alt.Scale(domain=[0, 1.2 * top], nice=False)
    axis = alt.Axis(title=None, ticks=False, domain=False, labelLimit=240)
    names = alt.Scale(domain=[line.title for line in lines])
    base = draw(name).encode(y=alt.Y("line:N", scale=names, axis=axis))
    value = base.encode(x=alt.X("value:Q", scale=scale, axis=None))
    layers = [
        value.mark_bar(color=LINE_COLOURS[0], cornerRadiusEnd=2),
        value.mark_text(align="left", dx=7, fontSize=12, color=ink).encode(text="label:N"),
    ]
    if lines[0].chance_L:
        tick = base.mark_tick(color=LINE_COLOURS[1], thickness=3, height=24)
        layers.append(tick.encode(x=alt.X("chance:Q", scale=scale, axis=None)))
    by_chance = " (line: by chance)" if lines[0].chance_L else ""
    return Figure(
        f"{title}{by_chance}",
        Drawing(alt.LayerChart(layer=layers).properties(height=alt.Step(30))),
        f"{len(lines)} bars of one layer. {' '.join(line.words(percent) for line in lines)}",
        {name: rows},
    )


def pairs(title: str, drawn: Drawn) -> Figure:
    """Experts by experts: how often both work on the same token; lighter is more."""
    names = list(drawn.experts)
    top = max(float(drawn.value_RE.max(initial=0.0)), 1e-9)
    rows = [
        {"first": drawn.rows[r], "expert": names[c], "share": drawn.value_RE[r, c].item()}
        for r in range(len(drawn.rows))
        for c in range(len(names))
        if drawn.rows[r] != str(names[c])
    ]
    axis = alt.Axis(title="tokens of expert", labelOverlap=True, ticks=False, domain=False)
    chart = (
        draw("pairs")
        .mark_rect()
        .encode(
            x=_experts(names, "also go to expert"),
            y=alt.Y("first:O", sort=None, axis=axis, scale=alt.Scale(domain=list(drawn.rows))),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(scheme=SEQUENCE, domain=[0, top]),
                legend=alt.Legend(title=None, format=".0%", orient="top", gradientLength=160),
            ),
            tooltip=[
                alt.Tooltip("first:O", title="tokens of expert"),
                alt.Tooltip("expert:O", title="also go to"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
        .properties(height=LEGEND + max(80, min(24, 560 // len(names)) * len(names)))
    )
    return Figure(
        title,
        Drawing(chart),
        f"{len(names)} by {len(names)} experts, lighter where a larger share of the row's tokens "
        f"also goes to the column's expert. {drawn.words}",
        {"pairs": rows},
    )


def devices(drawn: Drawn, ink: str = PAPER_INK) -> Figure:
    """Load of each device in fair shares; the whole batch waits for the longest bar."""
    rows = [
        {"device": f"device {d}", "ratio": ratio, "label": f"{ratio:.2f}"}
        for d, ratio in zip(drawn.experts, drawn.value_RE[0].tolist(), strict=True)
    ]
    top = max(row["ratio"] for row in rows)
    scale = alt.Scale(domain=[0, 1.2 * max(top, 1.0)], nice=False)
    base = draw("devices").encode(
        y=alt.Y("device:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False)),
        x=alt.X("ratio:Q", scale=scale, axis=alt.Axis(title="fair shares", tickCount=4)),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color("ratio:Q", scale=BUSY, legend=None)
    )
    texts = base.mark_text(align="left", dx=5, fontSize=12, color=ink).encode(text="label:N")
    rule = draw("fair").mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color=ink).encode(x="fair:Q")
    return Figure(
        "The load of each device",
        Drawing(
            alt.LayerChart(layer=[bars, rule, *legible(ink, texts)]).properties(height=alt.Step(24))
        ),
        f"Bars of {len(rows)} devices against a dashed line at the fair share. {drawn.words}",
        {"devices": rows, "fair": [{"fair": 1.0}]},
    )


def poster(layer: str, drawn: Sequence[Drawn]) -> Figure:
    """Loads of a layer and of all layers on one sheet."""
    figures = [
        load_bars(layer, drawn[0]),
        cells("layers", "All layers, busiest experts first", drawn[1], "experts, busiest first"),
    ]
    sheet = alt.vconcat(
        *(figure.chart.properties(title=figure.title, width=760) for figure in figures)
    ).resolve_scale(x="independent", color="independent")
    return Figure(
        f"Routing of {layer}",
        Drawing(sheet),
        " ".join(figure.alt for figure in figures),
        {name: rows for figure in figures for name, rows in figure.data.items()},
    )
