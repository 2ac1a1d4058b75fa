"""The page Play: a model that trains while it is watched, in one of its views."""

from __future__ import annotations

import streamlit as st

from . import text


def show() -> None:
    """Show the page."""
    st.title("Can you keep every expert busy?")
    st.markdown(
        "A small model learns to guess the next character, right now. Its router sends each "
        "character to a few experts. Change anything while it runs."
    )
    text.show()
