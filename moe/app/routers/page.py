"""The page Routers: any two routers on the same sentence, and who changes its mind."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..shared import ask, parts
from ..shared.first_model import ready_model
from ..shared.outside import show_problem
from ..shared.parts import BOUND, named
from ..shared.question import Guess
from ..shared.share_box import share_box
from ..shared.titles import DROP_TITLES
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
from .what_if import WHAT_IFS, WhatIf, answer, difference, question

DEFAULTS = {"a": SideSettings.a.router, "b": SideSettings.b.router}


def show() -> None:
    """Show the page."""
    st.title("Would another router choose differently?", anchor=False)
    st.markdown("The same sentence, the same ratings of every expert, two rules that choose.")
    side, picture, controls = parts.beside("routers")
    with picture, st.spinner("Training a tiny model here, one second …", show_time=False):
        model = ready_model()
    with controls:
        _what_ifs()
        choices, problems = _choices(model.trainer.layer.n_experts)
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
        with picture:
            show_problem(error)
        return
    with side:
        guess = ask.first(question(len(both.tokens)), "routers", (sentence, settings))
    with picture:
        hidden = guess is None
        parts.show(charts.first_characters(both, hidden, parts.ink()), "first_characters")
        if guess is None:
            return
        _told(both, guess)
    _results(both)
    share_box(
        "routers",
        share.code(sentence, settings),
        None,
        lambda: share.document(model, sentence, settings),
        lambda: charts.poster(both),
        f"A: {both.a.router.title}, B: {both.b.router.title}, seed {settings.seed}",
        lambda: share.rows(both),
    )
    st.caption(model.describe())
    parts.next_step("routers", both.words())


def _what_ifs() -> None:
    """Buttons that set both routers to a pair that differs in one thing."""
    st.markdown("**What if …**")
    with st.container(key="what_ifs", gap="xsmall"):
        for key, what_if in WHAT_IFS.items():
            st.button(
                what_if.words, key=f"what_if_{key}", on_click=_set, args=(what_if,),
                width="stretch", disabled=ask.locked(),
            )  # fmt: skip


def _set(what_if: WhatIf) -> None:
    """Set the controls to a pair of routers, and their dials to what they usually are."""
    titles = {name: title for title, name in router_titles().items()}
    settings = what_if.settings
    for letter, choice in (("a", settings.a), ("b", settings.b)):
        st.session_state[letter] = titles[choice.router]
        for option, (_, default) in dials(choice.router).items():
            st.session_state[f"{option}_{choice.router}_{letter}"] = default
    st.session_state["limited"] = settings.room is not None
    if settings.room is not None:
        st.session_state["room"] = settings.room


def _choices(n_experts: int) -> tuple[list[Choice], list[ValueError]]:
    """Controls of both sides; problems are shown beside the control that they come from."""
    choices, problems = [], []
    for name in "ab":
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
    limited = st.toggle("Experts can be full", key="limited", **BOUND)
    room = st.slider(
        "Room per expert, in fair shares", 0.25, 4.0, 1.0, 0.25, key="room",
        **parts.bound(disabled=not limited),
    )  # fmt: skip
    titles = {policy: DROP_TITLES[policy] for policy in POLICIES}
    drop = named("Who is turned away", titles, "drop", POLICIES[0], disabled=not limited)
    noise = st.toggle(
        "Roll dice, as in training", key="noise", **BOUND,
        help="Some routers add noise while they learn, so that every expert is tried.",
    )  # fmt: skip
    seed = st.number_input("Seed", 0, 9999, 0, key="seed", **BOUND)
    return {
        "room": room if limited else None,
        "drop": drop,
        "noise": noise,
        "seed": int(seed),
    }


def _told(both: SideBySide, guess: Guess) -> None:
    """The guess and what came out, what this pair of routers is to show, and the work of each."""
    key, changed = answer(both)
    shown = difference(both)
    ask.told(guess.reply(key, changed))
    if shown:
        st.markdown(shown)
    ask.after(guess, "routers", changed, key)
    parts.show(charts.loads(both, parts.ink()), "loads")


def _results(both: SideBySide) -> None:
    """The whole sentence, figures of both routers, then each by itself."""
    parts.show(charts.differences(both, parts.ink()), "differences")
    # What is closed is not drawn: two large charts would keep a browser busy at each change.
    numbers = st.expander("Both in numbers", key="both_numbers", on_change="rerun")
    if numbers.open:
        numbers.table(both.rows())
    each = st.expander("Each router's choices and weights", key="each_router", on_change="rerun")
    if not each.open:
        return
    limited = both.settings.room is not None
    crosses = " Crosses are choices that a full expert turned away." if limited else ""
    each.markdown(f"The taller a mark, the more this expert's answer counts.{crosses}")
    for column, name, side in zip(each.columns(2), "AB", (both.a, both.b), strict=True):
        with column:
            _about(name, side, both)


def _about(name: str, side: Side, both: SideBySide) -> None:
    """One router: its weights, its formula and its source."""
    parts.show(charts.weights(name, both.tokens, side, parts.ink()), f"weights_{name}")
    st.markdown(side.sight_words())
    parts.formula(side.router.formula)
    st.caption(f"{side.origin_words()} Source: {side.router.source}.")
