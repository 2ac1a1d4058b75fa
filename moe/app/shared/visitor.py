"""The visitor who asks: a key of the session, and whether she is still there."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ...speed.turns import TURNS, queue_words


def visitor() -> Hashable:
    """Key of the session that runs here; outside of a page every call is another visitor's."""
    context = get_script_run_ctx(suppress_warning=True)
    return object() if context is None else context.session_id


def still_here() -> None:
    """End this page's run if its visitor has left or changed a control meanwhile."""
    if get_script_run_ctx(suppress_warning=True) is not None:
        _ = "any" in st.session_state  # each look at the state is where Streamlit ends a run


def teller(place: Any) -> Callable[[str], None]:
    """Return a function that says words at a place when they change.

    It ends the page's run once the visitor has left, so it is also called with the same words.
    """
    said = ""

    def tell(words: str) -> None:
        nonlocal said
        if words == said:
            still_here()
            return
        said = words
        place.caption(words) if words else place.empty()

    return tell


def queue_teller(place: Any) -> Callable[[int], None]:
    """Return a `waiting` of the queue that shows the visitor's place in it."""
    tell = teller(place)
    return lambda number: tell(f"{queue_words(number)}.")


TURNS.visitor = visitor  # a page that waits stands in the queue as its visitor
