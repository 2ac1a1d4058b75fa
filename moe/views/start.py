"""The page Start: what a mixture of experts does to a sentence, and to one character of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..charts import start as charts
from ..lab import snippets
from ..lab.export import start_json
from ..lab.token import (
    DEFAULT_SENTENCE,
    MAX_BIAS_STEPS,
    MAX_SENTENCE,
    FirstModel,
    ready_model,
)
from . import parts
from .outside import plain, show_problem


def show() -> None:
    """Show the page."""
    parts.heading(
        "What does a mixture of experts do?",
        "Instead of one big network that works on everything, many small ones, the *experts*, "
        "share the work: for each character a *router* picks two of eight.",
        "left alone, the router sends most characters to a few experts while others starve. "
        "Move the slider, and the work spreads.",
    )
    with st.spinner("Training a tiny model on this computer, one second …", show_time=False):
        model = ready_model()
    steps = st.slider(
        "Balancing",
        0,
        MAX_BIAS_STEPS,
        0,
        key="balance",
        bind="query-params",
        help="Steps of a simple rule: experts with too little work get a small bonus when the "
        "router chooses, experts with too much a small malus.",
    )
    sentence_box = st.container()
    with sentence_box:
        chart_place = st.container()
    sentence = st.text_input(
        "Your own sentence", DEFAULT_SENTENCE, MAX_SENTENCE, key="text", bind="query-params"
    )
    try:
        routing = model.route(sentence, steps)
    except ValueError as error:
        show_problem(error)
        return
    with chart_place:
        bars = charts.load_bars(routing, model.route(sentence, 0).hottest_share, parts.ink())
        parts.show(bars, "load")
        st.markdown(routing.words())
    _one_character(model, sentence, steps)
    parts.code_and_exports(
        "start",
        snippets.start_code(sentence, steps, st.session_state["at"]),
        None,
        lambda: start_json(model, sentence, st.session_state["at"], steps),
        lambda: charts.load_bars(routing),
    )
    st.caption(model.describe())


def _clicked(n_tokens: int) -> None:
    """Take over the character that was clicked in the picture."""
    picture: Any = st.session_state.get("picture")
    points = picture and picture.selection.get(charts.SELECTION)
    if points:
        position = int(points[0][charts.FIELD])
        if 1 <= position <= n_tokens:
            st.session_state["character"] = position


def _one_character(model: FirstModel, sentence: str, steps: int) -> None:
    routing = model.route(sentence, steps)
    n_tokens = len(routing.tokens)
    st.subheader("Follow one character")
    st.markdown("Click a character, or choose its number.")
    if st.session_state.get("character", 1) > n_tokens:
        st.session_state["character"] = n_tokens
    picture_place = st.container()
    st.slider(
        "Character", 1, max(n_tokens, 2), min(5, max(n_tokens, 2)), key="character",
        bind="query-params",
    )  # fmt: skip
    at = model.position(sentence, st.session_state["character"])
    st.session_state["at"] = at
    with picture_place:
        parts.show(
            charts.sentence_picture(routing, at, parts.ink()),
            "picture",
            titled=False,
            on_select=lambda: _clicked(n_tokens),
            selection_mode=charts.SELECTION,
        )
    story = model.explain(sentence, at, steps)
    st.markdown(f"The model has read “{plain(story.context)}” and now “{plain(story.token)}”.")
    figures = (
        (charts.logits, "One number per expert: the character's vector times the router's."),
        (
            charts.scores,
            "Softmax: each exponential over the sum of all; they add up to 1.",
        ),
        (charts.selection, "The highest win; a tick marks the score without the bonus."),
        (charts.weights, "The winners' shares, divided by their sum."),
        (charts.contributions, "Only the winners compute; their answers are added by weight."),
        (charts.guesses, "The sum goes on to guess the next character."),
    )
    columns = [*st.columns(3), *st.columns(3)]
    for column, (make, sentence_about) in zip(columns, figures, strict=True):
        with column:
            figure = make(story, parts.ink())
            parts.show(figure, f"step_{make.__name__}")
            st.caption(sentence_about)
    st.markdown(f"**{story.cost_words()}**")
    with st.expander("All the numbers of this character"):
        st.table(story.expert_rows())
