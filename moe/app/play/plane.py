"""The second view of Play: two models learn on the plane, and who answers where is their colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from ... import kernels
from ...balance import BALANCERS
from ...data.planar import PLANAR_TASKS
from ...routers import ROUTERS
from ...speed.turns import TURNS
from ...training import TrainSettings, suits
from ..shared import parts
from ..shared.outside import show_problem
from ..shared.parts import BOUND, named
from ..shared.titles import TASK_TITLES
from ..shared.visitor import visitor
from . import plane_story as story
from .pace import PACE
from .plane_pair import Pair, planar, settings_key
from .plane_view import plane_view

QUESTION = "Who answers where?"
DEFAULTS = {"a": ("switch", "none"), "b": ("switch", "aux")}
PAIR, WISH, ANSWERED = "plane_pair", "plane_wish", "plane_answered"  # in the visitor's session
VIEWS = ("Territories", "Geometry")


def show() -> None:
    """Show the view, below its question."""
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
    tasks = {name: TASK_TITLES[name] for name in PLANAR_TASKS}
    task = named("Task", tasks, "plane_task", "spirals")
    methods = [_method(side) for side in DEFAULTS]
    with st.expander("Experts and seed"):
        experts = st.slider("Experts", 4, 32, 8, key="plane_experts", **BOUND)
        k = st.slider("Experts per point", 1, 8, 2, key="plane_k", **BOUND)
        k = parts.at_most(k, experts)
        for words in story.on_k([router for router, _ in methods], k):
            st.caption(words)
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
    routers = {name: kind.title for name, kind in ROUTERS.items()}
    router = named(f"Router of {side.upper()}", routers, f"plane_router_{side}", router)
    fitting = {name: kind.title for name, kind in BALANCERS.items() if suits(name, router)}
    key = f"plane_balance_{side}"
    if st.session_state.get(key, balance) not in fitting:
        del st.session_state[key]  # of the router before
    default = balance if balance in fitting else next(iter(fitting))
    balance = named(f"Balancing of {side.upper()}", fitting, key, default)
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
    with kernels.steady():  # nothing that oracles begin may end on kernels
        chunk = pair.chunk(steps, geometry, TURNS.short)
    payload: dict[str, Any] = {
        "about": pair.about(),
        "titles": [story.title(run.controls.settings) for run in pair.runs],
        "chunk": chunk,
        "rate": PACE.of(visitor()),
        "recipe": pair.recipe(),
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
        If an expert cannot be moved so, or a run cannot be taken up again.
    """
    key, pair = st.session_state[PAIR]
    if wish.get("reset"):
        st.session_state[PAIR] = key, pair.anew()
        return 0
    if wish.get("id") != pair.id:
        return 0  # of a run that is over
    if "resume" in wish and pair.n_steps == 0:
        st.session_state[PAIR] = key, pair.resumed(wish["resume"], TURNS.short)
        return 0
    if isinstance(move := wish.get("move"), list) and len(move) == 4:
        pair.move(*move)
    steps = wish.get("steps")
    return max(steps, 0) if type(steps) is int else 0  # the pair has a bound of its own
