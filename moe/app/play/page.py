"""The page Play: a model that trains while it is watched, in one of its views."""

from __future__ import annotations

import streamlit as st

from ..shared.parts import BOUND
from . import plane, share, text

VIEWS = ("Text", "Plane")


def show() -> None:
    """Show the page in the view of the address."""
    title, view = st.columns([5, 1], vertical_alignment="bottom")
    chosen = view.container(horizontal_alignment="right").segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="view", width="content",
        label_visibility="collapsed", **BOUND,
    )  # fmt: skip
    if chosen == VIEWS[1]:
        title.title(plane.QUESTION)
        plane.show()
        return
    title.title("Can you keep every expert busy?")
    st.markdown(
        "A small model learns to guess the next character, right now. Its router sends each "
        "character to a few experts. Change anything while it runs."
    )
    text.show()
    share.share_run()
