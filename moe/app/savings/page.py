"""The page Savings: how much work a mixture of experts saves, counted and measured."""

from __future__ import annotations

import streamlit as st

from ...speed.machine import Machine, measure_machine
from ...studies import savings
from ..shared import parts
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from ..shared.visitor import teller
from . import chart as charts
from . import share, story

ASKED = "measured_for"  # in the visitor's session: the shape whose measurement was asked for


def machine() -> Machine:
    """Measure this computer once for all visitors."""
    with st.spinner("Measuring what this computer can do …", show_time=False):
        return KEPT.of("machine", measure_machine)


def measured(settings: savings.SavingsSettings) -> list[savings.MeasuredCost]:
    """Time the layers once for all visitors."""
    tell = teller(st.empty())
    with st.spinner("Measuring all three layers on this computer …", show_time=False):
        times = KEPT.of(
            ("savings", settings),
            lambda: savings.measure(settings, on_pause=tell),
            waiting=lambda: tell("Another visitor is measuring just these."),
        )
    tell("")
    return times


def show() -> None:
    """Show the page."""
    parts.heading(
        "How much work does it save?",
        "A mixture of experts stores many weights and uses few of them at a time. Fair "
        "comparisons are two: with an ordinary (dense) layer that *stores* as much, and with one "
        "that *uses* as much.",
    )
    see = st.empty()
    settings = _settings()
    costs = savings.count(settings)
    see.markdown(parts.to_see(story.count_words(settings)))
    st.subheader("Counted")
    for column, quantity in zip([*st.columns(2), *st.columns(2)], charts.QUANTITIES, strict=True):
        with column:
            parts.show(charts.counted(costs, quantity, parts.ink()), f"counted_{quantity}")
    by_batch = charts.bytes_by_batch(savings.bytes_by_batch(settings))
    parts.show(by_batch, "bytes")
    times = _measured(settings)
    share_box(
        "savings",
        share.code(settings),
        "moe bench",
        lambda: share.document(settings, costs, times, machine() if times else None),
        lambda: charts.measured(times) if times else by_batch,
    )
    parts.next_step("savings", story.count_words(settings))


def _measured(settings: savings.SavingsSettings) -> list[savings.MeasuredCost]:
    """Time the layers when asked to, and show it; empty if nothing was measured of this shape."""
    st.subheader("Measured on this computer")
    problem = savings.too_large(settings)
    if problem:
        st.info(problem)
        return []
    st.markdown(
        "Operations are not time. A measurement takes up to a minute, in which nothing else is "
        "trained or measured here."
    )
    if st.button("Measure these layers", key="measure"):
        st.session_state[ASKED] = settings
    if st.session_state.get(ASKED) != settings:
        return []
    times = measured(settings)
    verdict = story.verdict(settings, times, machine())
    st.markdown(f"**{verdict.text}**")
    left, right = st.columns(2)
    with left:
        parts.show(charts.measured(times), "measured")
    with right:
        parts.show(charts.executed(times), "executed")
    st.subheader("From which batch size on?")
    parts.metrics(verdict.figures())
    st.caption(
        f"This computer: {machine().describe()}. A dense layer counts as the faster of two. "
        "Measurements of a busy computer differ: lines through the points go from the fastest run "
        "to the slowest."
    )
    return times


def _settings() -> savings.SavingsSettings:
    experts, k, shared, width, model = st.columns(5)
    n_experts = experts.slider("Experts", 2, 64, 16, key="experts", **BOUND)
    with k:
        per_token = parts.at_most(
            st.slider("Experts per token", 1, 16, 2, key="k", **BOUND), n_experts
        )
    return savings.SavingsSettings(
        n_experts=n_experts,
        k=per_token,
        n_shared=shared.slider("Shared experts", 0, 4, 0, key="shared", **BOUND),
        d_expert=width.select_slider(
            "Width of an expert", [64, 128, 256, 512], 256, key="width", **BOUND
        ),
        d_model=model.select_slider(
            "Width of a token", [64, 128, 256, 512], 256, key="model", **BOUND
        ),
    )
