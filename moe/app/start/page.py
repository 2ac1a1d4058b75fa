"""The page Start: what a mixture of experts is, in sections from top to bottom."""

from __future__ import annotations

import streamlit as st

from ..shared import parts
from ..shared.first_model import ready_model
from . import sentence


def show() -> None:
    """Show the page."""
    parts.heading(
        "What does a mixture of experts do?",
        "Instead of one big network that works on everything, many small ones, the *experts*, "
        "share the work: for each character a *router* picks two of eight.",
        "left alone, the router sends most characters to a few experts while others starve. "
        "Move the slider, and the work spreads.",
    )
    with st.spinner("Training a tiny model on this computer, one second …", show_time=False):
        model = ready_model()
    routing = sentence.show(model)
    st.caption(model.describe())
    parts.next_step("start", routing.words())
