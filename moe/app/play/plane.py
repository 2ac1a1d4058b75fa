"""The second view of Play: two models learn on the plane, and who answers where is their colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from ...balance import BALANCERS
from ...data.planar import PLANAR_TASKS
from ...routers import ROUTERS
from ...speed.turns import TURNS
from ...training import TrainSettings, suits
from ..shared import parts
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from . import plane_story as story
from .plane_pair import Pair, planar, settings_key
from .plane_view import plane_view

QUESTION = "Who answers where?"
DEFAULTS = {"a": ("switch", "none"), "b": ("switch", "aux")}
PAIR, WISH, ANSWERED = "plane_pair", "plane_wish", "plane_answered"  # in the visitor's session
VIEWS = ("Territories", "Geometry")
HEAD = """<style>h1 { font-size: 2rem !important; padding: 0 0 0.25rem !important; }</style>"""


def show() -> None:
    """Show the view."""
    st.html(HEAD)
    st.title(QUESTION)
    about = st.empty()
    stage, controls = st.columns([3, 1], gap="medium")
    with controls:
        view = st.segmented_control(
            "Show", VIEWS, default=VIEWS[0], required=True, key="plane_show", **BOUND,
        )  # fmt: skip
        try:
            sides = _settings()
        except ValueError as error:
            with stage:  # beside what was asked for, which stays
                show_problem(error)
            return
    about.markdown(story.about(sides[0].task))
    with stage:
        _pair(*sides)
        _stage(view == VIEWS[1])


def _settings() -> tuple[TrainSettings, TrainSettings]:
    """Controls of both runs; those of one side carry its letter in the address."""
    task = st.selectbox(
        "Task", list(PLANAR_TASKS), key="plane_task", **BOUND,
        format_func=lambda name: PLANAR_TASKS[name].title,
    )  # fmt: skip
    methods = [_method(side) for side in DEFAULTS]
    with st.expander("Experts and seed"):
        experts = st.slider("Experts", 4, 32, 8, key="plane_experts", **BOUND)
        k = st.slider("Experts per point", 1, 8, 1, key="plane_k", **BOUND)
        k = parts.at_most(k, experts)
        taking = [router for router, _ in methods if "k" in ROUTERS[router]().options()]
        if len(taking) < len(methods):
            st.caption("Some of these routers decide themselves how many experts a point gets.")
        seed = st.number_input("Seed", 0, 9999, 0, key="plane_seed", **BOUND)
    common = planar(task=task, n_experts=experts, k=k, seed=int(seed))
    a, b = (replace(common, router=router, balance=balance) for router, balance in methods)
    with st.expander("Which balancing suits which router?"):
        for router in dict.fromkeys(router for router, _ in methods):
            st.markdown(story.missing(router))
    return a, b


def _method(side: str) -> tuple[str, str]:
    """Router and balancing of one side; only what suits the router is offered."""
    router, balance = DEFAULTS[side]
    st.markdown(f"**Run {side.upper()}**")
    names = list(ROUTERS)
    router = st.selectbox(
        f"Router of {side.upper()}", names, names.index(router), key=f"plane_router_{side}",
        format_func=lambda name: ROUTERS[name].title, **BOUND,
    )  # fmt: skip
    fitting = [name for name in BALANCERS if suits(name, router)]
    at = fitting.index(balance) if balance in fitting else 0
    balance = st.selectbox(
        f"Balancing of {side.upper()}", fitting, at, key=f"plane_balance_{side}",
        format_func=lambda name: BALANCERS[name].title, **BOUND,
    )  # fmt: skip
    return router, balance


def _pair(a: TrainSettings, b: TrainSettings) -> None:
    """Keep this visitor's two runs; balancing acts on them, anything else starts them anew."""
    key = (settings_key(a), settings_key(b))
    kept = st.session_state.get(PAIR)
    if kept is None or kept[0] != key:
        st.session_state[PAIR] = key, Pair(a, b)
        return
    for side, settings in enumerate((a, b)):
        kept[1].balance(side, settings.balance)


def _remember_wish() -> None:
    st.session_state[WISH] = st.session_state["plane"].wish


@st.fragment
def _stage(geometry: bool) -> None:
    """Answer the browser's wish, and draw."""
    wish = st.session_state.pop(WISH, None)
    steps = 0
    if isinstance(wish, dict) and isinstance(wish.get("n"), int):
        st.session_state[ANSWERED] = wish["n"]
        try:
            steps = _fulfil(wish)
        except ValueError as error:
            show_problem(error)
    pair: Pair = st.session_state[PAIR][1]
    chunk = pair.chunk(steps, geometry, TURNS.short)
    payload: dict[str, Any] = {
        "about": pair.about(),
        "titles": [story.title(run.controls.settings) for run in pair.runs],
        "chunk": chunk,
        "view": "geometry" if geometry else "territories",
        "drags": pair.drags(),
        "answers": st.session_state.get(ANSWERED, 0),
    }
    plane_view(payload, key="plane", on_wish=_remember_wish)


def _fulfil(wish: dict[str, Any]) -> int:
    """Do what the browser asks for, and return the steps that it wants.

    Raises
    ------
    ValueError
        If an expert cannot be moved so.
    """
    key, pair = st.session_state[PAIR]
    if wish.get("reset"):
        st.session_state[PAIR] = key, pair.anew()
        return 0
    if wish.get("id") != pair.id:
        return 0  # of a run that is over
    if isinstance(move := wish.get("move"), list) and len(move) == 4:
        pair.move(*move)
    steps = wish.get("steps")
    return max(steps, 0) if type(steps) is int else 0  # the pair has a bound of its own
