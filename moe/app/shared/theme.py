"""Follows the visitor's theme: what the server colours is drawn anew when it changes.

Streamlit changes its own colours in the browser, as when evening comes, and tells the server only
with the next click; charts and the frame would keep the letters of the theme before.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from ...pictures.palette import PAPER
from .parts import ink

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "moe_theme",
        html='<span class="moe-unseen"></span>',
        js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        isolate_styles=False,  # so that the page's style sheet takes it out of the flow
    )


def follow_theme() -> None:
    """Run the page again once its paper is no longer the one that it was drawn for."""
    _component()(data=PAPER[ink()], key="follow_theme", on_paper_change=lambda: None)
