"""Charts of the page on cures: how controllers even out the load, on frozen scores and live."""

from __future__ import annotations

from typing import Any

import altair as alt

from ...pictures.figure import Chart, Drawing, Figure, Rows, draw, drawn_once
from ...pictures.marks import by_load, goal, keyed, line_key
from ...pictures.palette import CROWDED, FAIR, IDLE, PAPER_INK, PURPLE, TEAL
from ...studies.control import SETTLED, Method, Response
from ...training import TrainSettings
from ...training.runs import Run
from .story import chance

HEIGHT = 400  # pixels, legend included
ROOM = 1.5  # fair shares that the small charts show at least
FLOOR = 0.01  # a logarithmic axis has no zero: what is lower is drawn here
# Colour, dash and width say the same, so that each of them is enough.
STYLES = [
    (IDLE, [2, 2], 2.0),
    (IDLE, [1, 0], 2.0),
    (IDLE, [7, 3], 2.0),
    (PURPLE, [10, 3, 2, 3], 2.0),
    (CROWDED, [3, 5], 3.0),
    (TEAL, [1, 0], 3.5),
    (FAIR, [1, 0], 1.5),
]


def step_response(responses: list[Response], log: bool = True, ink: str = PAPER_INK) -> Figure:
    """Draw MaxVio over the batches, a line for each controller, in a band from least to largest."""
    rows: Rows = [
        {
            "method": r.method.title,
            "line": line,
            "batch": at,
            "mean": max(mean, FLOOR),
            "low": max(low, FLOOR),
            "high": max(high, FLOOR),
            "exact": mean,
        }
        for line, r in enumerate(responses)
        for at, mean, low, high in r.curve()
    ]
    size = max(r.max_vio_S.size for r in responses)
    goal_row = {"goal": SETTLED, "at": 1, "label": f"even: below {SETTLED:+.0%}"}
    goal_row |= {f"line_{line}": r.method.title for line, r in enumerate(responses)}
    ends = "; ".join(f"{r.method.title} ends at {r.steady_error:+.1%}" for r in responses)
    return Figure(
        "How far the busiest expert is above its fair share (MaxVio)",
        _response(size, len(responses), log, ink),
        f"Lines of {len(responses)} controllers over {size - 1:,} batches, from "
        f"{responses[0].max_vio_S[0]:+.0%} at the start: {ends}.",
        {"response": rows, "goal": [goal_row]},
    )


@drawn_once
def _response(size: int, n_lines: int, log: bool, ink: str) -> Chart:
    x_scale = _axis_scale([1, size], log)
    x = alt.X(
        "batch:Q",
        scale=x_scale,
        axis=alt.Axis(title="batches seen", grid=False, tickCount=4, format=",d"),
    )
    y_scale = alt.Scale(type="log" if log else "linear", domainMin=FLOOR if log else 0, nice=False)
    axis = _percent_axis(log)
    numbers = list(range(n_lines))  # the titles change with the data
    bands = draw("response").mark_area(opacity=0.28)
    bands = bands.encode(
        x=x,
        y=alt.Y("low:Q", scale=y_scale, axis=axis),
        y2="high:Q",
        fill=_style(alt.Fill, 0, numbers),
    )
    lines = draw("response").mark_line()
    lines = lines.encode(
        x=x,
        y=alt.Y("mean:Q", scale=y_scale, axis=axis),
        **_styles(numbers),
        tooltip=[
            "method:N",
            alt.Tooltip("batch:Q", format=",.0f"),
            alt.Tooltip("exact:Q", format="+.1%", title="busiest expert above fair share"),
        ],
    )
    y = alt.Y("goal:Q", scale=y_scale, axis=axis)
    note = draw("goal").mark_text(align="left", dx=4, dy=-8, fontSize=12, color=ink)
    note = note.encode(x=alt.X("at:Q", scale=x_scale), y=y, text="label:N")
    layers = [bands, lines, goal("goal", ink, y=y), note]
    return alt.LayerChart(layer=layers).properties(height=HEIGHT)


def end_loads(response: Response, ink: str = PAPER_INK) -> Figure:
    """Draw the loads of the last batch (bars) and of the one before (ticks), in fair shares."""
    before_E, last_E = response.ratio_SE[-2].tolist(), response.ratio_SE[-1].tolist()
    rows = [
        {"expert": e, "load": last, "before": before}
        for e, (before, last) in enumerate(zip(before_E, last_E, strict=True))
    ]
    return Figure(
        response.method.title,
        _end_loads(ink),
        f"{response.method.title}: loads of {len(rows)} experts in the last batch, from "
        f"{min(last_E):.2f} to {max(last_E):.2f} fair shares; in the batch before from "
        f"{min(before_E):.2f} to {max(before_E):.2f}.",
        {"loads": rows, "fair": [{"fair": 1, "room": ROOM}]},
        f"{response.method.title.partition(',')[0]}: loads in the end",  # without its step
    )


@drawn_once
def _end_loads(ink: str) -> Chart:
    scale = alt.Scale(nice=False)
    axis = alt.Axis(title=None, tickCount=3, format="~g", labelExpr="datum.label + '×'")
    base = draw("loads").encode(
        x=alt.X("expert:O", axis=alt.Axis(title=None, labels=False, ticks=False))
    )
    bars = base.mark_bar().encode(
        y=alt.Y("load:Q", scale=scale, axis=axis),
        color=by_load("load:Q"),
        tooltip=[
            "expert:O",
            alt.Tooltip("load:Q", format=".2f", title="last batch, fair shares"),
            alt.Tooltip("before:Q", format=".2f", title="batch before"),
        ],
    )
    ticks = base.mark_tick(color=ink, thickness=1.5).encode(
        y=alt.Y("before:Q", scale=scale, axis=axis)
    )
    rule = goal("fair", ink, y=alt.Y("fair:Q", scale=scale, axis=axis))
    # An unseen point, so that axes of several charts reach equally far where all loads are even.
    room = draw("fair").mark_point(opacity=0, aria=False)
    room = room.encode(y=alt.Y("room:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[bars, rule, ticks, room]).properties(height=130)


def live(
    runs: dict[Method, Run],
    settings: dict[Method, TrainSettings],
    log: bool = True,
    ink: str = PAPER_INK,
) -> Figure:
    """Draw MaxVio over the steps of training, a line for each finished run.

    Parameters
    ----------
    settings
        Of all runs, so that a line keeps its colour while others are still missing.
    """
    titles = [method.title for method in settings]
    one = next(iter(settings.values()))
    level = chance(one)
    chance_row = {"chance": level, "at": 0, "label": f"chance alone: {level:+.0%}"}
    rows: Rows = [
        {"method": method.title, "step": step, "value": max(value, FLOOR)}
        for method, run in runs.items()
        for step, value in run.series("max_vio", points=50)
    ]
    top = max(row["value"] for row in rows)
    y_scale = _axis_scale([0.8 * level if log else 0, top], log)
    lines = draw("live").mark_line()
    lines = lines.encode(
        x=alt.X(
            "step:Q",
            scale=alt.Scale(domain=[0, one.steps], nice=False),
            axis=alt.Axis(title="step of training", grid=False, tickCount=4),
        ),
        y=alt.Y("value:Q", scale=y_scale, axis=_percent_axis(log)),
        **_styles(titles),
        tooltip=[
            "method:N",
            alt.Tooltip("step:Q", format=".0f"),
            alt.Tooltip("value:Q", format="+.0%", title="busiest expert above fair share"),
        ],
    )
    y = alt.Y("chance:Q", scale=y_scale)
    rule = goal("chance", ink, y=y)
    note = draw("chance").mark_text(align="left", dx=4, dy=9, fontSize=12, color=ink)
    note = note.encode(x="at:Q", y=y, text="label:N")
    ends = "; ".join(f"{m.title} ends at {run.summary().max_vio:+.0%}" for m, run in runs.items())
    return Figure(
        "How far the busiest expert is above its fair share, while the model learns",
        Drawing(alt.LayerChart(layer=[lines, rule, note]).properties(height=HEIGHT)),
        f"Lines of {len(runs)} runs over {one.steps} steps of training: {ends}. Chance alone "
        f"would give {level:+.0%}.",
        {"live": rows, "chance": [chance_row]},
    )


def _percent_axis(log: bool) -> alt.Axis:
    if log:
        return alt.Axis(title=None, format="+.0%", values=[0.01, 0.03, 0.1, 0.3, 1, 3, 10])
    return alt.Axis(title=None, format="+.0%", tickCount=5)


def _axis_scale(domain: list[float], log: bool) -> alt.Scale:
    return alt.Scale(type="log" if log else "linear", domain=domain, nice=False)


def _styles(lines: list[str] | list[int]) -> dict[str, Any]:
    """Return the channels that tell the lines of the controllers apart."""
    return {
        "stroke": _style(alt.Stroke, 0, lines),
        "strokeDash": _style(alt.StrokeDash, 1, lines),
        "strokeWidth": _style(alt.StrokeWidth, 2, lines),
    }


def _style(channel: Any, style: int, lines: list[str] | list[int]) -> Any:
    """Return one of those channels; Vega joins their keys into one.

    Parameters
    ----------
    lines
        Titles of all controllers, or their numbers if the data hold the titles.
    """
    numbered = isinstance(lines[0], int)
    legend = line_key(
        symbolOpacity=1, columns=2, labelLimit=200,
        labelExpr="data('goal')[0]['line_' + datum.value]" if numbered else alt.Undefined,
    )  # fmt: skip
    by_line = {line: one[style] for line, one in zip(lines, STYLES, strict=False)}
    return keyed(channel, "line:O" if numbered else "method:O", by_line, legend)
