"""Bits of language models of several kinds over the time that their training takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from moe.pictures.figure import Drawing, Figure, draw
from moe.pictures.marks import key, keyed, looks
from moe.pictures.palette import SERIES, SHAPES
from moe.studies.language_model import KINDS

from .lm_cases import Case, seconds


def of_time(found: Sequence[Case], ms: Mapping[str, float]) -> Figure:
    """Draw what runs of different length came to, each kind's joined, with the seeds' spread."""
    rows = [
        {
            "model": KINDS[one.dense], "steps": one.steps, "seconds": seconds(one, ms),
            "bits": one.bits.mean, "low": min(one.bits_by_seed), "high": max(one.bits_by_seed),
        }
        for one in found
    ]  # fmt: skip
    names = list(KINDS.values())
    legend = key(symbolSize=120)
    colour = keyed(alt.Color, "model:N", looks(names, SERIES), legend)
    shape = keyed(alt.Shape, "model:N", looks(names, SHAPES), legend)
    x = alt.X(
        "seconds:Q",
        title="seconds of one core",
        scale=alt.Scale(type="log", nice=False, padding=20),
        axis=alt.Axis(values=[2, 5, 10, 20, 50], format="~g", grid=False),
    )
    y = alt.Y("bits:Q", title="bits per byte of new text", scale=alt.Scale(zero=False))
    base = draw("runs").encode(x=x)
    chart = alt.layer(
        base.mark_line(strokeWidth=1.5, aria=False).encode(y=y, color=colour),
        base.mark_rule(strokeWidth=1.5, aria=False).encode(
            y=alt.Y("low:Q", title="bits per byte of new text"), y2="high:Q", color=colour
        ),
        base.mark_point(filled=True, opacity=1, size=70).encode(
            y=y,
            color=colour,
            shape=shape,
            tooltip=[
                "model:N",
                "steps:Q",
                alt.Tooltip("seconds:Q", format=".1f"),
                alt.Tooltip("bits:Q", format=".3f"),
            ],
        ),
    )
    ends = {one.dense: one for one in found}
    spoken = "; ".join(
        f"{KINDS[dense]} {one.bits.mean:.2f} bits after {one.steps} steps and "
        f"{seconds(one, ms):.0f} seconds"
        for dense, one in ends.items()
    )
    return Figure(
        "Bits per byte against time",
        Drawing(chart.properties(height=320)),
        f"{len(ends)} kinds of model, runs of several lengths each. The longest: {spoken}.",
        {"runs": rows},
    )
