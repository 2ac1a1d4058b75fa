"""Charts of the page on balance: two runs over their steps, and their ends."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from ...pictures.figure import (
    BUSY,
    PAPER_INK,
    RUN_COLOURS,
    Chart,
    Drawing,
    Figure,
    draw,
    drawn_once,
    percent_axis,
)
from ...training.runs import Run


@dataclass(frozen=True)
class Measure:
    """A number of each step: its title, what it means, and how to write it."""

    title: str
    meaning: str
    format: str


MEASURES = {
    "max_vio": Measure("MaxVio", "how far the busiest expert is above its fair share", ".2f"),
    "cv": Measure("CV", "spread of the experts' loads over their mean", ".2f"),
    "dead": Measure("Idle experts", "experts that no token of the batch chose", ".0f"),
    "dropped": Measure("Dropped", "share of assignments that found their expert full", ".0%"),
    "loss": Measure("Loss", "how wrong the predictions are", ".2f"),
}


def over_steps(run_a: Run, run_b: Run, measure: str) -> Figure:
    """One measure of both runs over the steps, averaged to at most 100 points a line."""
    what = MEASURES[measure]
    data, ends = [], []
    for name, run in (("A", run_a), ("B", run_b)):
        series = run.series(measure)
        data += [{"run": name, "step": step, "value": value} for step, value in series]
        ends.append(f"{name} ({run.name()}) ends at {format(series[-1][1], what.format)}")
    return Figure(
        f"{what.title}: {what.meaning}",
        _over_steps(measure),
        f"{what.title} over {run_a.settings.steps} steps. {'; '.join(ends)}.",
        {f"over_steps_{measure}": data},
    )


@drawn_once
def _over_steps(measure: str) -> Chart:
    what = MEASURES[measure]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=350)
    names = list(RUN_COLOURS)
    return (
        draw(f"over_steps_{measure}")
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step:Q", axis=alt.Axis(title="step", grid=False, tickCount=4)),
            y=alt.Y(
                "value:Q",
                scale=alt.Scale(zero=measure != "loss"),
                axis=alt.Axis(
                    title=None, tickCount=4, format=what.format if "%" in what.format else ""
                ),
            ),
            color=alt.Color(
                "run:N",
                scale=alt.Scale(domain=names, range=list(RUN_COLOURS.values())),
                legend=legend,
            ),
            strokeDash=alt.StrokeDash(
                "run:N", scale=alt.Scale(domain=names, range=[[1, 0], [7, 4]]), legend=legend
            ),
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("step:Q", format=".0f"),
                alt.Tooltip("value:Q", format=".3f", title=what.title),
            ],
        )
        .properties(height=190)
    )


def final_load(name: str, run: Run, ink: str = PAPER_INK) -> Figure:
    """Share of the work of each expert at the end of a run against the fair share."""
    load_E = run.end_load()
    fair = 1 / load_E.size
    share_E = (load_E / max(int(load_E.sum()), 1)).tolist()
    data = [{"expert": e, "share": share, "ratio": share / fair} for e, share in enumerate(share_E)]
    bars = (
        draw(f"load_{name}")
        .mark_bar()
        .encode(
            x=alt.X("expert:O", axis=alt.Axis(title="expert", labelAngle=0, labelOverlap=True)),
            y=alt.Y("share:Q", axis=percent_axis()),
            color=alt.Color("ratio:Q", scale=BUSY, legend=None),
        )
    )
    rule = (
        draw(f"fair_{name}")
        .mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color=ink)
        .encode(y="fair:Q")
    )
    return Figure(
        f"{name}: {run.name()}",
        Drawing((bars + rule).properties(height=190)),
        f"Loads of {len(share_E)} experts at the end of run {name}: the busiest has "
        f"{max(share_E):.1%}, the fair share is {fair:.1%}.",
        {f"load_{name}": data, f"fair_{name}": [{"fair": fair}]},
    )


def poster(run_a: Run, run_b: Run) -> Figure:
    """Both runs on one sheet: loads at the end, MaxVio and loss over the steps."""
    loads = [final_load("A", run_a), final_load("B", run_b)]
    lines = [over_steps(run_a, run_b, measure) for measure in ("max_vio", "loss")]
    below = _side_by_side(lines).resolve_scale(color="independent", strokeDash="independent")
    sheet = alt.vconcat(_side_by_side(loads).resolve_scale(y="shared"), below).resolve_scale(
        color="independent", strokeDash="independent"
    )
    figures = loads + lines
    return Figure(
        "Two runs on the same seed",
        Drawing(sheet),
        " ".join(figure.alt for figure in figures),
        {name: rows for figure in figures for name, rows in figure.data.items()},
    )


def _side_by_side(figures: list[Figure]) -> alt.HConcatChart:
    sheet = alt.HConcatChart()
    for figure in figures:
        assert not isinstance(figure.chart, alt.VConcatChart)
        sheet |= figure.chart.properties(title=figure.title, width=360)
    return sheet
