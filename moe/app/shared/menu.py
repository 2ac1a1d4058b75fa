"""Mends a phone's menu.

It covers the page, and Streamlit leaves it open when another page was chosen. Its groups stand in a
list of which they are no items, which screen readers cannot read as a list.
"""

from __future__ import annotations

from .component import UNSEEN, component

_menu = component("menu", __file__, UNSEEN, "menu.js", on_page=True)


def close_menu(page: str) -> None:
    """Close the menu of a phone if another page was chosen in it."""
    _menu(data=page, key="close_menu")
