"""The picture of a step of Play: who does the work."""

from __future__ import annotations

import altair as alt

from ...pictures.experts import expert_name
from ...pictures.figure import Chart, Figure, draw, drawn_once, spoken
from ...pictures.marks import by_load, goal, name_axis, percent_axis
from ...pictures.palette import PAPER_INK
from ...training import LiveRecord
from ..shared.stage.words import work_words
from .plan import Plan


def shares(plan: Plan, record: LiveRecord, ink: str = PAPER_INK) -> Figure:
    """Draw each expert's share of the work in one step, against the fair share."""
    n_experts = record.share_E.size
    rows = [
        {"expert": expert_name(e), "share": share, "ratio": share * n_experts,
         "label": f"{share:.0%}"}
        for e, share in enumerate(record.share_E.tolist())
    ]  # fmt: skip
    return Figure(
        f"Share of the work in step {record.step}",
        _shares(ink),
        f"Bars of {n_experts} experts in step {record.step} of the run {plan.written()}. "
        f"{work_words([record])} {spoken(rows, 'expert')}",
        {"shares": rows, "fair": [{"fair": 1 / n_experts}]},
    )


@drawn_once
def _shares(ink: str) -> Chart:
    bars = draw("shares").mark_bar(cornerRadiusEnd=2)
    bars = bars.encode(
        x=alt.X("expert:N", sort=None, axis=name_axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("share:Q", axis=percent_axis()),
        color=by_load(),
        tooltip=["expert:N", alt.Tooltip("share:Q", format=".1%", title="share of the work")],
    )
    return alt.LayerChart(layer=[bars, goal("fair", ink, y="fair:Q")]).properties(height=220)
