"""The page Routers: any two routers on the same sentence, and who changes its mind."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..shared import parts
from ..shared.first_model import ready_model
from ..shared.outside import show_problem
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share
from .story import (
    POLICIES,
    Choice,
    Side,
    SideBySide,
    SideSettings,
    dials,
    put_side_by_side,
    router_titles,
)

DEFAULTS = {"a": SideSettings.a.router, "b": SideSettings.b.router}


def show() -> None:
    """Show the page."""
    parts.heading(
        "What if another router had chosen?",
        "The same sentence, the same ratings of every expert, and two rules that turn ratings "
        "into a choice. Pick any two.",
    )
    see = st.empty()
    with st.spinner("Training a tiny model on this computer, one second …", show_time=False):
        model = ready_model()
    choices, problems = _choices(model.trainer.layer.n_experts)
    picture = st.container()
    sentence = parts.sentence()
    with st.expander("Full experts, dice and seed"):
        shared = _shared()
    if problems:
        return
    a, b = choices
    settings = SideSettings(a, b, **shared)
    try:
        both = put_side_by_side(model, sentence, settings)
    except ValueError as error:  # outside of the expander, which may be closed
        show_problem(error)
        return
    see.markdown(parts.to_see(both.words()))
    with picture:
        parts.show(charts.differences(both, parts.ink()), "differences")
    _results(both)
    share_box(
        "routers",
        share.code(sentence, settings),
        None,
        lambda: share.document(model, sentence, settings),
        lambda: charts.poster(both),
        f"seed {settings.seed}",
    )
    st.caption(model.describe())
    parts.next_step("routers", both.words())


def _choices(n_experts: int) -> tuple[list[Choice], list[ValueError]]:
    """Controls of both sides; problems are shown beside the control that they come from."""
    choices, problems = [], []
    for column, name in zip(st.columns(2), "ab", strict=True):
        with column:
            choice = _choice(name)
            choices.append(choice)
            try:
                choice.make().check(n_experts)
            except ValueError as error:
                problems.append(error)
                show_problem(error)
    return choices, problems


def _choice(name: str) -> Choice:
    """Controls of one side; they carry its letter in the address."""
    titles = router_titles()
    usual = list(titles.values()).index(DEFAULTS[name])
    router = titles[st.selectbox(f"Router {name.upper()}", list(titles), usual, key=name, **BOUND)]
    options = {}
    for option, (dial, default) in dials(router).items():
        value = st.slider(
            dial.label, dial.low, dial.high, default, dial.step,
            key=f"{option}_{router}_{name}", **BOUND,
        )  # fmt: skip
        if value != default:
            options[option] = value
    return Choice(router, tuple(options.items()))


def _shared() -> dict[str, Any]:
    """Controls that both sides share."""
    limit_box, drop_box, noise_box, seed_box = st.columns(4, vertical_alignment="bottom")
    limited = limit_box.toggle("Experts can be full", key="limited", **BOUND)
    room = limit_box.slider(
        "Room per expert, in fair shares", 0.25, 4.0, 1.0, 0.25, key="room",
        **parts.bound(disabled=not limited),
    )  # fmt: skip
    drop = drop_box.selectbox(
        "When an expert is full, drop by",
        POLICIES,
        key="drop",
        **parts.bound(disabled=not limited),
    )
    noise = noise_box.toggle(
        "Roll dice, as in training", key="noise", **BOUND,
        help="Some routers add noise while they learn, so that every expert is tried.",
    )  # fmt: skip
    seed = seed_box.number_input("Seed", 0, 9999, 0, key="seed", **BOUND)
    return {
        "room": room if limited else None,
        "drop": drop,
        "noise": noise,
        "seed": int(seed),
    }


def _results(both: SideBySide) -> None:
    """Loads and figures of both routers, then each by itself."""
    left, right = st.columns([3, 2])
    with left:
        parts.show(charts.loads(both, parts.ink()), "loads")
    with right:
        st.markdown("##### Both in numbers")
        st.table(both.rows())
    st.subheader("Each router's choices and weights")
    limited = both.settings.room is not None
    crosses = " Crosses are choices that a full expert turned away." if limited else ""
    st.markdown(f"The taller a mark, the more this expert's answer counts.{crosses}")
    for column, name, side in zip(st.columns(2), "AB", (both.a, both.b), strict=True):
        with column:
            _about(name, side, both)


def _about(name: str, side: Side, both: SideBySide) -> None:
    """One router: its weights, its formula and its source."""
    parts.show(charts.weights(name, both.tokens, side, parts.ink()), f"weights_{name}")
    st.markdown(side.sight_words())
    parts.formula(side.router.formula)
    st.caption(f"{side.origin_words()} Source: {side.router.source}.")
