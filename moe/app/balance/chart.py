"""Charts of the page on balance: two runs over their steps, and their ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

from ...pictures.experts import expert_name
from ...pictures.figure import Chart, Drawing, Figure, draw, drawn_once
from ...pictures.marks import by_load, expert_x, goal, percent_axis, run_lines, sheet, titled
from ...pictures.palette import PAPER_INK, RUN_COLOURS
from ...training.runs import Run


@dataclass(frozen=True)
class Measure:
    """A number of each step: its title, what it means, and how to write it."""

    title: str
    meaning: str
    format: str


MEASURES = {
    "max_vio": Measure("Busiest expert", "how far it is above its fair share (MaxVio)", ".2f"),
    "dead": Measure("Idle experts", "experts that nothing in the step chose", ".0f"),
    "dropped": Measure("Turned away", "share of the work that found its expert full", ".0%"),
    "loss": Measure("Loss", "how wrong the guesses are", ".2f"),
}


ON_PAGE = 280  # pixels with the key and the axis, which leave 160 for the lines


def over_steps(run_a: Run, run_b: Run, measure: str, height: int = ON_PAGE) -> Figure:
    """Draw one measure of both runs over the steps, averaged to at most 100 points a line."""
    what = MEASURES[measure]
    data, ends = [], []
    for name, run in (("A", run_a), ("B", run_b)):
        series = run.series(measure)
        data += [{"run": name, "step": step, "value": value} for step, value in series]
        ends.append(f"{name} ({run.name()}) ends at {format(series[-1][1], what.format)}")
    return Figure(
        f"{what.title}: {what.meaning}",
        _over_steps(measure, height),
        f"{what.title} over {run_a.settings.steps} steps. {'; '.join(ends)}.",
        {f"over_steps_{measure}": data},
    )


@drawn_once
def _over_steps(measure: str, height: int) -> Chart:
    what = MEASURES[measure]
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(zero=measure != "loss"),
        axis=alt.Axis(title=None, tickCount=4, format=what.format if "%" in what.format else ""),
    )
    lines = run_lines(f"over_steps_{measure}", y, what.title, RUN_COLOURS)
    return lines.properties(height=height)


def final_load(name: str, run: Run, ink: str = PAPER_INK) -> Figure:
    """Draw the share of the work of each expert at the end of a run against the fair share."""
    load_E = run.end_load()
    fair = 1 / load_E.size
    share_E = (load_E / max(int(load_E.sum()), 1)).tolist()
    data = [
        {"expert": expert_name(e), "share": share, "ratio": share / fair}
        for e, share in enumerate(share_E)
    ]
    bars = draw(f"load_{name}").mark_bar()
    bars = bars.encode(
        x=expert_x(labelOverlap=True), y=alt.Y("share:Q", axis=percent_axis()), color=by_load()
    )
    rule = goal(f"fair_{name}", ink, y="fair:Q")
    return Figure(
        f"{name}: {run.name()}",
        Drawing((bars + rule).properties(height=190)),
        f"Work of {len(share_E)} experts at the end of run {name}: the busiest has "
        f"{max(share_E):.1%}, the fair share is {fair:.1%}.",
        {f"load_{name}": data, f"fair_{name}": [{"fair": fair}]},
    )


def poster(run_a: Run, run_b: Run) -> Figure:
    """Draw both runs on one sheet: loads at the end, MaxVio and loss over the steps."""
    loads = [final_load("A", run_a), final_load("B", run_b)]
    lines = [over_steps(run_a, run_b, measure, 190) for measure in ("max_vio", "loss")]
    # Colour means the load above and the run below, so no scale of colours holds for both.
    apart: dict[str, Any] = {"color": "independent", "strokeDash": "independent"}
    above, below = (alt.hconcat(*titled(figures, 360)) for figures in (loads, lines))
    chart = alt.vconcat(above.resolve_scale(y="shared"), below.resolve_scale(**apart))
    return sheet("Two runs on the same seed", loads + lines, chart.resolve_scale(**apart))
