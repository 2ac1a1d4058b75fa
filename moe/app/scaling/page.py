"""The page How many experts: two sliders, the law under them, and 223 models that were trained."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...numbers import count
from ...pictures.figure import Figure
from ...scaling.budget import border_words
from ..shared import parts
from ..shared.finger import Finger, Slider
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story

PAGE = "scaling"
SLIDERS = (Slider("size", story.SIZES, listed=True), Slider("pool", story.EXPERTS, listed=True))


def show() -> None:
    """Show the page."""
    parts.heading(
        "How many experts should a model have?",
        "More experts make it better and not slower. They only take memory.",
    )
    side, stage = st.columns([1, 2.4], gap="medium")
    with side:
        at = _controls()
        said = st.container()
    finger = Finger(SLIDERS, **at)
    ink = parts.ink()

    def law(**at: Any) -> Figure:
        return charts.law(story.comparison(**at), ink)

    def beside(**at: Any) -> Figure:
        return charts.beside(story.comparison(**at), ink)

    with said:
        finger.words(story.words)
    with stage:
        finger.show(law, "law")
        finger.show(beside, "beside")
    finger.watch()
    st.caption(story.law_words())
    st.subheader("Do experts stop helping?")
    parts.explained(border_words(story.LAW))
    found = story.comparison(**at)
    share_box(
        PAGE,
        share.code(**at),
        share.command(**at),
        lambda: share.document(found),
        lambda: charts.law(found),
        f"{count(at['size'])} numbers used at a time, {at['pool']} experts",
    )
    parts.next_step(PAGE, story.learnt(**at))


def _controls() -> dict[str, int]:
    return {
        "size": st.select_slider(
            "Numbers used at a time", story.SIZES, story.USUAL_SIZE, format_func=count,
            key="size", help="Parameters that one token is multiplied with.", **BOUND,
        ),
        "pool": st.select_slider(
            "Experts to choose from", story.EXPERTS, story.USUAL_EXPERTS, key="pool", **BOUND
        ),
    }  # fmt: skip
