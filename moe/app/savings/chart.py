"""Charts of the page on savings: counted costs, bytes by batch, and measured speed."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from ...numbers import count
from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import end_labels, goal, key, keyed, looks, name_axis
from ...pictures.palette import BLUE, FAIR, GREEN, PAPER_INK, VERMILION
from ...studies.savings import ACTIVE, MOE, TOTAL, CountedCost, MeasuredCost

COLOURS = {MOE: BLUE, TOTAL: VERMILION, ACTIVE: GREEN}
SHORT = {MOE: "the mixture", TOTAL: "stores as much", ACTIVE: "uses as much"}
ORDINARY = {layer: f"ordinary, {SHORT[layer]}" for layer in (TOTAL, ACTIVE)}
VERSUS = {TOTAL: "against one that stores as much", ACTIVE: "against one that uses as much"}
SHAPES = ("square", "triangle-up")  # of the two yardsticks
TIMES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16]


TITLES = {"params": "Weights stored", "flops_per_token": "Operations for one token"}


def counted(
    costs: Sequence[CountedCost], quantity: str, room: float = 0.0, ink: str = PAPER_INK
) -> Figure:
    """Draw one counted quantity of the MoE layer and both dense yardsticks.

    Parameters
    ----------
    room
        The quantity that the axis has room for, if that is more than is drawn.
    """
    title = TITLES[quantity]
    rows: Rows = [
        {
            "layer": SHORT[cost.layer],
            "kind": cost.layer,
            "value": getattr(cost, quantity),
            "label": count(getattr(cost, quantity), 3),
        }
        for cost in costs
    ]
    spoken = ", ".join(f"{row['kind']} {row['label']}" for row in rows)
    room = max(room, *(row["value"] for row in rows))
    return Figure(
        title,
        _counted(ink),
        f"{title}: {spoken}.",
        {"costs": rows, "room": [{"room": room}]},
    )


@drawn_once
def _counted(ink: str) -> Chart:
    scale = alt.Scale(range=[0, alt.expr("width - 90")], zero=True, nice=False)
    base = draw("costs").encode(
        y=alt.Y("layer:N", sort=None, axis=name_axis(labelLimit=130)),
        x=alt.X("value:Q", axis=None, scale=scale),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(color=keyed(alt.Color, "kind:N", COLOURS))
    # Unseen, so that the axis stays while the bars move.
    room = draw("room").mark_point(opacity=0, aria=False)
    room = room.encode(x=alt.X("room:Q", axis=None, scale=scale))
    return alt.LayerChart(layer=[bars, end_labels(base, ink), room]).properties(height=alt.Step(30))


def bytes_by_batch(by_batch: Rows, ink: str = PAPER_INK) -> Figure:
    """Draw the share of the MoE's weights that a batch reads from memory, over its size."""
    stored = max(row["megabytes"] for row in by_batch if row["layer"] == TOTAL)
    rows = [
        {"n_tokens": row["n_tokens"], "share": row["megabytes"] / stored, "megabytes": megabytes}
        for row in by_batch
        if row["layer"] == MOE
        for megabytes in [row["megabytes"]]
    ]
    active = next(row["megabytes"] for row in by_batch if row["layer"] == ACTIVE) / stored
    first, last = rows[0]["n_tokens"], rows[-1]["n_tokens"]
    levels = [
        {"level": level, "from": first, "to": last, "label": label}
        for level, label in (
            (1.0, f"ordinary, {SHORT[TOTAL]}"),
            (active, f"ordinary, {SHORT[ACTIVE]}"),
        )
    ]
    return Figure(
        "How much of these weights a batch reads from memory",
        _shares(first, last, ink),
        f"The MoE reads {rows[0]['share']:.0%} for one token and {rows[-1]['share']:.0%} for "
        f"{last:,}. A dense layer that stores as much reads all of it at any size, one that uses "
        f"as much {active:.0%}.",
        {"shares": rows, "levels": levels},
    )


@drawn_once
def _shares(first: int, last: int, ink: str) -> Chart:
    x_scale = alt.Scale(type="log", base=4, domain=[first, last], nice=False)
    axis = alt.Axis(
        title="tokens in a batch", values=[4**power for power in range(7)], grid=False, format=",d"
    )
    y_scale = alt.Scale(domain=[0, 1.12], nice=False)
    y_axis = alt.Axis(title=None, format="%", values=[0, 0.25, 0.5, 0.75, 1])
    line = draw("shares").mark_line(strokeWidth=3, color=BLUE, point={"size": 50, "color": BLUE})
    line = line.encode(
        x=alt.X("n_tokens:Q", scale=x_scale, axis=axis),
        y=alt.Y("share:Q", scale=y_scale, axis=y_axis),
        tooltip=[
            alt.Tooltip("n_tokens:Q", title="tokens", format=","),
            alt.Tooltip("share:Q", format=".0%", title="of the weights"),
            alt.Tooltip("megabytes:Q", format=".3~g"),
        ],
    )
    y = alt.Y("level:Q", scale=y_scale, axis=y_axis)
    rules = goal("levels", FAIR, x=alt.X("from:Q", scale=x_scale, axis=axis), x2="to:Q", y=y)
    base = draw("levels").encode(x=alt.X("to:Q", scale=x_scale, axis=axis), y=y)
    words = end_labels(base, ink, align="right", dx=-4, dy=-13)
    return alt.LayerChart(layer=[rules, line, words]).properties(height=260)


def measured(records: Sequence[MeasuredCost], ink: str = PAPER_INK) -> Figure:
    """Draw how many times as fast the MoE was as each dense layer, from its worst run to its best.

    Sizes of a batch stand apart, and the axis doubles from line to line, so that twice as fast and
    twice as slow are equally far from the middle.
    """
    rows: Rows = [
        {
            "versus": VERSUS[r.layer],
            "n_tokens": f"{r.n_tokens:,}",
            "times": r.speed_up,
            "least": r.least,
            "most": r.most,
            "milliseconds": r.milliseconds,
        }
        for r in records
        if r.layer in VERSUS
    ]
    spoken = "; ".join(
        f"{row['n_tokens']} tokens {row['versus']} {row['least']:.2g} to {row['most']:.2g}"
        for row in rows
    )
    return Figure(
        "Measured: how many times as fast",
        _measured(ink),
        f"How many times as fast the MoE was, from its worst run to its best: {spoken}.",
        {"speeds": rows, "even": [{"even": 1}]},
    )


@drawn_once
def _measured(ink: str) -> Chart:
    looks_like = dict(zip(VERSUS.values(), (COLOURS[TOTAL], COLOURS[ACTIVE]), strict=True))
    legend = key(symbolSize=90, symbolOpacity=1, labelLimit=260, direction="vertical")
    scale = alt.Scale(type="log", base=2, nice=False, domain=[TIMES[0], TIMES[-1]], clamp=True)
    words = (
        "datum.value == 1 ? 'equal' : datum.value > 1 ? datum.value + '× faster' : "
        "1 / datum.value + '× slower'"
    )
    axis = alt.Axis(title=None, values=TIMES[1:-1], labelExpr=words)
    base = draw("speeds").encode(
        x=alt.X("n_tokens:N", sort=None, axis=alt.Axis(title="tokens in a batch", labelAngle=0)),
        xOffset=alt.XOffset("versus:N", sort=None),
        color=keyed(alt.Color, "versus:N", looks_like, legend),
    )
    spans = base.mark_rule(strokeWidth=6, opacity=0.4)
    spans = spans.encode(y=alt.Y("least:Q", scale=scale, axis=axis), y2="most:Q")
    points = base.mark_point(size=80, filled=True, opacity=1)
    points = points.encode(
        y=alt.Y("times:Q", scale=scale, axis=axis),
        shape=keyed(alt.Shape, "versus:N", looks(VERSUS.values(), SHAPES), legend),
        tooltip=[
            "versus:N",
            alt.Tooltip("n_tokens:N", title="tokens"),
            alt.Tooltip("times:Q", format=".2f", title="times as fast"),
            alt.Tooltip("least:Q", format=".2f", title="worst run"),
            alt.Tooltip("most:Q", format=".2f", title="best run"),
            alt.Tooltip("milliseconds:Q", format=".3~g", title="the other's milliseconds"),
        ],
    )
    even = goal("even", ink, y=alt.Y("even:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[even, spans, points]).properties(height=320)
