"""Charts of the page on distillation: bits per byte over steps, and what a teacher saves."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import end_labels, goal, keyed, legible, line_key, looks, name_axis
from ...pictures.palette import FAIR, PAPER_INK, TEAL, VERMILION
from ...studies.distilling import ALONE, TAUGHT, Distilled, Interval
from .story import NAMES, gains

SHOWN = {NAMES[TAUGHT]: TEAL, NAMES[ALONE]: VERMILION}


def students(runs: Sequence[Distilled], first: bool = False, ink: str = PAPER_INK) -> Figure:
    """Draw bits per byte of held-out text over the steps, a line for each student, and a teacher's.

    Parameters
    ----------
    first
        Only the first look, as a guess is asked for first.
    """
    rows: Rows = [
        {"student": NAMES[name], "seed": run.seed, "step": look.step, "bits": look.bits}
        for run in runs
        for name in (TAUGHT, ALONE)
        for look in run.students[name][: 1 if first else None]
    ]
    highest = max(run.students[name][0].bits for run in runs for name in (TAUGHT, ALONE))
    teacher = runs[0].teacher_bits
    last = max(run.students[ALONE][-1].step for run in runs)
    ends = {
        NAMES[name]: np.mean([
            run.students[name][: 1 if first else None][-1].bits for run in runs
        ])
        for name in (TAUGHT, ALONE)
    }  # fmt: skip
    told = "; ".join(f"{name} {end:.2f} bits" for name, end in ends.items())
    return Figure(
        "Bits for a letter of new text",
        _students(last, float(np.floor(teacher * 2) / 2), float(np.ceil(highest * 2) / 2), ink),
        f"Lines of {2 * len(runs)} students over {rows[-1]['step']} of {last} steps; in the mean "
        f"they come to: {told}. A level line is their teacher, {teacher:.2f} bits.",
        {
            "students": rows,
            "teacher": [{"bits": teacher, "step": 0, "label": f"the teacher: {teacher:.2f}"}],
        },
    )


@drawn_once
def _students(last: int, low: float, high: float, ink: str) -> Chart:
    x = alt.X(
        "step:Q", scale=alt.Scale(domain=[0, last], nice=False),
        axis=alt.Axis(title="step", grid=False, tickCount=4),
    )  # fmt: skip
    y = alt.Y(
        "bits:Q", scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(title=None, tickCount=5),
    )  # fmt: skip
    lines = draw("students").mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=26)).encode(
        x=x, y=y,
        detail="seed:N",
        color=keyed(alt.Color, "student:N", SHOWN, line_key()),
        strokeDash=keyed(
            alt.StrokeDash, "student:N", looks(SHOWN, ([1, 0], [7, 4])), line_key()
        ),
        tooltip=["student:N", "seed:N", "step:Q", alt.Tooltip("bits:Q", format=".3f")],
    )  # fmt: skip
    label = end_labels(draw("teacher").encode(x=x, y=y), ink, dy=-9)
    return alt.LayerChart(layer=[goal("teacher", FAIR, y=y), label, lines]).properties(height=340)


def saved(runs: Sequence[Distilled], ink: str = PAPER_INK) -> Figure:
    """Draw what the teacher saves, by what it gives and how it is judged: seeds, mean, interval."""
    by_name = gains(runs)
    intervals = {name: Interval.of(values) for name, values in by_name.items()}
    rows: Rows = [
        {
            "name": name, "mean": one.mean, "low": one.low, "high": one.high,
            "label": f"{one.mean:+.3f}",
        }
        for name, one in intervals.items()
    ]  # fmt: skip
    seeds = [
        {"name": name, "seed": run.seed, "gain": gain}
        for name, values in by_name.items()
        for run, gain in zip(runs, values, strict=True)
    ]
    told = "; ".join(
        f"{name}: {one.mean:+.3f}, 95% interval {one.low:+.3f} to {one.high:+.3f}"
        for name, one in intervals.items()
    )
    return Figure(
        "Bits a letter that the teacher saves",
        _saved(ink),
        f"{len(rows)} rows, a point for each of {len(runs)} seeds: {told}.",
        {"means": rows, "seeds": seeds, "nothing": [{"nothing": 0}]},
    )


@drawn_once
def _saved(ink: str) -> Chart:
    y = alt.Y("name:N", sort=None, axis=name_axis())
    x_axis = alt.Axis(title=None, tickCount=5, grid=False)
    base = draw("means").encode(y=y)
    spans = base.mark_rule(strokeWidth=3, color=TEAL).encode(
        x=alt.X("low:Q", axis=x_axis), x2="high:Q"
    )
    means = base.mark_point(filled=True, size=110, color=TEAL).encode(
        x=alt.X("mean:Q", axis=x_axis)
    )
    points = draw("seeds").mark_point(size=50, color=ink, yOffset=12).encode(
        y=y, x=alt.X("gain:Q", axis=x_axis),
        tooltip=["seed:N", alt.Tooltip("gain:Q", format="+.3f", title="bits saved")],
    )  # fmt: skip
    labels = end_labels(
        base.encode(x=alt.X("mean:Q", axis=x_axis)), ink, dx=0, dy=-14, align="center"
    )
    nothing = goal("nothing", FAIR, x=alt.X("nothing:Q", axis=x_axis))
    return alt.LayerChart(layer=[nothing, spans, means, points, *legible(ink, labels)]).properties(
        height=260
    )
