"""Marks, axes and keys that several charts share, and sheets of several figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import altair as alt

from .figure import Chart, Drawing, Figure, draw
from .palette import CROWDED, DASHES, FAIR, GOAL, IDLE, PAPER, TWICE

LOADS = alt.Scale(domain=[0, 1, 2, 4], range=[IDLE, FAIR, TWICE, CROWDED], clamp=True)
RATIO_TIP = alt.Tooltip("ratio:Q", format=".2f", title="fair shares")
HALO = 4  # pixels around letters that hide a line below them
Channel = TypeVar("Channel")


# Channels ----------------------------------------------------------------------------------------


def by_load(field: str = "ratio:Q") -> alt.Color:
    """Return the colour by load in fair shares; it has no key, as height or words say the same."""
    return alt.Color(field, scale=LOADS, legend=None)


def keyed(
    channel: Callable[..., Channel],
    field: str,
    by_value: Mapping[Any, Any],
    legend: alt.Legend | None = None,
) -> Channel:
    """Give each value of a field its look.

    Parameters
    ----------
    channel
        Such as `alt.Color`.
    by_value
        Looks, in the order of the key.
    legend
        None where words stand beside the marks.
    """
    scale = alt.Scale(domain=list(by_value), range=list(by_value.values()))
    return channel(field, scale=scale, legend=legend)


def looks(values: Iterable[Any], ordered: Sequence[Any]) -> dict[Any, Any]:
    """Return the first looks of an ordered list, by the values that get them."""
    return dict(zip(values, ordered, strict=False))


# Axes and keys -----------------------------------------------------------------------------------


def key(**more: Any) -> alt.Legend:
    """Return a key above the chart, where it takes no width from a phone."""
    return alt.Legend(**{"title": None, "orient": "top"} | more)


def line_key(**more: Any) -> alt.Legend:
    """Return a key of lines, long enough that their dashes are seen."""
    return key(**{"symbolType": "stroke", "symbolSize": 350} | more)


def percent_axis() -> alt.Axis:
    """Return an axis in whole percent with few ticks."""
    return alt.Axis(format="%", tickCount=4, title=None)


def name_axis(**more: Any) -> alt.Axis:
    """Return an axis of names, which need neither ticks nor a line."""
    return alt.Axis(**{"title": None, "ticks": False, "domain": False} | more)


def band_axis(names: Sequence[Any], every: int = 1, **more: Any) -> alt.Axis:
    """Return an axis of numbers on which a name stands in the middle of each band of height 1.

    Unlike an axis of names, it has room for marks of any height within a band.
    """
    values = [at + 0.5 for at in range(0, len(names), every)]
    labels = f"[{','.join(map(repr, names))}][floor(datum.value)]"
    return name_axis(**{"values": values, "labelExpr": labels, "grid": False} | more)


def expert_x(**more: Any) -> alt.X:
    """Return the channel of experts from left to right, in the data's order, upright."""
    return alt.X("expert:O", sort=None, axis=alt.Axis(title="expert", labelAngle=0, **more))


def with_room(times: float) -> alt.Scale:
    """Return a scale of bars that leaves room for labels beside them, whatever they show."""
    return alt.Scale(range=[0, alt.expr(f"width / {times}")], zero=True, nice=False)


# Marks -------------------------------------------------------------------------------------------


def goal(data: str, color: str, **channels: Any) -> alt.Chart:
    """Draw a dashed rule at what the marks are compared with, most often the fair share."""
    return draw(data).mark_rule(strokeDash=GOAL, strokeWidth=1.5, color=color).encode(**channels)


def end_labels(base: alt.Chart, ink: str, **mark: Any) -> alt.Chart:
    """Write the field 'label' right of the end of each mark."""
    look: dict[str, Any] = {"align": "left", "dx": 5, "fontSize": 12, "color": ink}
    return base.mark_text(**look | mark).encode(text="label:N")


def labelled_bars(base: alt.Chart, ink: str, step: int, color: str | alt.Color) -> alt.LayerChart:
    """Draw horizontal bars with their labels, `step` pixels to a row."""
    if isinstance(color, str):
        bars = base.mark_bar(cornerRadiusEnd=2, color=color)
    else:
        bars = base.mark_bar(cornerRadiusEnd=2).encode(color=color)
    return (bars + end_labels(base, ink)).properties(height=alt.Step(step))


def run_lines(
    data: str,
    y: alt.Y,
    title: str,
    colours: Mapping[str, str],
    dashes: Sequence[list[int]] = DASHES,
    **mark: Any,
) -> alt.Chart:
    """Draw a line for each run over its steps, from rows of 'run', 'step' and 'value'."""
    lines = draw(data).mark_line(strokeWidth=2, **mark)
    return lines.encode(
        x=alt.X("step:Q", axis=alt.Axis(title="step", grid=False, tickCount=4)),
        y=y,
        color=keyed(alt.Color, "run:N", colours, line_key()),
        strokeDash=keyed(alt.StrokeDash, "run:N", looks(colours, dashes), line_key()),
        tooltip=[
            "run:N",
            alt.Tooltip("step:Q", format=".0f"),
            alt.Tooltip("value:Q", format=".3f", title=title),
        ],
    ).properties(height=190)


def legible(ink: str, *texts: alt.Chart) -> list[alt.Chart]:
    """Return letters in front of rims of the paper's colour, so that no line runs through them."""
    rims = []
    for text in texts:
        rim = text.copy(deep=True)
        rim.mark.color = rim.mark.stroke = PAPER[ink]
        rim.mark.strokeWidth, rim.mark.strokeJoin, rim.mark.aria = HALO, "round", False
        rims.append(rim)
    return [*rims, *texts]


# Sheets ------------------------------------------------------------------------------------------


def titled(figures: Sequence[Figure], width: int) -> list[Any]:
    """Return the charts of figures for a sheet, each below its title."""
    return [figure.chart.properties(title=figure.title, width=width) for figure in figures]


def stacked(figures: Sequence[Figure], width: int, *apart: str) -> alt.VConcatChart:
    """Return figures one below another; the channels in `apart` have a scale in each."""
    scales: dict[str, Any] = dict.fromkeys(apart, "independent")
    return alt.vconcat(*titled(figures, width)).resolve_scale(**scales)


def sheet(title: str, figures: Sequence[Figure], chart: Chart) -> Figure:
    """Return a figure of a chart that holds all of these figures, with their data and words."""
    data = {name: rows for figure in figures for name, rows in figure.data.items()}
    return Figure(title, Drawing(chart), " ".join(figure.alt for figure in figures), data)
