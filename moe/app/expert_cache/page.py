"""The page Little memory: how often an expert is there when not all of them fit."""

from __future__ import annotations

import streamlit as st

from ..shared import parts
from ..shared.finger import Finger, Slider
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story
from .story import LittleMemory

PAGE = "expert-cache"


def show() -> None:
    """Show the page."""
    parts.heading(
        "What if its experts do not all fit?",
        "Fast memory holds some experts of a real model. The others are read when a token asks "
        "for them, and the text waits. Who should stay?",
    )
    picture, controls = st.columns([3, 1])
    with controls:
        settings = _settings()
    ink = parts.ink()
    finger = Finger([Slider("slots", story.SIZES, listed=True)], slots=settings.slots)
    with picture:
        finger.show(lambda slots: charts.there(slots, settings.task, ink), "there")
        finger.words(lambda slots: story.verdict(slots, settings.task))
    finger.watch()
    st.markdown(story.ahead_words(settings.slots, settings.task))
    st.subheader("How fast does it write then?")
    parts.show(charts.how_fast(settings, ink), "how_fast")
    st.markdown(story.speed_words(settings))
    with st.expander("More room, and every figure"):
        parts.show(charts.by_room(settings.task, ink), "by_room")
        st.table(story.rows(settings))
    st.markdown(
        "For a recording of your own: `moe cache trace.npz --slots 8,16,32`, or "
        "[open it](/your-model?closer=Little+memory)."
    )
    st.caption(story.about())
    share_box(
        PAGE,
        share.code(settings),
        None,
        lambda: share.document(settings),
        lambda: charts.there(settings.slots, settings.task),
        f"room for {settings.slots}, {settings.task}",
        lambda: story.rows(settings),
    )
    parts.next_step(PAGE, story.verdict(settings.slots, settings.task))


def _settings() -> LittleMemory:
    """Controls; all are in the address."""
    control = LittleMemory.control
    return LittleMemory(
        slots=st.select_slider(
            "Experts kept in each layer", **control("slots"), key="slots", **BOUND
        ),
        task=st.selectbox("Task", **control("task"), key="task", **BOUND),
        machine=st.selectbox("Machine", **control("machine"), key="machine", **BOUND),
        way=st.selectbox("The others come over", **control("way"), key="way", **BOUND),
    )
