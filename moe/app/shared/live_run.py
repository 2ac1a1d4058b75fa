"""A run of the visitor's own on a page: its button, Pause and Stop, and what it shows meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import streamlit as st

from ...speed.warm import compile_elsewhere, first_run
from .ask import locked
from .outside import show_problem
from .visitor import visitor
from .worker import PAUSED, WORKS, Work

EVERY = 1.0  # seconds between two looks at a run: a browser is still drawing the one before


def live_run(
    name: str,
    label: str,
    make: Callable[[], Iterator[Any]],
    so_far: Callable[[tuple[Any, ...]], None],
) -> None:
    """Offer to begin a run, and show the visitor's own one, also if she comes back to the page.

    Parameters
    ----------
    name
        Of the run: one for each page.
    label
        Of the button that begins it.
    make
        Begins the run.
    so_far
        Draws the records that there are.
    """
    who = visitor()
    work = WORKS.of(who, name)
    if st.button(
        "Begin anew" if work else label, key=f"{name}_begin",
        disabled=locked() or (work is not None and work.under_way),
    ):  # fmt: skip
        try:
            WORKS.begin(who, name, lambda: compiled(make))
        except ValueError as error:
            show_problem(error)
        else:
            st.rerun()
    if WORKS.other(who, name):
        st.caption("Your run on another page goes on meanwhile; this one would end it.")
    if work is not None:
        _watched(name, so_far, EVERY if work.under_way else None)


def compiled(make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Begin a run once the kernels of language models are compiled, by another process if need be.

    Here it would hold up every page for the better part of a minute.
    """
    if first_run(language=True):
        with suppress(OSError):  # then this process compiles
            compile_elsewhere(language=True).wait()
    return make()


def _watched(name: str, so_far: Callable[[tuple[Any, ...]], None], every: float | None) -> None:
    """Look at the run now, and again and again while it is under way."""

    @st.fragment(run_every=every)
    def look() -> None:
        work = WORKS.of(visitor(), name)
        if work is None:
            return
        going = work.under_way  # before its records are read, so that its last ones are shown
        st.caption(work.words)
        if going:
            _buttons(name, work)
        so_far(tuple(work.records))
        if every is not None and not going:
            st.rerun()

    look()


def _buttons(name: str, work: Work) -> None:
    with st.container(horizontal=True):
        if work.wants == PAUSED:
            st.button("Go on", key=f"{name}_resume", on_click=work.resume)
        else:
            st.button("Pause", key=f"{name}_pause", on_click=work.pause)
        st.button("Stop", key=f"{name}_stop", on_click=work.stop)
