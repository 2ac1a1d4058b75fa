"""The page Distil: a teacher and its students, finished runs."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from ...lm import shipped
from ...studies.distilling import Distilled
from ..shared import ask, parts
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story

PAGE = "distil"


@lru_cache(maxsize=1)
def recorded() -> tuple[Distilled, ...]:
    """Return the runs that ship, one for each seed."""
    return tuple(map(Distilled.read, shipped.unpack(PAGE)["runs"]))


def show() -> None:
    """Show the page."""
    parts.heading(
        "What can a teacher pass on?",
        "A large model with experts has learnt a text. A small one either learns the same text "
        "alone, or learns the chances that the large one gives to every next letter.",
    )
    runs = recorded()
    verdict = story.judge(runs)
    question, picture, below = parts.beside(PAGE)
    with question:
        guess = ask.first(story.QUESTION, PAGE)
    with picture:
        parts.show(charts.students(runs, guess is None, parts.ink()), "distil_students")
    if guess is None:
        return
    with question:
        ask.told(guess.reply(verdict.truth, verdict.words))
        ask.after(guess, PAGE, verdict.words, verdict.truth)
    with below:
        st.markdown(story.teacher_words(runs))
    st.subheader("If its time counts, or it only writes")
    parts.show(charts.saved(runs, parts.ink()), "distil_saved")
    st.markdown(story.seconds_words(runs))
    st.markdown(story.text_words(runs))
    with st.expander("Each seed in numbers"):
        st.table(story.rows(runs))
        st.caption("Seconds of the processor, on one thread; a teacher's are those of its student.")
    share_box(
        PAGE, share.code(runs), "moe lm distil", lambda: share.document(runs),
        lambda: charts.students(runs), f"seeds {', '.join(str(run.seed) for run in runs)}",
        lambda: share.rows(runs),
    )  # fmt: skip
    parts.next_step(PAGE, verdict.words)
