"""Charts of the page on real models: total against active, memory needed, speed by batch."""

from __future__ import annotations

from typing import Literal

import altair as alt

from ...numbers import count, digits, gigabytes
from ...pictures.figure import Figure, Rows, draw, drawn_once
from ...pictures.marks import end_labels, goal, key, keyed, legible, line_key, looks
from ...pictures.palette import BLUE, DASHES, FAIR, GOAL, GREEN, GREY, PAPER_INK, SHAPES, VERMILION
from . import story

FITS, TOO_LARGE = "fits", "does not fit"
COLOURS = {FITS: GREEN, TOO_LARGE: GREY}
SIDES: tuple[tuple[str, Literal["left", "right"], int, int], ...] = (
    ("left", "right", -8, -7),
    ("right", "left", 9, 5),
    ("below", "right", 4, 16),
)
MEMORY, ARITHMETIC = "memory: reading weights", "arithmetic"
LIMITS = {MEMORY: BLUE, ARITHMETIC: VERMILION}


def _kind() -> tuple[alt.Color, alt.Shape]:
    return (
        keyed(alt.Color, "kind:N", COLOURS, key()),
        keyed(alt.Shape, "kind:N", looks(COLOURS, SHAPES), key()),
    )


def total_and_active(answers: story.Answers, ink: str = PAPER_INK) -> Figure:
    """Draw the parameters of every model: those stored, and those that one token uses."""
    rows: Rows = [
        {
            "model": a.model.name,
            "total": a.model.total_params / 1e9,
            "active": a.active / 1e9,
            "published_total": a.model.published_total / 1e9 or None,
            "published_active": a.model.published_active / 1e9 or None,
            "kind": FITS if a.fits else TOO_LARGE,
            "side": story.NAMED.get(a.model.name),
        }
        for a in answers.rows
    ]
    most = max(answers.rows, key=lambda a: a.model.total_params / a.active)
    return Figure(
        "Parameters stored and used by one token, in billions",
        _total_and_active(ink),
        f"{len(rows)} points, both axes in powers of ten. Dense models lie on the dashed line, "
        f"where all parameters are used; {most.model.name} lies furthest below it: "
        f"{count(most.model.total_params, 3)} stored, {count(most.active, 3)} used. Crosses "
        "mark the published figures.",
        {"models": rows, "dense": [{"at": 1.0}, {"at": 1000.0}]},
    )


@drawn_once
def _total_and_active(ink: str) -> alt.LayerChart:
    ticks = [1, 3, 10, 30, 100, 300, 1000]
    x_scale = alt.Scale(type="log", domain=[1, 2500], nice=False)
    y_scale = alt.Scale(type="log", domain=[0.3, 700], nice=False)
    x_axis = alt.Axis(title="stored (total)", values=ticks, gridOpacity=0.5)
    y_axis = alt.Axis(title="used by one token (active)", values=[0.3, *ticks], gridOpacity=0.5)
    colour, shape = _kind()
    base = draw("models").encode(
        x=alt.X("total:Q", scale=x_scale, axis=x_axis),
        y=alt.Y("active:Q", scale=y_scale, axis=y_axis),
    )
    line = draw("dense").mark_line(strokeDash=GOAL, strokeWidth=1.5, color=FAIR, clip=True)
    line = line.encode(
        x=alt.X("at:Q", scale=x_scale, axis=x_axis), y=alt.Y("at:Q", scale=y_scale, axis=y_axis)
    )
    points = base.mark_point(size=80, filled=True, opacity=0.9).encode(
        color=colour,
        shape=shape,
        tooltip=[
            "model:N",
            alt.Tooltip("total:Q", format=",.3~f", title="total, computed"),
            alt.Tooltip("published_total:Q", format=",.3~f", title="total, published"),
            alt.Tooltip("active:Q", format=",.3~f", title="active, computed"),
            alt.Tooltip("published_active:Q", format=",.3~f", title="active, published"),
            alt.Tooltip("kind:N", title="your machine"),
        ],
    )
    crosses = (
        draw("models")
        .transform_filter("datum.published_active != null && datum.published_total != null")
        .mark_point(shape="cross", size=36, strokeWidth=1.4, color=ink, filled=False)
        .encode(
            x=alt.X("published_total:Q", scale=x_scale, axis=x_axis),
            y=alt.Y("published_active:Q", scale=y_scale, axis=y_axis),
        )
    )
    texts = [
        base.transform_filter(f"datum.side == '{side}'")
        .mark_text(align=align, dx=dx, dy=dy, fontSize=11.5, color=ink)
        .encode(text="model:N")
        for side, align, dx, dy in SIDES
    ]
    return alt.LayerChart(layer=[line, points, crosses, *texts]).properties(height=430)


def memory(answers: story.Answers, ink: str = PAPER_INK) -> Figure:
    """Draw the memory that every model needs beside the machine's, and its speed at most."""
    usable = answers.question.usable_gb
    rows: Rows = [
        {
            "model": a.model.name,
            "needed": a.needed_gb,
            "kind": FITS if a.fits else TOO_LARGE,
            "label": f"{gigabytes(a.needed_gb)}, {a.speed}",
            "start": 0.4,
        }
        for a in answers.rows
    ]
    return Figure(
        f"Memory needed, and how fast it can be: {answers.machine_words()}",
        _memory(ink),
        f"{len(rows)} models by the memory they need, from {gigabytes(rows[0]['needed'])} "
        f"({rows[0]['model']}) to {gigabytes(rows[-1]['needed'])} ({rows[-1]['model']}), "
        f"against a dashed line at {usable:,.0f} GB. {len(answers.fitting)} fit. The table below "
        "has every figure.",
        {"memory": rows, "usable": [{"at": usable}]},
    )


@drawn_once
def _memory(ink: str) -> alt.LayerChart:
    scale = alt.Scale(type="log", domain=[0.4, 3e5], nice=False, clamp=True)
    axis = alt.Axis(
        title="GB, in powers of ten", values=[1, 10, 100, 1000], gridOpacity=0.5, orient="top",
        format=",d",
    )  # fmt: skip
    colour, shape = _kind()
    base = draw("memory").encode(y=alt.Y("model:N", sort=None, axis=None))
    x = alt.X("needed:Q", scale=scale, axis=axis)
    stems = base.mark_rule(strokeWidth=2, yOffset=5).encode(
        x=alt.X("start:Q", scale=scale, axis=axis), x2="needed:Q", color=colour
    )
    points = base.mark_point(size=80, filled=True, opacity=1, yOffset=5).encode(
        x=x, color=colour, shape=shape
    )
    names = base.mark_text(align="left", baseline="bottom", dy=1, fontSize=12, color=ink).encode(
        x=alt.value(2), text="model:N"
    )
    labels = end_labels(base, ink, dx=9, dy=5, fontSize=11.5).encode(x=x)
    words = legible(ink, names, labels)
    limit = goal("usable", ink, x=alt.X("at:Q", scale=scale, axis=axis))
    limit.mark.opacity = 0.6  # it passes behind the label of every model that fits
    return alt.LayerChart(layer=[limit, stems, points, *words]).properties(height=alt.Step(30))


def by_batch(answers: story.Answers, name: str, ink: str = PAPER_INK) -> Figure:
    """Draw both bounds on a model's speed over the number of conversations at once."""
    steps = answers.by_batch(name)
    rows: Rows = [
        {"batch": batch, "limit": limit, "speed": speed, "fits": FITS if bound.fits else TOO_LARGE}
        for batch, bound in steps
        for limit, speed in ((MEMORY, bound.by_bandwidth), (ARITHMETIC, bound.by_compute))
    ]
    chosen = [row for row in rows if row["batch"] == answers.question.batch]
    spoken = "; ".join(f"{row['limit']} {digits(row['speed'])}" for row in chosen)
    return Figure(
        f"{name}: tokens a second, all conversations together, at most",
        _by_batch(ink),
        f"Two lines over 1 to {steps[-1][0]:,} conversations at once. At the chosen "
        f"{answers.question.batch}: {spoken}. The lower line is the bound.",
        {"by_batch": rows, "chosen": [{"batch": answers.question.batch}]},
    )


@drawn_once
def _by_batch(ink: str) -> alt.LayerChart:
    legend = line_key(title="limit by")
    x = alt.X(
        "batch:Q",
        scale=alt.Scale(type="log", base=2, domain=[1, 1024], nice=False),
        axis=alt.Axis(
            title="conversations at once", values=[1, 4, 16, 64, 256, 1024], format=",d",
            grid=False,
        ),
    )  # fmt: skip
    lines = draw("by_batch").mark_line(strokeWidth=2.5)
    lines = lines.encode(
        x=x,
        y=alt.Y(
            "speed:Q",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(title="tokens/s", tickCount=5, format="~s", gridOpacity=0.5),
        ),
        color=keyed(alt.Color, "limit:N", LIMITS, legend),
        strokeDash=keyed(alt.StrokeDash, "limit:N", looks(LIMITS, DASHES), legend),
        tooltip=[
            alt.Tooltip("batch:Q", title="conversations"),
            alt.Tooltip("limit:N", title="limit by"),
            alt.Tooltip("speed:Q", format=",.2~s", title="tokens/s"),
            alt.Tooltip("fits:N", title="memory"),
        ],
    )
    # Dotted, for it is where the visitor stands and no goal.
    rule = draw("chosen").mark_rule(strokeDash=[2, 3], strokeWidth=1.5, color=ink).encode(x=x)
    return alt.LayerChart(layer=[rule, lines]).properties(height=270)
