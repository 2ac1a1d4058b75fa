"""The chart of a sweep: each group's mean with its spread, or a curve over what is a number."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from ..pictures.figure import Chart, Drawing, Figure, Rows, draw
from ..pictures.marks import keyed, line_key, looks, name_axis
from ..pictures.palette import CHOSEN, DASHES, OTHER, PAPER_INK, SERIES
from .report import Group, SweepReport

NAME = "sweep"
MOST_CURVES = len(SERIES)  # one more would look like another
ENDINGS = ("png", "svg", "html")


def sweep_figure(report: SweepReport) -> Figure:
    """Draw the report's first figure.

    Curves if a number takes three values or more and no more than six curves come of it; else a
    row for each group, the best one marked.

    Raises
    ------
    ValueError
        If no group has the figure.
    """
    name = next(iter(report.groups[0].figures), "") if report.groups else ""
    shown = [group for group in report.groups if math.isfinite(group.figures[name].mean)]
    if not shown:
        raise ValueError(f"chart: got no finished run with {name or 'figures'}, allowed is one")
    axis = _axis(shown)
    better = f" ({report.better} is better)" if report.better else ""
    chart, rows = _curves(shown, name, axis) if axis else _rows(shown, name)
    title = f"{name}{better} over {axis}" if axis else f"{name}{better}"
    spoken = "; ".join(f"{group.label()}: {group.figures[name].words()}" for group in shown[:40])
    more = "" if len(shown) <= 40 else f"; and {len(shown) - 40} more"
    return Figure(
        f"Sweep of {report.experiment}: {title}", Drawing(chart), f"{spoken}{more}.", {NAME: rows}
    )


def _axis(groups: list[Group]) -> str | None:
    """Varied number that makes the longest curves; None if there is none worth it."""
    lengths: dict[str, int] = {}
    for name in groups[0].varied:
        values = {group.varied[name] for group in groups}
        others = {_rest(group, name) for group in groups}
        numbers = all(type(value) in (int, float) for value in values)
        if numbers and len(values) >= 3 and len(others) <= MOST_CURVES:
            lengths[name] = len(values)
    return max(lengths, key=lambda name: lengths[name], default=None)


def _rest(group: Group, axis: str) -> str:
    rest = {name: value for name, value in group.varied.items() if name != axis}
    return Group(rest, 0, {}).label()


def _row(group: Group, name: str) -> dict[str, Any]:
    spread = group.figures[name]
    reach = 0.0 if math.isnan(spread.deviation) else spread.deviation
    return {
        "mean": spread.mean,
        "low": spread.mean - reach,
        "high": spread.mean + reach,
        "best": group.best,
    }


def _curves(groups: list[Group], name: str, axis: str) -> tuple[Chart, Rows]:
    rows = [
        {**_row(group, name), "at": group.varied[axis], "group": _rest(group, axis)}
        for group in groups
    ]
    values = sorted({row["at"] for row in rows})
    # Settings tried at 0.001, 0.01, 0.1 stand evenly on a logarithmic axis.
    wide = values[0] > 0 and values[-1] / values[0] >= 8
    scale = alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False, nice=False)
    x = alt.X(
        "at:Q", title=axis, scale=scale, axis=alt.Axis(values=values, format="~g", grid=False)
    )
    names = list(dict.fromkeys(row["group"] for row in rows))
    legend = line_key(labelLimit=320) if len(names) > 1 else None
    colour = keyed(alt.Color, "group:N", looks(names, SERIES), legend)
    dash = keyed(alt.StrokeDash, "group:N", looks(names, DASHES), legend)
    y, low = (alt.Y(at, title=name, scale=alt.Scale(zero=False)) for at in ("mean:Q", "low:Q"))
    tips = ["group:N", alt.Tooltip("at:Q", title=axis), "mean:Q"]
    base = draw(NAME).encode(x=x, color=colour)
    chart = alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(y=low, y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(filled=True, opacity=1, size=60).encode(y=y, tooltip=tips),
    )
    return chart.properties(height=280), rows


def _rows(groups: list[Group], name: str) -> tuple[Chart, Rows]:
    rows = [{**_row(group, name), "group": group.label()} for group in groups]
    y = alt.Y(
        "group:N",
        sort=[row["group"] for row in rows],
        axis=name_axis(grid=True, labelLimit=360),
    )
    x, low = (alt.X(at, title=name, scale=alt.Scale(zero=False)) for at in ("mean:Q", "low:Q"))
    colour = alt.condition("datum.best", alt.value(CHOSEN), alt.value(OTHER))
    tips = ["group:N", alt.Tooltip("mean:Q", format=".5g")]
    base = draw(NAME).encode(y=y)
    best = base.transform_filter("datum.best").mark_text(dy=-11, fontWeight="bold", color=PAPER_INK)
    chart = alt.layer(
        base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q", color=colour),
        base.mark_point(filled=True, opacity=1, size=90).encode(x=x, color=colour, tooltip=tips),
        best.encode(x=x, text=alt.value("best")),
    )
    return chart.properties(height=alt.Step(28)), rows


def write_figure(figure: Figure, path: str) -> None:
    """Write a figure as .png, .svg, or .html that loads nothing from elsewhere.

    Raises
    ------
    ValueError
        If the path ends otherwise, or cannot be written.
    """
    ending = path.rpartition(".")[2].lower()
    if ending not in ENDINGS:
        raise ValueError(f"chart: got {path!r}, allowed is a path ending in {', '.join(ENDINGS)}")
    content = figure.page() if ending == "html" else figure.image(ending)
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise ValueError(
            f"chart: got {path!r}, allowed is a path that can be written ({error.strerror})"
        ) from error
