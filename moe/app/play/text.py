"""The first view of Play: characters of a text, a router and experts, while the model trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ... import kernels
from ...speed.turns import TURNS
from ..shared import outside
from ..shared.stage.packing import experts_for_stage
from ..shared.visitor import visitor
from .pace import PACE
from .plan import Plan, read
from .player import player, wish
from .session import PlaySession, Wish

RUN = "run"  # in the address
OWN = "play_session"
SHORT_WAIT = 3  # looks at the queue before the browser is told its place


class _LaterError(Exception):
    """There is no seat at once; the argument is the place in the queue."""


def show() -> None:
    """Show the run of the address, or go on with the visitor's own."""
    if RUN in st.query_params and st.session_state.get("play_checked") != st.query_params[RUN]:
        try:
            read(st.query_params[RUN])
        except ValueError as error:
            outside.show_problem(error)
        st.session_state["play_checked"] = st.query_params[RUN]
    live()


@st.fragment
def live() -> None:
    """Answer what the browser wishes for; one run of this fragment is one wish."""
    wanted = wish()
    player(_first() if wanted is None else _answer(wanted))


def _first() -> dict[str, Any]:
    """What the browser begins with: the address's run, and its first steps."""
    try:
        plan, at = read(st.query_params.get(RUN, Plan().written()))
    except ValueError:
        plan, at = Plan(), 0
    return {"run": plan.written(), "at": at, "experts": experts_for_stage(plan.experts)}


def _answer(wanted: Any) -> dict[str, Any]:
    """The wished steps, or why there are none."""
    number = wanted.get("number") if isinstance(wanted, dict) else None
    try:
        asked = Wish.of(wanted)
    except ValueError as error:
        return _first() | {"number": number, "problem": str(error)}
    # A browser that begins anew, as when its theme changes, takes the run up from its last answer.
    where = {"run": asked.plan.written(), "at": asked.start}
    if asked.keep is not None:
        address = asked.plan.written(asked.keep)
        st.session_state["play_checked"] = st.query_params[RUN] = address
    rate = PACE.of(visitor())
    session: PlaySession = st.session_state.setdefault(OWN, PlaySession())
    try:
        # Nothing that oracles begin, while kernels are being compiled, may end on kernels.
        with TURNS.short(_patience()), kernels.steady():
            return session.answer(asked) | where | {"rate": rate}
    except _LaterError as busy:
        return where | {"number": number, "place": busy.args[0], "rate": rate}


def _patience() -> Callable[[int], None]:
    """Return a `waiting` of the queue that gives up after some looks, with the place in it."""
    looks = 0

    def waiting(place: int) -> None:
        nonlocal looks
        looks += 1
        if looks >= SHORT_WAIT:
            raise _LaterError(place)

    return waiting
