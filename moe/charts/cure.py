"""Charts of the page on cures: how controllers even out the load, on frozen scores and live."""

from __future__ import annotations

import altair as alt

from ..lab.compare import Run
from ..lab.control import SETTLED, Method, Response
from .figure import BUSY, CROWDED, FAIR, IDLE, PAPER_INK, Figure, draw

FLOOR = 0.01  # a logarithmic axis has no zero: what is lower is drawn here
# Colour, dash and width say the same, so that each of them is enough.
STYLES = [
    (IDLE, [2, 2], 2.0),
    (IDLE, [1, 0], 2.0),
    (IDLE, [7, 3], 2.0),
    ("#B0509A", [10, 3, 2, 3], 2.0),
    (CROWDED, [3, 5], 3.0),
    ("#12906C", [1, 0], 3.5),
    (FAIR, [1, 0], 1.5),
]


def step_response(responses: list[Response], log: bool = True, ink: str = PAPER_INK) -> Figure:
    """MaxVio over the batches, a line for each controller, in a band from least to largest."""
    rows = [
        {
            "method": r.method.title,
            "batch": at,
            "mean": max(mean, FLOOR),
            "low": max(low, FLOOR),
            "high": max(high, FLOOR),
            "exact": mean,
        }
        for r in responses
        for at, mean, low, high in r.curve()
    ]
    names = [r.method.title for r in responses]
    size = max(r.max_vio_S.size for r in responses)
    kind = "log" if log else "linear"
    x = alt.X(
        "batch:Q",
        scale=alt.Scale(type=kind, domain=[1, size - 1]),
        axis=alt.Axis(title="batches seen", grid=False, tickCount=4, format=",d"),
    )
    top = max(row["high"] for row in rows)
    y_scale = alt.Scale(type=kind, domain=[FLOOR if log else 0, top], nice=not log)
    axis = alt.Axis(
        title=None, format="+.0%", values=[0.01, 0.03, 0.1, 0.3, 1, 3, 10] if log else alt.Undefined
    )
    colour = _styles("Color", names, 0)
    bands = (
        draw("response")
        .mark_area(opacity=0.28)
        .encode(
            x=x,
            y=alt.Y("low:Q", scale=y_scale, axis=axis),
            y2="high:Q",
            color=alt.Color("method:N", scale=_scale(names, 0), legend=None),
        )
    )
    lines = (
        draw("response")
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("mean:Q", scale=y_scale, axis=axis),
            color=colour,
            strokeDash=_styles("StrokeDash", names, 1),
            strokeWidth=_styles("StrokeWidth", names, 2),
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("batch:Q", format=",.0f"),
                alt.Tooltip("exact:Q", format="+.1%", title="busiest expert above fair share"),
            ],
        )
    )
    goal_row = {"goal": SETTLED, "at": 1, "label": f"even: below {SETTLED:+.0%}"}
    goal = draw("goal").encode(y=alt.Y("goal:Q", scale=y_scale, axis=axis))
    rule = goal.mark_rule(strokeDash=[6, 4], strokeWidth=1.2, color=ink)
    note = goal.mark_text(align="left", dx=4, dy=-8, fontSize=12, color=ink).encode(
        x=alt.X("at:Q", scale=x.scale), text="label:N"
    )
    told = "; ".join(f"{r.method.title} ends at {r.steady_error:+.1%}" for r in responses)
    return Figure(
        "How far the busiest expert is above its fair share (MaxVio)",
        alt.LayerChart(layer=[bands, lines, rule, note])
        .resolve_scale(color="independent")
        .properties(height=320),
        f"Lines of {len(responses)} controllers over {size - 1:,} batches, from "
        f"{responses[0].max_vio_S[0]:+.0%} at the start: {told}.",
        {"response": rows, "goal": [goal_row]},
    )


def end_loads(response: Response, top: float, ink: str = PAPER_INK) -> Figure:
    """Loads of the last batch (bars) and of the one before (ticks), in fair shares."""
    before_E, last_E = response.ratio_SE[-2].tolist(), response.ratio_SE[-1].tolist()
    rows = [
        {"expert": e, "load": last, "before": before}
        for e, (before, last) in enumerate(zip(before_E, last_E, strict=True))
    ]
    scale = alt.Scale(domain=[0, top])
    axis = alt.Axis(title=None, tickCount=3, format="~g", labelExpr="datum.label + '×'")
    base = draw("loads").encode(
        x=alt.X("expert:O", axis=alt.Axis(title="expert", labels=False, ticks=False))
    )
    bars = base.mark_bar().encode(
        y=alt.Y("load:Q", scale=scale, axis=axis),
        color=alt.Color("load:Q", scale=BUSY, legend=None),
        tooltip=[
            alt.Tooltip("expert:O"),
            alt.Tooltip("load:Q", format=".2f", title="last batch, fair shares"),
            alt.Tooltip("before:Q", format=".2f", title="batch before"),
        ],
    )
    ticks = base.mark_tick(color=ink, thickness=1.5).encode(
        y=alt.Y("before:Q", scale=scale, axis=axis)
    )
    fair = (
        draw("fair")
        .mark_rule(strokeDash=[6, 4], strokeWidth=1.2, color=ink)
        .encode(y=alt.Y("fair:Q", scale=scale, axis=axis))
    )
    return Figure(
        response.method.title,
        alt.LayerChart(layer=[bars, fair, ticks]).properties(height=120),
        f"{response.method.title}: loads of {len(rows)} experts in the last batch, from "
        f"{min(last_E):.2f} to {max(last_E):.2f} fair shares; in the batch before from "
        f"{min(before_E):.2f} to {max(before_E):.2f}.",
        {"loads": rows, "fair": [{"fair": 1}]},
    )


def live(runs: dict[Method, Run], titles: list[str], steps: int) -> Figure:
    """MaxVio over the steps of training, a line for each finished run.

    Parameters
    ----------
    titles
        All controllers, so that a line keeps its colour while others are still missing.
    steps
        Length of a run.
    """
    rows = [
        {"method": method.title, "step": step, "value": value}
        for method, run in runs.items()
        for step, value in run.series("max_vio", points=50)
    ]
    lines = (
        draw("live")
        .mark_line()
        .encode(
            x=alt.X(
                "step:Q",
                scale=alt.Scale(domain=[0, steps], nice=False),
                axis=alt.Axis(title="step of training", grid=False, tickCount=4),
            ),
            y=alt.Y("value:Q", axis=alt.Axis(title=None, format="+.0%", tickCount=5)),
            color=_styles("Color", titles, 0),
            strokeDash=_styles("StrokeDash", titles, 1),
            strokeWidth=_styles("StrokeWidth", titles, 2),
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("step:Q", format=".0f"),
                alt.Tooltip("value:Q", format="+.0%", title="busiest expert above fair share"),
            ],
        )
        .properties(height=320)
    )
    told = "; ".join(f"{m.title} ends at {run.summary().max_vio:+.0%}" for m, run in runs.items())
    return Figure(
        "How far the busiest expert is above its fair share, while the model learns",
        lines,
        f"Lines of {len(runs)} runs over {steps} steps of training: {told}.",
        {"live": rows},
    )


def _scale(names: list[str], style: int) -> alt.Scale:
    return alt.Scale(domain=names, range=[STYLES[i][style] for i in range(len(names))])


def _styles(channel: str, names: list[str], style: int) -> alt.Color:
    """One of the channels that tell the controllers apart, all in one legend."""
    legend = alt.Legend(
        title=None, orient="top", symbolType="stroke", symbolSize=350, columns=2, labelLimit=200
    )
    return getattr(alt, channel)("method:N", scale=_scale(names, style), legend=legend)
