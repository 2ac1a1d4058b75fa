"""The page Think: rewards for right answers only, and what that does to the length of answers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import streamlit as st

from ...lm import shipped
from ...studies import thinking
from ...studies.thinking import Look, Thinking
from ..shared import ask, parts
from ..shared.finger import Finger, Slider
from ..shared.live_run import live_run
from ..shared.parts import BOUND
from ..shared.question import Guess
from ..shared.reel import reel
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story

PAGE = "think"


@lru_cache(maxsize=1)
def recorded() -> tuple[Thinking, ...]:
    """Return the runs that ship: that of the film first, others from good starts, failed ones."""
    return tuple(map(Thinking.read, shipped.unpack(PAGE)["runs"]))


def show() -> None:
    """Show the page."""
    parts.heading(
        "Does it pay to think?",
        "A small model adds up six digits and keeps the rest of a division by five. It may write "
        "anything before its answer. Only the right answer is rewarded; nothing rewards length.",
    )
    runs = recorded()
    film, *_ = runs
    verdict = story.judge(film.looks)
    question, picture, below = parts.beside(PAGE)
    with question:
        guess = ask.first(story.QUESTION, PAGE)
    if guess is None:
        with picture:
            _still(film.looks)
        return
    with picture:
        _film(film.looks, guess, verdict, question)
    with question:
        ask.after(guess, PAGE, verdict.words, verdict.truth)
    with below:
        st.markdown(story.why(film.looks))
    good = [run for run in runs if run.start == "good"]
    st.markdown(story.seeds_words(good))
    with st.expander("Each run in numbers"):
        st.table(story.seeds_rows(good))
    _live()
    _failed({run.start: run for run in runs if run.start != "good"} | {"good": film})
    share_box(
        PAGE, share.code(film), share.command(film), lambda: share.document(runs),
        lambda: charts.shares(film.looks, film.looks[-1].iteration), f"seed {film.seed}",
        lambda: share.rows(film),
    )  # fmt: skip
    parts.next_step(PAGE, verdict.words)


def _still(looks: tuple[Look, ...]) -> None:
    """Show how it is before the first reward, and nothing of what comes."""
    last = looks[-1].iteration
    parts.show(charts.answers(thinking.prompts(), looks[0], parts.ink()), "think_answers")
    left, right = st.columns(2)
    with left:
        parts.show(charts.shares(looks[:1], last), "think_shares")
    with right:
        parts.show(charts.length(looks[:1], last), "think_length")


def _film(looks: tuple[Look, ...], guess: Guess, verdict: story.Verdict, side: Any) -> None:
    """Play the run; the lines grow with it, and what came out is told at its end."""
    last = looks[-1].iteration
    finger = Finger([Slider("update", [look.iteration for look in looks])], update=0)
    reply = guess.reply(verdict.truth, verdict.words)
    with side:
        finger.words(lambda update: story.film_words(looks, update, reply))
    finger.show(
        lambda update: charts.answers(thinking.prompts(), looks[update], parts.ink()),
        "think_answers",
    )
    controls = st.container()
    left, right = st.columns(2)
    with left:
        finger.show(lambda update: charts.shares(story.until(looks, update), last), "think_shares")
    with right:
        finger.show(lambda update: charts.length(story.until(looks, update), last), "think_length")
    with controls:
        reel(finger, "think_reel", "Updates by rewards", [story.place(look) for look in looks])


def _live() -> None:
    """Let a new run learn, if the visitor asks for it."""
    st.subheader("Let it learn now")
    st.markdown(
        "A new model, from nothing: first it is shown answers, of which a fifth write running "
        "sums; then only rewards."
    )
    seed = st.number_input("Seed", 0, 9999, 7, key="seed", **BOUND)
    settings = thinking.settings_of(int(seed))
    live_run(PAGE, "Let it learn now", partial(thinking.watch, settings), _so_far)


def _so_far(records: tuple[Any, ...]) -> None:
    """Show what a live run has shown so far."""
    st.markdown(f"**{story.live_words(records)}**")
    looks = story.looks_of(records)
    if looks:
        last = story.last_update(looks)
        parts.show(charts.answers(thinking.prompts(), looks[-1], parts.ink()), "think_live_answers")
        left, right = st.columns(2)
        with left:
            parts.show(charts.shares(looks, last), "think_live_shares")
        with right:
            parts.show(charts.length(looks, last), "think_live_length")


def _failed(runs: dict[str, Thinking]) -> None:
    """Show runs from bad starts beside the good one."""
    st.subheader("When it does not start")
    st.markdown(story.starts_words(runs))
    looks = {start: run.looks for start, run in runs.items()}
    for column, what in zip(st.columns(2), (charts.ACCURACY, charts.STUCK), strict=True):
        with column:
            parts.show(charts.starts(looks, what), f"think_starts_{what.split()[0]}")
