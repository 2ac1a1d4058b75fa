"""Mends a phone's menu.

It covers the page, and Streamlit leaves it open when another page was chosen. Its groups stand in a
list of which they are no items, which screen readers cannot read as a list.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component(
        "moe_menu",
        html='<span class="moe-unseen"></span>',
        js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        isolate_styles=False,  # so that the page's style sheet takes it out of the flow
    )


def close_menu(page: str) -> None:
    """Close the menu of a phone if another page was chosen in it."""
    _component()(data=page, key="close_menu")
