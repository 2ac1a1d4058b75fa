"""Follows the visitor's theme: what the server colours is drawn anew when it changes.

Streamlit changes its own colours in the browser, as when evening comes, and tells the server only
with the next click; charts and the frame would keep the letters of the theme before.
"""

from __future__ import annotations

from ...pictures.palette import PAPER
from .component import UNSEEN, component
from .parts import ink

_theme = component("theme", __file__, UNSEEN, "theme.js", on_page=True)


def follow_theme() -> None:
    """Run the page again once its paper is no longer the one that it was drawn for."""
    _theme(data=PAPER[ink()], key="follow_theme", on_paper_change=lambda: None)
