"""Charts of the page on savings: counted costs, measured milliseconds, bytes by batch."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from ...pictures.figure import PAPER_INK, Chart, Figure, Rows, draw, drawn_once, with_room
from ...studies.savings import ACTIVE, MOE, TOTAL, CountedCost, MeasuredCost

# Okabe-Ito; shape and dash say the same as colour.
LAYERS = [MOE, TOTAL, ACTIVE]
COLOURS, SHAPES = ["#0072B2", "#D55E00", "#009E73"], ["circle", "square", "triangle-up"]
DASHES = [[1, 0], [7, 4], [2, 3]]
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
    """One counted quantity of the MoE layer and both dense yardsticks."""
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
        y=alt.Y(
            "layer:N",
            sort=None,
            axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=140),
        ),
        x=alt.X("value:Q", axis=None, scale=with_room(1.4)),
    )
    bars = base.mark_bar(cornerRadiusEnd=3).encode(
        color=alt.Color("kind:N", scale=alt.Scale(domain=LAYERS, range=COLOURS), legend=None)
    )
    texts = base.mark_text(align="left", dx=5, fontSize=12, color=ink).encode(text="label:N")
    return (bars + texts).properties(height=alt.Step(30))


@drawn_once
def _log_lines(value: str, unit: str, spread: bool = False) -> Chart:
    """Lines over the batch size, both axes logarithmic, one a layer; as rules what runs span."""
    legend = alt.Legend(
        title=None, orient="bottom", direction="vertical", labelLimit=260, symbolSize=90
    )
    y_scale = alt.Scale(type="log")
    y_axis = alt.Axis(title=unit, tickCount=5, format="~g")
    colour = alt.Color("layer:N", scale=alt.Scale(domain=LAYERS, range=COLOURS), legend=legend)
    base = draw("costs").encode(
        x=alt.X(
            "n_tokens:Q",
            scale=alt.Scale(type="log", base=4),
            axis=alt.Axis(
                title="tokens in a batch",
                values=[1, 4, 16, 64, 256, 1024, 4096],
                grid=False,
                format=",d",
            ),
        ),
        color=colour,
    )
    y = alt.Y(f"{value}:Q", scale=y_scale, axis=y_axis)
    shape = alt.Shape("layer:N", scale=alt.Scale(domain=LAYERS, range=SHAPES), legend=legend)
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("n_tokens:Q", title="tokens", format=","),
        alt.Tooltip(f"{value}:Q", title=unit, format=".3~g"),
    ]
    # Dashes by layer and not as a channel, whose key Vega would draw over that of the shapes.
    layers = [
        base.transform_filter(f"datum.layer == '{layer}'")
        .mark_line(strokeWidth=2, strokeDash=dash)
        .encode(y=y)
        for layer, dash in zip(LAYERS, DASHES, strict=True)
    ]
    layers.append(
        base.mark_point(size=70, filled=True, opacity=1).encode(y=y, shape=shape, tooltip=tooltip)
    )
    if spread:
        runs = base.mark_rule(strokeWidth=5, opacity=0.35)
        layers.append(runs.encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q"))
    return alt.LayerChart(layer=layers).properties(height=300)


def _spoken(records: list[MeasuredCost], value: str, unit: str) -> str:
    """First and last point of each line, in words."""
    parts = []
    for layer in LAYERS:
        own = [record for record in records if record.layer == layer]
        ends = " to ".join(f"{getattr(record, value):.3g}" for record in (own[0], own[-1]))
        parts.append(f"{layer} {ends} {unit}")
    return f"From {records[0].n_tokens:,} to {records[-1].n_tokens:,} tokens: {'; '.join(parts)}."


def measured(records: list[MeasuredCost]) -> Figure:
    """Milliseconds of a forward pass over the batch size, from the fastest run to the slowest."""
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
    """Operations of a forward pass over the batch size, counted where they were executed."""
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
    """Weights read from memory over the batch size."""
    moe = [row["megabytes"] for row in by_batch if row["layer"] == MOE]
    return Figure(
        "Weights that a batch reads from memory",
        _log_lines("megabytes", "megabytes"),
        f"The MoE reads {moe[0]:.3g} megabytes for one token and {moe[-1]:.3g} for a large batch, "
        "which touches all experts.",
        {"costs": by_batch},
    )
