"""The page Language model: finished runs that play, and one of the visitor's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import streamlit as st

from ...lm import shipped
from ...studies import language_model
from ...studies.language_model import KINDS, Learned
from ..shared import ask, parts
from ..shared.finger import Finger, Slider
from ..shared.live_run import live_run
from ..shared.parts import BOUND
from ..shared.question import Guess
from ..shared.reel import reel
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story

PAGE = "language-model"


@lru_cache(maxsize=1)
def recorded() -> tuple[Learned, ...]:
    """Return the runs that ship: of each kind, from several seeds."""
    return tuple(map(Learned.read, shipped.unpack(PAGE)["runs"]))


def show() -> None:
    """Show the page."""
    parts.heading(
        "Does it read better with experts?",
        "Three small models read the same text, letter by letter: one with experts, one dense that "
        "computes as much for each letter, one dense with as many numbers in all.",
    )
    runs = recorded()
    verdict = story.judge(runs)
    question, picture, below = parts.beside("language")
    with question:
        guess = ask.first(story.QUESTION, PAGE)
    if guess is None:
        with picture:
            parts.show(charts.losses(runs, 0), "language_losses")
        return
    with question:
        words = st.container()
    with below:
        layer = st.segmented_control(
            "Layer whose experts are shown", list(story.LAYERS), default="first", required=True,
            key="layer", **BOUND,
        )  # fmt: skip
    with picture:
        _film(runs, guess, verdict, words, layer)
    with question:
        ask.after(guess, PAGE, verdict.words, verdict.truth)
    st.markdown(story.total_words(runs))
    with st.expander("All runs in numbers"):
        st.table(story.rows(runs))
        st.caption(
            "All three learn at the same rate: of four that were tried, the one at which each of "
            "them does best. A step with experts takes longer; what that comes to by the clock "
            "stands in the documentation, on the page A mixture against dense models. Seconds here "
            "are those of the computer that made these runs, among other work."
        )
    _live()
    film = story.of_kind(runs, story.MOE)[0]
    share_box(
        PAGE, share.code(film), share.command(film), lambda: share.document(runs),
        lambda: charts.losses(runs, story.last(runs)), f"{film.end.step} steps, seed {film.seed}",
        lambda: share.rows(runs),
    )  # fmt: skip
    parts.next_step(PAGE, verdict.words)


def _film(
    runs: Sequence[Learned], guess: Guess, verdict: story.Verdict, side: Any, layer: str
) -> None:
    """Play the runs: their losses, and what the one with experts writes and where letters go."""
    film = story.of_kind(runs, story.MOE)[0]
    finger = Finger([Slider("look", story.positions(runs))], look=0)
    reply = guess.reply(verdict.truth, verdict.words)
    with side:
        finger.words(lambda look: story.film_words(runs, look, reply))
    finger.show(lambda look: charts.losses(runs, look), "language_losses")
    controls = st.container()
    st.markdown(f"##### {story.samples_title()}")
    finger.lines(lambda look: story.sample_text(film.looks[look]), "samples")
    finger.show(
        lambda look: charts.passage(film.passage, film.looks[look], layer, parts.ink()),
        "language_passage",
    )
    finger.show(lambda look: charts.loads(film.looks[look], layer, parts.ink()), "language_loads")
    finger.words(lambda look: story.load_words(film.looks[look], layer), "load_words", small=True)
    with controls:
        reel(finger, "language_reel", "Step", story.places(runs))


def _live() -> None:
    """Train a model, if the visitor asks for it."""
    st.subheader("Train one now")
    kind_box, steps_box, seed_box = st.columns(3)
    with kind_box:
        kind = parts.named("Model", dict(KINDS), "model", story.MOE)
    steps = steps_box.slider("Steps", 50, 400, 200, 50, key="steps", **BOUND)
    seed = seed_box.number_input("Seed", 0, 9999, 7, key="seed", **BOUND)

    def begin() -> Any:
        return language_model.watch(story.trainer_of(kind, steps, int(seed)))

    live_run(PAGE, "Train one now", begin, partial(_so_far, steps))


def _so_far(last: int, records: tuple[Any, ...]) -> None:
    """Show what a live run has shown so far."""
    st.markdown(f"**{story.live_words(records)}**")
    steps, looks = story.steps_of(records), story.looks_of(records)
    if steps:
        parts.show(charts.live(steps, looks, max(last, steps[-1].step)), "language_live")
    if looks:
        st.markdown(f"##### {story.samples_title()}")
        st.code(story.sample_text(looks[-1]), language=None, wrap_lines=True)
    if looks and looks[-1].load_LE:
        parts.show(charts.loads(looks[-1], "last", parts.ink()), "language_live_loads")
