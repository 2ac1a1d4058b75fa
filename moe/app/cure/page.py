"""The page Cure: how hard to push back on uneven work, on frozen scores and live."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from ...balance import BALANCERS
from ...studies import control
from ...studies.control import ControlSettings, Method, Response
from ...training.runs import Run
from ..shared import ask, parts, sharing
from ..shared.finger import Finger, Slider
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.question import Guess
from ..shared.share_box import share_box
from ..shared.visitor import still_here
from . import chart as charts
from . import share, story
from .story import live_settings

PAGE = "cure"
TOKENS, STEPS = 512, 400  # as few as show the same, since every position is worked out
MOVING = ("response", "ends")


def response(method: Method, settings: ControlSettings) -> Response:
    """Compute a step response once for all visitors."""
    return KEPT.in_turn(("cure", method, settings), lambda: control.respond(method, settings))


def pushes(rate: float, settings: ControlSettings, n: int = 3) -> list[Response]:
    """Responses to a fixed push, the first n of a tenth of this one, this one, ten times it."""
    return [response(method, settings) for method in control.methods(rate)[:n]]


def _respond(rates: Sequence[float], settings: ControlSettings) -> bool:
    """Work out the responses at some rates in the turn that is held, of which `pushes` has more."""
    for method in {method for rate in rates for method in control.methods(rate)[:3]}:
        if KEPT.get(("cure", method, settings)) is None:
            KEPT.put(("cure", method, settings), control.respond(method, settings))
    return True


def show() -> None:
    """Show the page."""
    parts.heading(
        "How hard should you push back?",
        "A few experts are everybody's favourites. After each step, whoever had too much work is "
        "pushed down a little, and whoever had too little is pushed up.",
    )
    side, stage = st.columns([1, 2.4], gap="medium")
    with side:
        guess = ask.first(story.QUESTION, PAGE)
        rate = control.RATE if guess is None else _push()
        words = st.container()
    with stage:
        picture, below = st.container(), st.container(horizontal=True, vertical_alignment="center")
    with below:
        log = st.toggle("Logarithmic axes", key="log", **BOUND)
    with st.expander("Change the crowd"):
        settings = _settings()
    if guess is None:
        with picture:
            few = pushes(rate, settings, 2)
            parts.show(charts.step_response(few, story.NAMES[:2], log, ink=parts.ink()), "asked")
        return
    ends = st.container()
    if not KEPT.get(("cure", settings)):  # one position at once, all when they are ready
        _draw(Finger([Slider("rate", [rate], listed=True)], rate=rate), settings, log, picture)
        for rates in story.PARTS:
            KEPT.in_turn(("cure", settings, rates), partial(_respond, rates, settings))
            still_here()
        KEPT.put(("cure", settings), True)
        st.rerun()  # the picture stays, which it would not in a place that is emptied first
    finger = Finger([Slider("rate", control.RATES, listed=True)], rate=rate)
    with words:
        finger.words(lambda rate: _reply(guess, pushes(rate, settings)))
    _draw(finger, settings, log, picture)
    with ends:
        _ends(finger, settings)
    finger.watch()
    responses = pushes(rate, settings)
    verdict = story.judge(responses)
    with below:
        ask.after(guess, PAGE, verdict.words, verdict.truth)
    _others(rate, settings, log)
    _live(rate, log)
    share_box(
        PAGE,
        share.code(rate, settings),
        "\n".join(sharing.train_command(run) for run in live_settings(rate).values()),
        lambda: share.document(rate, settings, control.respond_all(rate, settings)),
        lambda: charts.step_response(responses, log=log),
        f"{settings.batches} steps, seed {settings.seed}",
    )
    st.caption(
        "The first experiment is made up: random ratings that stay the same in every step, so "
        "that only the pushes move. The second trains a small model on real text."
    )
    parts.next_step(PAGE, verdict.words)


def _push() -> float:
    rate: float = st.select_slider(
        "How hard to push", control.RATES, control.RATE, key="rate", **BOUND,
        help="How much is added to the rating of an expert with too little work after each step, "
        "and taken away from one with too much. A tenth and ten times this are drawn too.",
    )  # fmt: skip
    return rate


def _settings() -> ControlSettings:
    """Controls of the frozen scores."""
    experts_box, k_box, skew_box, seed_box = st.columns(4)
    experts = experts_box.slider("Experts", 4, 64, 16, key="experts", **BOUND)
    k = k_box.slider("Experts per character", 1, 8, 2, key="k", **BOUND)
    skew = skew_box.slider("How uneven the ratings are", 0.0, 4.0, 2.0, 0.5, key="skew", **BOUND)
    seed = seed_box.number_input("Seed", 0, 9999, 0, key="seed", **BOUND)
    with k_box:
        k = parts.at_most(k, experts)
    return ControlSettings(
        n_tokens=TOKENS, n_experts=experts, k=k, skew=skew, batches=STEPS, seed=int(seed)
    )


def _reply(guess: Guess, responses: Sequence[Response]) -> str:
    verdict = story.judge(responses)
    return guess.reply(verdict.truth, verdict.words)


def _draw(finger: Finger, settings: ControlSettings, log: bool, place: Any) -> None:
    """Draw the lines for every position of the slider."""
    drawn = {at["rate"] for at in finger.positions().values()}
    top = story.reach([r for rate in drawn for r in pushes(rate, settings)])
    with place:
        finger.show(
            lambda rate: charts.step_response(
                pushes(rate, settings), log=log, top=top, ink=parts.ink()
            ),
            "response",
            moving=MOVING,
        )


def _ends(finger: Finger, settings: ControlSettings) -> None:
    """Show the work of every expert at the end."""
    st.subheader("The work of every expert in the end")
    st.markdown(
        "A bar for each expert: its work in the last step, in fair shares. The short line on it "
        "is the step before: where they differ, the work swings."
    )
    for at, (column, name) in enumerate(zip(st.columns(3), story.NAMES, strict=True)):
        with column:
            finger.show(
                lambda rate, at=at, name=name: charts.end_loads(
                    pushes(rate, settings)[at], name, parts.ink()
                ),
                f"end_{at}",
            )


def _others(rate: float, settings: ControlSettings, log: bool) -> None:
    """Show controllers that do without a fixed push, and all of them in numbers."""
    # Not an expander: the browser would draw what is in it with every change, seen or not.
    label = "Three ways without a fixed push, all numbers, and the rules as formulas"
    if not st.toggle(label, key="others", **BOUND):
        return
    responses = [response(method, settings) for method in control.methods(rate)]
    others = responses[3:]
    parts.show(charts.step_response(others, story.OTHERS, log, ink=parts.ink()), "others")
    for one in others:
        st.markdown(f"**{one.method.title}.** {one.method.idea} {story.response_words(one)}")
    st.markdown(story.first_to_settle(responses))
    st.table(story.rows(responses))
    for name in story.kinds(responses):
        kind = BALANCERS[name]
        st.markdown(f"**{kind.title}**")
        parts.formula(kind.formula)
        st.caption(f"Source: {kind.source}.")


def _live(rate: float, log: bool) -> None:
    """Train a model with each push if the visitor asks for it, and show the runs."""
    st.subheader("And on a model that learns?")
    settings = live_settings(rate)
    seconds = KEPT.of("seconds per step", lambda: story.seconds_per_step(settings[story.NOTHING]))
    st.markdown(
        "There the ratings change with every step, and the pushes have to follow: "
        f"{story.waiting_words(settings.values(), seconds)}"
    )
    if not st.toggle("Train them now", key="live", **BOUND):
        return
    words, chart, progress = st.empty(), st.empty(), st.empty()
    runs: dict[Method, Run] = {}
    for method, train_settings in settings.items():
        runs[method] = parts.trained(train_settings, method.title, progress)
        with chart.container():
            figure = charts.live(runs, settings, story.LIVE_NAMES, log, parts.ink())
            parts.show(figure, f"live_{len(runs)}")
    words.markdown(f"**{story.live_words(runs)}**")
    st.table(story.live_rows(runs))
