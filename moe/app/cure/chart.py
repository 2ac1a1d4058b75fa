"""Charts of the page on cures: how controllers even out the load, on frozen scores and live."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from ...pictures.experts import expert_name
from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import by_load, goal, keyed, looks
from ...pictures.palette import BLUE, FAIR, PAPER_INK, PURPLE, TEAL, VERMILION
from ...studies.control import SETTLED, Method, Response
from ...training import TrainSettings
from ...training.runs import Run
from .story import NAMES, chance, reach

HEIGHT, PLOT = 360, 270  # pixels, with its axis and without
NAMES_WIDTH = 140  # pixels right of the lines
POINTS = 60  # of a line; a page sends three for each position of its slider
TOP = 4  # fair shares that bars reach at most; longer ones end there
FLOOR = 0.01  # a logarithmic axis has no zero: what is lower is drawn here
APART = 18  # pixels between the middles of two names
# Of each line, and of the level that they are compared with. Colour, dash and width say the same,
# so that each of them is enough.
GOAL = 4
COLOURS = (BLUE, TEAL, VERMILION, PURPLE, FAIR)
DASHES = ([7, 4], [1, 0], [1, 0], [2, 3], [6, 4])
WIDTHS = (2, 4, 2, 2, 1.5)
LINES = range(len(COLOURS))
TITLE = "How far the busiest expert is above its fair share"


def step_response(
    responses: Sequence[Response],
    names: Sequence[str] = NAMES,
    log: bool = False,
    top: float | None = None,
    ink: str = PAPER_INK,
) -> Figure:
    """Draw MaxVio over the steps, a line for each controller, in a band from least to largest.

    Parameters
    ----------
    names
        What stands at the end of each line.
    top
        MaxVio that the axis reaches; by default `reach` of these responses.
    """
    reached = reach(responses) if top is None else top
    rows: Rows = [
        {"line": line, "step": step, "mean": mean, "low": low, "high": high}
        for line, r in enumerate(responses)
        for step, mean, low, high in r.curve(log, POINTS)
    ]
    size = max(r.max_vio_S.size for r in responses)
    ends = [r.steady_error for r in responses]
    told = "; ".join(
        f"{name} ({r.method.title}) ends at {end:+.1%}"
        for name, r, end in zip(names, responses, ends, strict=True)
    )
    return Figure(
        TITLE,
        _response(size, log, ink),
        f"Lines of {len(responses)} controllers over {size - 1:,} steps, from "
        f"{responses[0].max_vio_S[0]:+.0%} at the start: {told}.",
        {
            "response": rows,
            "ends": _end_rows(
                {**dict(enumerate(zip(names, ends, strict=True))), GOAL: ("even below", SETTLED)},
                size,
                reached,
                log,
            ),
            "goal": [{"goal": SETTLED, "from": 1, "to": size}],
            "room": [{"room": reached}],
        },
    )


@drawn_once
def _response(size: int, log: bool, ink: str) -> Chart:
    x_scale = _x_scale([1, size], log)
    x = alt.X("step:Q", scale=x_scale, axis=_step_axis("steps"))
    y_scale = alt.Scale(
        type="log" if log else "linear", domainMin=FLOOR if log else 0, nice=False, clamp=True
    )
    axis = _percent_axis(log)
    bands = draw("response").mark_area(opacity=0.28)
    bands = bands.encode(
        x=x,
        y=alt.Y("low:Q", scale=y_scale, axis=axis),
        y2="high:Q",
        fill=keyed(alt.Fill, "line:O", looks(LINES, COLOURS)),
    )
    means = draw("response").mark_line()
    means = means.encode(
        x=x,
        y=alt.Y("mean:Q", scale=y_scale, axis=axis),
        **_styles(),
        tooltip=[
            alt.Tooltip("step:Q", format=",.0f"),
            alt.Tooltip("mean:Q", format="+.1%", title="busiest expert above fair share"),
        ],
    )
    even = _level("goal", x_scale, y_scale, axis)
    # Unseen, so that the axis reaches equally far wherever the slider is.
    room = draw("room").mark_point(opacity=0, aria=False)
    room = room.encode(y=alt.Y("room:Q", scale=y_scale, axis=axis))
    names = _names(alt.X("step:Q", scale=x_scale), y_scale, axis, ink)
    return alt.LayerChart(layer=[even, bands, means, room, *names]).properties(height=HEIGHT)


def end_loads(response: Response, name: str, ink: str = PAPER_INK) -> Figure:
    """Draw the loads of the last step (bars) and of the one before (ticks), in fair shares.

    Parameters
    ----------
    name
        Of the controller, which stays when its rate changes.
    """
    before_E, last_E = response.ratio_SE[-2].tolist(), response.ratio_SE[-1].tolist()
    rows = [
        {"expert": expert_name(e), "load": last, "before": before}
        for e, (before, last) in enumerate(zip(before_E, last_E, strict=True))
    ]
    return Figure(
        name[0].upper() + name[1:],
        _end_loads(ink),
        f"{response.method.title}: work of {len(rows)} experts in the last step, from "
        f"{min(last_E):.2f} to {max(last_E):.2f} fair shares; in the step before from "
        f"{min(before_E):.2f} to {max(before_E):.2f}.",
        {"loads": rows, "fair": [{"fair": 1}]},
        f"{name}: work in the end",
    )


@drawn_once
def _end_loads(ink: str) -> Chart:
    scale = alt.Scale(domain=[0, TOP], nice=False, clamp=True)
    axis = alt.Axis(title=None, tickCount=4, labelExpr="datum.label + '×'")
    base = draw("loads").encode(
        x=alt.X("expert:N", sort=None, axis=alt.Axis(title=None, labels=False, ticks=False))
    )
    bars = base.mark_bar().encode(
        y=alt.Y("load:Q", scale=scale, axis=axis),
        color=by_load("load:Q"),
        tooltip=[
            "expert:N",
            alt.Tooltip("load:Q", format=".2f", title="last step, fair shares"),
            alt.Tooltip("before:Q", format=".2f", title="step before"),
        ],
    )
    ticks = base.mark_tick(color=ink, thickness=1.5).encode(
        y=alt.Y("before:Q", scale=scale, axis=axis)
    )
    rule = goal("fair", ink, y=alt.Y("fair:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[bars, rule, ticks]).properties(height=150)


def live(
    runs: Mapping[Method, Run],
    settings: Mapping[Method, TrainSettings],
    names: Sequence[str],
    log: bool = False,
    ink: str = PAPER_INK,
) -> Figure:
    """Draw MaxVio over the steps of training, a line for each finished run.

    Parameters
    ----------
    settings
        Of all runs, so that a line keeps its look while others are still missing.
    names
        What stands at the end of each line, for all runs.
    """
    one = next(iter(settings.values()))
    level = chance(one)
    order = list(settings)
    lines = {order.index(method): run for method, run in runs.items()}
    rows: Rows = [
        {"line": line, "step": step, "value": value}
        for line, run in lines.items()
        for step, value in run.series("max_vio", points=50)
    ]
    top = max(row["value"] for row in rows)
    ends = {line: run.summary().max_vio for line, run in lines.items()}
    named = {line: (names[line], end) for line, end in ends.items()}
    told = "; ".join(f"{name} ends at {end:+.0%}" for name, end in named.values())
    return Figure(
        f"{TITLE}, while the model learns",
        _live(one.steps, log, ink),
        f"Lines of {len(runs)} runs over {one.steps} steps of training: {told}. Chance alone "
        f"would give {level:+.0%}.",
        {
            "live": rows,
            "ends": _end_rows({**named, GOAL: ("chance alone", level)}, one.steps, top, log),
            "chance": [{"chance": level, "from": 0, "to": one.steps}],
        },
        TITLE,
    )


@drawn_once
def _live(steps: int, log: bool, ink: str) -> Chart:
    x_scale = _x_scale([0, steps], False)
    y_scale = alt.Scale(
        type="log" if log else "linear", domainMin=FLOOR if log else 0, nice=False, clamp=True
    )
    axis = _percent_axis(log)
    means = draw("live").mark_line()
    means = means.encode(
        x=alt.X("step:Q", scale=x_scale, axis=_step_axis("step of training")),
        y=alt.Y("value:Q", scale=y_scale, axis=axis),
        **_styles(),
        tooltip=[
            alt.Tooltip("step:Q", format=".0f"),
            alt.Tooltip("value:Q", format="+.0%", title="busiest expert above fair share"),
        ],
    )
    level = _level("chance", x_scale, y_scale, axis)
    names = _names(alt.X("step:Q", scale=x_scale), y_scale, axis, ink)
    return alt.LayerChart(layer=[level, means, *names]).properties(height=HEIGHT)


# Lines with their names at their ends -----------------------------------------------------------


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Move places, as little as it takes, until any two are a gap apart; 0 is the lowest."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in pairwise(order):
        moved[i] = max(moved[i], moved[before] + gap)
    return moved


def _end_rows(ends: Mapping[int, tuple[str, float]], last: int, top: float, log: bool) -> Rows:
    """Where the names stand, by the number of the line: beside its end, apart from the others."""
    span = math.log(max(top, 2 * FLOOR) / FLOOR)
    heights = [
        math.log(max(end, FLOOR) / FLOOR) / span if log else end / top for _, end in ends.values()
    ]
    free = _apart([max(height, 0.02) for height in heights], APART / PLOT)
    return [
        {
            "line": line, "step": last, "label": f"{name} {end:+.0%}",
            "place": FLOOR * math.exp(at * span) if log else at * top,
        }
        for (line, (name, end)), at in zip(ends.items(), free, strict=True)
    ]  # fmt: skip


def _names(x: alt.X, y_scale: alt.Scale, axis: alt.Axis, ink: str) -> list[alt.Chart]:
    """A square in the colour of each line, and its name."""
    base = draw("ends").encode(x=x, y=alt.Y("place:Q", scale=y_scale, axis=axis))
    squares = base.mark_square(size=70, opacity=1, xOffset=8)
    squares = squares.encode(fill=keyed(alt.Fill, "line:O", looks(LINES, COLOURS)))
    words = base.mark_text(align="left", dx=16, fontSize=13, color=ink).encode(text="label:N")
    return [squares, words]


def _level(data: str, x_scale: alt.Scale, y_scale: alt.Scale, axis: alt.Axis) -> alt.Chart:
    """A dashed line at what the others are compared with, as long as they are."""
    return goal(
        data, FAIR, x=alt.X("from:Q", scale=x_scale), x2="to:Q",
        y=alt.Y(f"{data}:Q", scale=y_scale, axis=axis),
    )  # fmt: skip


def _styles() -> dict[str, Any]:
    """Return the channels that tell the lines apart."""
    return {
        "stroke": keyed(alt.Stroke, "line:O", looks(LINES, COLOURS)),
        "strokeDash": keyed(alt.StrokeDash, "line:O", looks(LINES, DASHES)),
        "strokeWidth": keyed(alt.StrokeWidth, "line:O", looks(LINES, WIDTHS)),
    }


def _x_scale(domain: list[float], log: bool) -> alt.Scale:
    """A scale that leaves room for the names."""
    return alt.Scale(
        type="log" if log else "linear", domain=domain, nice=False,
        range=[0, alt.expr(f"width - {NAMES_WIDTH}")],
    )  # fmt: skip


def _step_axis(title: str) -> alt.Axis:
    return alt.Axis(title=title, grid=False, tickCount=4, format=",d")


def _percent_axis(log: bool) -> alt.Axis:
    if log:
        return alt.Axis(title=None, format="+.0%", values=[0.01, 0.03, 0.1, 0.3, 1, 3, 10])
    return alt.Axis(title=None, format="+.0%", tickCount=5)
