"""The chart of the first page: who does the work."""

from __future__ import annotations

import altair as alt

from ...pictures.experts import expert_colour, expert_name, letter_ink
from ...pictures.figure import Chart, Figure, draw, drawn_once
from ...pictures.marks import goal
from ...pictures.palette import GREY, PAPER_INK
from .story import SentenceRouting

LABEL = 0.12  # part of the axis that a label takes, with room around it
MULTIPLES = (0, 1, 2, 3, 4, 6, 8)  # fair shares that the axis names


def load_bars(routing: SentenceRouting, top: float = 0.0, ink: str = PAPER_INK) -> Figure:
    """Draw the share of the work that each expert gets, against the fair share.

    Parameters
    ----------
    top
        Share that the axis shows at least, so that several charts have the same scale.
    ink
        Colour of texts and lines.
    """
    share_E, fair = routing.share_E.tolist(), routing.fair_share
    axis = 1.25 * max(top, routing.hottest_share)
    names = [expert_name(e) for e in range(len(share_E))]
    rows = []
    for e, (share, n) in enumerate(zip(share_E, routing.load_E, strict=True)):
        colour = expert_colour(e, len(share_E)) or GREY
        at, inside = _label_at(share / axis, fair / axis)
        rows.append(
            {
                "expert": names[e],
                "share": share,
                "colour": colour,
                "label_at": at * axis,
                "label": f"{share:.0%}" if share else "idle",
                "ink": letter_ink(colour) if inside else ink,
                "assignments": int(n),
            }
        )
    spoken = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, share_E, strict=True))
    return Figure(
        "Share of the work that each expert gets",
        _load_bars(axis, fair, ink),
        f"Bars of {len(share_E)} experts against a dashed line at the fair share of "
        f"{fair:.1%}. {routing.words()} {spoken}.",
        {"bars": rows, "fair": [{"fair": fair}]},
    )


def _label_at(share: float, fair: float) -> tuple[float, bool]:
    """Where the middle of a bar's label stands, in parts of the axis, and whether in the bar.

    It stands above the bar, unless it would meet the fair line there: then it is in the bar, or
    above the line if the bar is too low for it.
    """
    if share >= fair or share + LABEL <= fair:
        return share + LABEL / 2, False
    return (share - LABEL / 2, True) if share >= LABEL else (fair + LABEL / 2, False)


@drawn_once
def _load_bars(top: float, fair: float, ink: str) -> Chart:
    scale = alt.Scale(domain=[0, top], nice=False)
    x = alt.X("expert:N", axis=alt.Axis(title="expert", labelAngle=0, labelFontWeight="bold"))
    named = alt.Axis(
        title=None,
        values=[fair * times for times in MULTIPLES if fair * times <= top],
        labelExpr=f"datum.value == {fair} ? 'fair {fair:.1%}' : format(datum.value, '.3~%')",
    )
    bars = draw("bars").mark_bar(cornerRadiusEnd=3)
    bars = bars.encode(
        x=x,
        y=alt.Y("share:Q", scale=scale, axis=named),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            "expert:N",
            alt.Tooltip("share:Q", format=".1%", title="share of the work"),
            alt.Tooltip("assignments:Q", title="characters"),
        ],
    )
    labels = draw("bars").mark_text(fontSize=13, fontWeight="bold", baseline="middle")
    labels = labels.encode(
        x=x,
        y=alt.Y("label_at:Q", scale=scale),
        text="label:N",
        color=alt.Color("ink:N", scale=None),
    )
    rule = goal("fair", ink, y=alt.Y("fair:Q", scale=scale))
    return alt.LayerChart(layer=[bars, rule, labels]).properties(height=290)
