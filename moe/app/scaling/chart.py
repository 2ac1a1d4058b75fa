"""Charts of the page: the law with the runs that it is fitted to, and four models side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import altair as alt
import numpy as np

from ...numbers import count
from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import goal, key, keyed, legible, looks, name_axis
from ...pictures.palette import BLUE, GOAL, GREEN, GREY, MAUVE, PAPER_INK, VERMILION
from ...scaling.budget import Comparison, Option
from ...scaling.runs import fitted, runs
from . import story

LEAST, MOST = 1e7, 3e11  # numbers used at a time, as far as the axis reaches
LOW, HIGH = 1.4, 3.3
POINTS = 40  # of a line
TIMES = [1 / 256, 1 / 64, 1 / 16, 1 / 4, 1, 4, 16, 64, 256]
MODELS = (story.MIXTURE, *story.ORDINARY.values())
COLOURS = dict(zip(MODELS, (BLUE, VERMILION, MAUVE, GREEN), strict=True))
SHAPES = ("circle", "square", "diamond", "triangle-up")
NAMED_AT, BESIDE_LINE = 3e10, 0.2  # where lines have their names, and how far from them
QUANTITIES = ("choices left open", "memory filled", "read for each piece", "pieces a second")


@lru_cache(maxsize=1)
def _runs() -> Rows:
    return [
        {
            "active": run.active,
            "loss": run.loss,
            "way": story.WAYS[run.router],
            "experts": run.experts,
            "used": count(run.active),
            "stored": count(run.total),
        }
        for run in runs()
    ]


def law(found: Comparison, ink: str = PAPER_INK) -> Figure:
    """Draw all runs, the law for one expert and for the mixture's, and four models on it."""
    mixture = found.options[0]
    formula = fitted(found.router).law
    sizes = np.geomspace(LEAST, MOST, POINTS)
    one, many = (
        [{"active": float(size), "loss": formula.loss(size, experts)} for size in sizes]
        for experts in (1, mixture.experts)
    )
    names: Rows = [
        {"active": NAMED_AT, "loss": formula.loss(NAMED_AT, experts) + beside, "label": label}
        for experts, beside, label in (
            (1, BESIDE_LINE, "one expert"),
            (mixture.experts, -BESIDE_LINE, f"{mixture.experts} experts"),
        )
    ]
    models: Rows = [
        {"active": one.active, "loss": one.loss, "model": name, "used": count(one.active)}
        for name, one in story.named(found)
    ]
    spoken = "; ".join(
        f"{row['model']}: {count(row['active'])} used at a time, loss {row['loss']:.2f}"
        for row in models
    )
    return Figure(
        "How wrong a model is, by the numbers that it uses at a time",
        _law(ink),
        f"Loss of {len(runs())} trained models and by the formula. {spoken}.",
        {"runs": _runs(), "ordinary": one, "mixture": many, "names": names, "models": models},
        "the law",
    )


@drawn_once
def _law(ink: str) -> Chart:
    x_scale = alt.Scale(type="log", domain=[LEAST, MOST], nice=False)
    x_axis = alt.Axis(
        title="numbers used at a time",
        values=[1e7, 1e8, 1e9, 1e10, 1e11],
        labelExpr="replace(format(datum.value, '~s'), 'G', 'B')",
        grid=False,
    )
    y_scale = alt.Scale(domain=[LOW, HIGH], nice=False)
    y_axis = alt.Axis(title="loss: lower is better", tickCount=4)
    x = alt.X("active:Q", scale=x_scale, axis=x_axis)
    y = alt.Y("loss:Q", scale=y_scale, axis=y_axis)
    dots = draw("runs").mark_point(size=24, opacity=0.8, color=GREY)
    dots = dots.encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("way:N", title="trained with"),
            "experts:Q",
            "used:N",
            "stored:N",
            alt.Tooltip("loss:Q", format=".3f"),
        ],
    )
    ordinary = draw("ordinary").mark_line(strokeWidth=2, color=BLUE, strokeDash=GOAL, clip=True)
    mixture = draw("mixture").mark_line(strokeWidth=2, color=BLUE, clip=True)
    curves = [line.encode(x=x, y=y) for line in (ordinary, mixture)]
    names = draw("names").mark_text(fontSize=12, color=ink)
    names = names.encode(x=x, y=y, text="label:N")
    legend = key(columns=2, symbolOpacity=1)
    marks = draw("models").mark_point(size=170, filled=True, opacity=1)
    marks = marks.encode(
        x=x,
        y=y,
        color=keyed(alt.Color, "model:N", COLOURS, legend),
        shape=keyed(alt.Shape, "model:N", looks(MODELS, SHAPES), legend),
        tooltip=["model:N", "used:N", alt.Tooltip("loss:Q", format=".3f")],
    )
    return alt.LayerChart(layer=[dots, *curves, *legible(ink, names), marks]).properties(height=330)


def beside(found: Comparison, ink: str = PAPER_INK) -> Figure:
    """Draw how three ordinary models differ from the mixture, as factors on one axis."""
    mixture = found.options[0]
    measures: tuple[Callable[[Option], float], ...] = (
        story.hesitates,
        lambda one: one.total,
        lambda one: one.bytes_per_token,
        lambda one: one.tokens_per_s,
    )
    rows: Rows = [
        {"quantity": quantity, "model": name, "times": measure(one) / measure(mixture)}
        for quantity, measure in zip(QUANTITIES, measures, strict=True)
        for name, one in story.named(found)[1:]
    ]
    spoken = "; ".join(
        f"{row['model']}, {row['quantity']}: {row['times']:.2g} times" for row in rows
    )
    return Figure(
        "Three ordinary models beside the mixture",
        _beside(ink),
        f"Times as much as the mixture. {spoken}.",
        {"times": rows, "even": [{"even": 1}]},
        "beside the mixture",
    )


@drawn_once
def _beside(ink: str) -> Chart:
    scale = alt.Scale(type="log", base=4, domain=[TIMES[0], TIMES[-1]], nice=False, clamp=True)
    words = (
        "datum.value == 1 ? 'the mixture' : datum.value > 1 ? datum.value + '×' : "
        "'1/' + 1 / datum.value"
    )
    axis = alt.Axis(title="times as much", values=TIMES[1:-1], labelExpr=words, grid=False)
    legend = key(columns=2, symbolOpacity=1)
    points = draw("times").mark_point(size=150, filled=True, opacity=1)
    points = points.encode(
        x=alt.X("times:Q", scale=scale, axis=axis),
        y=alt.Y("quantity:N", sort=None, axis=name_axis(grid=True, labelLimit=130)),
        color=keyed(alt.Color, "model:N", {n: COLOURS[n] for n in MODELS[1:]}, legend),
        shape=keyed(alt.Shape, "model:N", looks(MODELS[1:], SHAPES[1:]), legend),
        tooltip=["model:N", "quantity:N", alt.Tooltip("times:Q", format=".3~g")],
    )
    even = goal("even", ink, x=alt.X("even:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[even, points]).properties(height=alt.Step(38))
