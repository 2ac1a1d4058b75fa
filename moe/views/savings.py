"""The page Savings: how much work a mixture of experts saves, counted and measured."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..charts import savings as charts
from ..lab import savings, snippets
from ..lab.export import savings_json
from ..lab.kept import KEPT
from ..lab.machine import Machine, measure_machine
from . import parts
from .outside import show_problem


def machine() -> Machine:
    """Measure this computer once for all visitors."""
    with st.spinner("Measuring what this computer can do …", show_time=False):
        return KEPT.of("machine", measure_machine)


def measured(settings: savings.SavingsSettings) -> list[savings.MeasuredCost]:
    """Time the layers once for all visitors."""
    with st.spinner("Measuring all three layers on this computer …", show_time=False):
        return KEPT.of(("savings", settings), lambda: savings.measure(settings))


def show() -> None:
    """Show the page."""
    parts.heading(
        "How much work does it save?",
        "A mixture of experts stores many weights and uses few of them at a time. Fair "
        "comparisons are two: with an ordinary (dense) layer that *stores* as much, and with one "
        "that *uses* as much.",
        "against the first it saves most of the arithmetic, against the second nothing. Time "
        "follows the arithmetic only in large batches.",
    )
    controls = st.container()
    try:
        with controls:
            settings = _settings()
        costs = savings.count(settings)
    except ValueError as error:
        show_problem(error)
        return
    st.subheader("Counted")
    for column, quantity in zip([*st.columns(2), *st.columns(2)], charts.QUANTITIES, strict=True):
        with column:
            parts.show(charts.counted(costs, quantity, parts.ink()), f"counted_{quantity}")
    st.markdown(savings.count_words(settings))
    st.subheader("Measured on this computer")
    try:
        times = measured(settings)
    except ValueError as error:
        show_problem(error)
        return
    said = savings.verdict(settings, times, machine())
    st.markdown(f"**{said.text}**")
    left, right = st.columns(2)
    with left:
        parts.show(charts.measured(times), "measured")
    with right:
        parts.show(charts.executed(times), "executed")
    st.subheader("From which batch size on?")
    figures = (
        ("Faster than the dense layer of equal total from", said.total_words()),
        ("Faster than the dense layer of equal active from", said.active_words()),
        ("Nine in ten experts are read from", f"{said.all_read_batch:,} tokens"),
        ("Break-even: arithmetic hides the reading from", f"{said.break_even_batch:,} tokens"),
    )
    for column, (label, value) in zip(st.columns(4), figures, strict=True):
        column.metric(label, value)
    parts.show(charts.bytes_by_batch(savings.bytes_by_batch(settings)), "bytes")
    st.caption(f"This computer: {machine().describe()}. A dense layer counts as the faster of two.")
    parts.code_and_exports(
        "savings",
        snippets.savings_code(settings),
        "moe bench",
        lambda: savings_json(settings, costs, times, machine()),
        lambda: charts.measured(times),
    )


def _settings() -> savings.SavingsSettings:
    bound: dict[str, Any] = {"bind": "query-params"}
    experts, k, shared, width, model = st.columns(5)
    n_experts = experts.slider("Experts", 2, 64, 16, key="experts", **bound)
    return savings.SavingsSettings(
        n_experts=n_experts,
        k=k.slider("Experts per token", 1, 16, 2, key="k", **bound),
        n_shared=shared.slider("Shared experts", 0, 4, 0, key="shared", **bound),
        d_expert=width.select_slider(
            "Width of an expert", [64, 128, 256, 512], 256, key="width", **bound
        ),
        d_model=model.select_slider(
            "Width of a token", [64, 128, 256, 512], 256, key="model", **bound
        ),
    )
