"""Charts of the page on savings: counted costs, measured milliseconds, bytes by batch."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from ...pictures.figure import Chart, Figure, Rows, draw, drawn_once
from ...pictures.marks import keyed, labelled_bars, looks, name_axis, with_room
from ...pictures.palette import BLUE, DASHES, GREEN, PAPER_INK, SHAPES, VERMILION
from ...studies.savings import ACTIVE, MOE, TOTAL, CountedCost, MeasuredCost

COLOURS = {MOE: BLUE, TOTAL: VERMILION, ACTIVE: GREEN}
SHORT = {MOE: "MoE", TOTAL: "dense, same total", ACTIVE: "dense, same active"}


@dataclass(frozen=True)
class Quantity:
    """A counted number: its title, and the unit that makes it readable."""

    title: str
    unit: str
    scale: float


QUANTITIES = {
    "params": Quantity("Weights stored", "M", 1e6),
    "active_params": Quantity("Weights one token uses", "M", 1e6),
    "flops_per_token": Quantity("Operations per token", "M", 1e6),
    "weight_bytes": Quantity("Weight bytes a batch reads", "MB", 1e6),
}


def counted(costs: list[CountedCost], quantity: str, ink: str = PAPER_INK) -> Figure:
    """Draw one counted quantity of the MoE layer and both dense yardsticks."""
    what = QUANTITIES[quantity]
    data = [
        {
            "layer": SHORT[cost.layer],
            "kind": cost.layer,
            "value": getattr(cost, quantity) / what.scale,
            "label": f"{getattr(cost, quantity) / what.scale:.3g} {what.unit}",
        }
        for cost in costs
    ]
    spoken = ", ".join(f"{row['kind']} {row['label']}" for row in data)
    return Figure(what.title, _counted(ink), f"{what.title}: {spoken}.", {"costs": data})


@drawn_once
def _counted(ink: str) -> Chart:
    base = draw("costs").encode(
        y=alt.Y("layer:N", sort=None, axis=name_axis(labelLimit=140)),
        x=alt.X("value:Q", axis=None, scale=with_room(1.4)),
    )
    return labelled_bars(base, ink, 30, keyed(alt.Color, "kind:N", COLOURS))


@drawn_once
def _log_lines(value: str, unit: str, spread: bool = False) -> Chart:
    """Draw the layers over the batch size; with `spread`, rules from the runs' least to most.

    Both axes are logarithmic, on which a cost that is proportional to the tokens is a straight
    line.
    """
    legend = alt.Legend(
        title=None, orient="bottom", direction="vertical", labelLimit=260, symbolSize=90
    )
    y_scale = alt.Scale(type="log")
    y_axis = alt.Axis(title=unit, tickCount=5, format="~g")
    base = draw("costs").encode(
        x=alt.X(
            "n_tokens:Q",
            scale=alt.Scale(type="log", base=4),
            axis=alt.Axis(
                title="tokens in a batch", values=[4**power for power in range(7)], grid=False,
                format=",d",
            ),
        ),
        color=keyed(alt.Color, "layer:N", COLOURS, legend),
    )  # fmt: skip
    y = alt.Y(f"{value}:Q", scale=y_scale, axis=y_axis)
    shape = keyed(alt.Shape, "layer:N", looks(COLOURS, SHAPES), legend)
    tooltip = [
        "layer:N",
        alt.Tooltip("n_tokens:Q", title="tokens", format=","),
        alt.Tooltip(f"{value}:Q", title=unit, format=".3~g"),
    ]
    # Dashes by layer and not as a channel, whose key Vega would draw over that of the shapes.
    layers = [
        base.transform_filter(f"datum.layer == '{layer}'")
        .mark_line(strokeWidth=2, strokeDash=dash)
        .encode(y=y)
        for layer, dash in looks(COLOURS, DASHES).items()
    ]
    layers.append(
        base.mark_point(size=70, filled=True, opacity=1).encode(y=y, shape=shape, tooltip=tooltip)
    )
    if spread:
        runs = base.mark_rule(strokeWidth=5, opacity=0.35)
        layers.append(runs.encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"))
    return alt.LayerChart(layer=layers).properties(height=300)


def _spoken(records: list[MeasuredCost], value: str, unit: str) -> str:
    """Say the first and the last point of each line."""
    parts = []
    for layer in COLOURS:
        line = [record for record in records if record.layer == layer]
        ends = " to ".join(f"{getattr(record, value):.3g}" for record in (line[0], line[-1]))
        parts.append(f"{layer} {ends} {unit}")
    return f"From {records[0].n_tokens:,} to {records[-1].n_tokens:,} tokens: {'; '.join(parts)}."


def measured(records: list[MeasuredCost]) -> Figure:
    """Draw how long a forward pass takes by batch size, from the fastest run to the slowest."""
    data = [
        {
            "layer": r.layer,
            "n_tokens": r.n_tokens,
            "milliseconds": r.milliseconds,
            "low": r.low,
            "high": r.high,
        }
        for r in records
    ]
    return Figure(
        "Measured: time for one batch",
        _log_lines("milliseconds", "milliseconds", spread=True),
        _spoken(records, "milliseconds", "milliseconds"),
        {"costs": data},
    )


def executed(records: list[MeasuredCost]) -> Figure:
    """Draw the operations of a forward pass by batch size, as counted when they were executed."""
    data = [
        {"layer": r.layer, "n_tokens": r.n_tokens, "gflops": r.executed_gflops} for r in records
    ]
    return Figure(
        "Counted: operations for one batch",
        _log_lines("gflops", "billion operations"),
        _spoken(records, "executed_gflops", "billion operations"),
        {"costs": data},
    )


def bytes_by_batch(by_batch: Rows) -> Figure:
    """Draw the bytes of weights read from memory over the batch size."""
    moe = [row["megabytes"] for row in by_batch if row["layer"] == MOE]
    return Figure(
        "Weights that a batch reads from memory",
        _log_lines("megabytes", "megabytes"),
        f"The MoE reads {moe[0]:.3g} megabytes for one token and {moe[-1]:.3g} for a large batch, "
        "which touches all experts.",
        {"costs": by_batch},
    )
