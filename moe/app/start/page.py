"""The page Start: what a mixture of experts is, in sections from top to bottom."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..shared import ask, parts, path
from ..shared.first_model import ready_model
from ..shared.kept import KEPT
from ..shared.question import GUESS, Question
from . import sentence
from .film import packet, show_film
from .opening import KEY, QUESTION, opening, seed_of

DOORS = (
    ("I am curious", "The story in five minutes, on four short pages.", "balance",
     "Why does it collapse?"),
    ("I teach", "Your question, your settings, one link for the class: in the Share box there.",
     "balance", "Set a task"),
    ("I build models", "Open what your own router wrote down, and see what to do about it.",
     "your-model", "Look at my model"),
)  # fmt: skip


def show() -> None:
    """Show the page."""
    seed = seed_of(st.query_params.get("seed"))
    st.title("What happens if nobody shares out the work?")
    picture = st.container(key="opening")
    recorded = KEPT.get((KEY, seed)) is not None
    if recorded:  # else the rest of the page comes first, as it is ready sooner
        _open(picture, seed)
    _doors(seed)
    st.header("What do the experts do with a sentence?")
    parts.explained(
        "For each character a *router* picks two of eight experts. Move the slider, and the work "
        "spreads."
    )
    with st.spinner("Training a tiny model on this computer, one second …", show_time=False):
        model = ready_model()
    routing = sentence.show(model)
    st.caption(model.describe())
    parts.next_step("start", routing.words(), seed=seed)
    if not recorded:
        _open(picture, seed)


def _open(place: Any, seed: int) -> None:
    """Show the film of a seed, and keep the guess in the address."""
    with place:
        with st.spinner("Recording a run, one moment …", show_time=False):
            film = opening(seed)
        question = _question()
        guess = st.query_params.get(GUESS, "")
        said = show_film(packet(film, question, guess if guess in question.options else ""))
    if said.guess and said.guess != guess:
        st.query_params[GUESS] = said.guess


def _question() -> Question:
    """The page's own question, or that of a teacher's link."""
    task = ask.task()
    if not task.words:
        return QUESTION
    return Question(
        task.words, {str(n): one for n, one in enumerate(task.options, 1)}, judged=False
    )


def _doors(seed: int) -> None:
    """Three ways on, for three kinds of visitors."""
    for column, (who, what, address, label) in zip(st.columns(3), DOORS, strict=True):
        with column.container(border=True, height="stretch", key=f"door_{who.split()[-1]}"):
            st.markdown(f"**{who}**  \n{what}")
            stop = path.BY_ADDRESS[address]
            parts.to_page(stop, f"{label} →", path.carried({"seed": seed}, stop))
