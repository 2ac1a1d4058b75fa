"""Charts of the page on real models: who works, speeds, parameters stored and used, batches."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np

from ...numbers import count, digits, gigabytes, percent
from ...pictures.figure import Figure, Rows, draw, drawn_once, spoken
from ...pictures.load_map import load_marks, load_rows
from ...pictures.marks import end_labels, goal, key, keyed, legible, line_key, looks, name_axis
from ...pictures.palette import (
    BLUE,
    DASHES,
    FAIR,
    GOAL,
    GREEN,
    GREY,
    MUTED,
    PAPER_INK,
    SHAPES,
    VERMILION,
)
from . import story, who_works

FITS, TOO_LARGE = "fits", "does not fit"
COLOURS = {FITS: GREEN, TOO_LARGE: GREY}
SIDES: tuple[tuple[str, Literal["left", "right"], int, int], ...] = (
    ("left", "right", -8, -7),
    ("right", "left", 9, 5),
    ("below", "right", 4, 16),
)
KINDS = {story.MIXTURE: BLUE, story.DENSE: VERMILION}
ROW = 22  # pixels
NAMES, LABELS = 158, 104  # pixels left and right of the bars
MEMORY, ARITHMETIC = "memory: reading weights", "arithmetic"
LIMITS = {MEMORY: BLUE, ARITHMETIC: VERMILION}
MAP_ROW, MAP_ROOM = 16, 90  # pixels of a layer, and what axis and key take


def load_map(choice: str) -> Figure:
    """Draw a mark for each expert in each layer of a real model on one text."""
    table, ratio_LE = who_works.mapped(), who_works.fair_shares(choice)
    rows = [f"layer {layer}" for layer in table.layers]
    layer, expert = np.unravel_index(ratio_LE.argmax(), ratio_LE.shape)
    return Figure(
        f"{choice}: how busy each expert is",
        _load_map(table.n_experts, tuple(rows)),
        f"{len(rows)} rows, one for each layer, of {table.n_experts} marks, taller and warmer "
        f"where an expert does more than its fair share. The busiest is expert {expert} of "
        f"{rows[layer]}: {digits(ratio_LE[layer, expert])} fair shares.",
        {"map": _map_rows(choice)},
        name=f"How busy each expert of {table.model} is",
    )


@lru_cache(maxsize=len(who_works.CHOICES))
def _map_rows(choice: str) -> Rows:
    table = who_works.mapped()
    rows = [f"layer {layer}" for layer in table.layers]
    return load_rows(rows, range(table.n_experts), who_works.fair_shares(choice))


@drawn_once
def _load_map(n_experts: int, rows: tuple[str, ...]) -> alt.Chart:
    marks = load_marks("map", rows, n_experts, f"{n_experts} experts", room=len(rows))
    return marks.properties(height=MAP_ROOM + MAP_ROW * len(rows))


def one_expert(ink: str = PAPER_INK) -> Figure:
    """Draw for each text which share of its tokens chooses the expert that one text nearly owns."""
    one = who_works.one_expert()
    rows: Rows = [
        {"text": who_works.NAMES[text], "share": share, "label": percent(share)}
        for text, share in one.share.items()
    ]
    return Figure(
        f"Tokens that choose expert {one.expert}",
        _one_expert(ink),
        f"Bars for {len(rows)} texts against a dashed line at the fair share, "
        f"{digits(100 * one.fair, 3)}%. {spoken(rows, 'text')}.",
        {"texts": rows, "fair": [{"fair": one.fair}]},
    )


@drawn_once
def _one_expert(ink: str) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, 1.15], nice=False)
    axis = alt.Axis(title=None, format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=False)
    base = draw("texts").encode(
        y=alt.Y("text:N", sort=None, axis=name_axis()),
        x=alt.X("share:Q", scale=scale, axis=axis),
    )
    bars = base.mark_bar(cornerRadiusEnd=2, color=BLUE)
    rule = goal("fair", FAIR, x=alt.X("fair:Q", scale=scale, axis=axis))
    labels = legible(ink, end_labels(base, ink))
    return alt.LayerChart(layer=[bars, rule, *labels]).properties(height=alt.Step(24))


def how_uneven(ink: str = PAPER_INK) -> Figure:
    """Draw for each model how busy the busiest expert of a layer is, and on each text."""
    models = who_works.models()
    rows: Rows = [
        {"model": one.model, "times": one.mean, "label": f"{one.model}: {one.label}"}
        for one in models
    ]
    texts: Rows = [
        {"model": one.model, "text": who_works.NAMES[text], "times": times}
        for one in models
        for text, times in one.times.items()
    ]
    return Figure(
        "Fair shares of a layer’s busiest expert",
        _how_uneven(ink),
        f"Bars of {len(rows)} models, a ring for each text, and a tick at the most that is "
        f"possible. {'; '.join(row['label'] for row in rows)}.",
        {
            "models": rows,
            "texts": texts,
            "most": [{"model": one.model, "most": one.most} for one in models],
            "even": [{"even": 1.0}],
        },
    )


@drawn_once
def _how_uneven(ink: str) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, 12], nice=False)
    axis = alt.Axis(title="rings: each text; tick: the most that is possible", tickCount=6)
    y = alt.Y("model:N", sort=None, axis=None)
    x = alt.X("times:Q", scale=scale, axis=axis)
    base = draw("models").encode(y=y)
    bars = base.mark_bar(height=12, yOffset=9, cornerRadiusEnd=2, color=BLUE).encode(x=x)
    dots = draw("texts").mark_point(yOffset=9, size=34, strokeWidth=1.4, color=ink)
    dots = dots.encode(
        x=x, y=y, tooltip=["model:N", "text:N", alt.Tooltip("times:Q", format=".2f")]
    )
    most = draw("most").mark_tick(yOffset=9, height=18, thickness=2, color=ink)
    most = most.encode(x=alt.X("most:Q", scale=scale, axis=axis), y=y)
    names = base.mark_text(align="left", dy=-8, fontSize=12, color=ink)
    names = names.encode(x=alt.value(0), text="label:N")
    rule = goal("even", FAIR, x=alt.X("even:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[bars, rule, most, dots, *legible(ink, names)]).properties(
        height=alt.Step(42)
    )


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


def speeds(answers: story.Answers, ink: str = PAPER_INK) -> Figure:
    """Draw a row for every model: how fast it is at most, or what it needs if it does not fit."""
    top, fitting = answers.top, answers.fitting
    rows: Rows = [
        {
            "place": at + (1 if a.fits else 2),
            "model": a.model.name if a.kind == story.MIXTURE else f"{a.model.name}, dense",
            "kind": a.kind,
            "fits": a.fits,
            "bar": min(a.decoding.tokens_per_s, top) if a.fits else 0.0,
            "label": _speed(a.decoding.tokens_per_s, top)
            if a.fits
            else f"needs {gigabytes(a.needed_gb)}",
        }
        for at, a in enumerate(answers.listed)
    ]
    cut = " (▸: its bar is cut)" if any("▸" in row["label"] for row in rows) else ""
    heads: Rows = [
        {"place": 0, "head": f"Fits in {answers.memory_words()}: {len(fitting)}{cut}"},
        {"place": len(fitting) + 1, "head": f"Does not fit: {len(rows) - len(fitting)}"},
    ]
    told = spoken(rows, "model")
    return Figure(
        f"All {len(rows)} models on {answers.machine_words()}",
        _speeds(len(rows) + len(heads), top, ink),
        f"Tokens a second at most. {len(fitting)} of {len(rows)} models fit. {told}.",
        {"speeds": rows, "heads": heads},
        name="All models on the machine",
    )


def _speed(value: float, top: int) -> str:
    """Return a speed in words, with a sign where the bar ends before it."""
    return f"{'▸ ' if value > top else ''}{digits(value)} tokens/s"


@drawn_once
def _speeds(n_rows: int, top: int, ink: str) -> alt.LayerChart:
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(n_rows))))
    room: list[Any] = [NAMES, alt.expr(f"max(width - {LABELS}, {NAMES + 40})")]
    x = alt.X("bar:Q", axis=None, scale=alt.Scale(domain=[0, top], range=room, nice=False))
    base = draw("speeds").encode(y=y)
    bars = base.mark_bar(cornerRadiusEnd=2, height=13).encode(
        x=x, color=keyed(alt.Color, "kind:N", KINDS, key())
    )
    # Few marks, since all of them are drawn anew while a slider is dragged.
    faint = alt.condition("datum.fits", alt.value(ink), alt.value(MUTED[ink]))
    left: dict[str, Any] = {"align": "left", "fontSize": 12}
    names = base.mark_text(**left).encode(x=alt.value(0), text="model:N", color=faint)
    labels = base.mark_text(**left, dx=5).encode(x=x, text="label:N", color=faint)
    heads = draw("heads").mark_text(**left | {"fontSize": 13, "fontWeight": 600, "color": ink})
    heads = heads.encode(y=y, x=alt.value(0), text="head:N")
    return alt.LayerChart(layer=[bars, names, labels, heads]).properties(height=n_rows * ROW)


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
