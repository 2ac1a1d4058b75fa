"""Where each character of a sentence goes, and the way of one of them, step by step."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ..shared import parts
from ..shared.first_model import FirstModel
from ..shared.outside import plain
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share
from .story import FULL, TENTH, SentenceRouting, TokenStory, explain, route


def show(model: FirstModel) -> SentenceRouting:
    """Show a sentence, the slider that balances its work, and one of its characters.

    Returns where its characters go, by the slider.
    """
    percent = st.slider(
        "Balancing", 0, FULL, 0, TENTH, format="%d%%", key="balance",
        help="How much of a small bonus counts when the router chooses. It was found once, by a "
        "simple rule: experts with too little work get more of it, experts with too much less.",
        **BOUND,
    )  # fmt: skip
    above = st.container()
    sentence = parts.sentence()
    routing = route(model, sentence, percent)
    with above:
        unbalanced = route(model, sentence)
        parts.show(charts.load_bars(routing, unbalanced.hottest_share, parts.ink()), "load")
        st.markdown(routing.words())
    position = _choose_character(routing)
    _follow(explain(model, sentence, position, percent))
    share_box(
        "start",
        share.code(sentence, percent, position),
        None,
        lambda: share.document(model, sentence, position, percent),
        lambda: charts.load_bars(routing),
        f"{model.trainer.settings.steps} steps, seed {model.trainer.settings.seed}",
    )
    return routing


def _clicked(n_tokens: int) -> None:
    """Move the slider to the character that was clicked in the picture."""
    picture: Any = st.session_state.get("picture")
    points = picture and picture.selection.get(charts.SELECTION)
    if points:
        position = int(points[0][charts.FIELD])
        if 1 <= position <= n_tokens:
            st.session_state["character"] = position


def _choose_character(routing: SentenceRouting) -> int:
    """Show where each character goes; return the position of the one that is chosen."""
    n_tokens = len(routing.tokens)
    st.subheader("Follow one character")
    st.markdown("Click a character, or choose its number.")
    if st.session_state.get("character", 1) > n_tokens:
        st.session_state["character"] = n_tokens
    above = st.container()
    number = st.slider(
        "Character", 1, max(n_tokens, 2), min(5, max(n_tokens, 2)), key="character", **BOUND
    )
    position = routing.position(number)
    with above:
        parts.show(
            charts.sentence_picture(routing, position, parts.ink()),
            "picture",
            titled=False,
            on_select=lambda: _clicked(n_tokens),
            selection_mode=charts.SELECTION,
        )
    return position


def _follow(story: TokenStory) -> None:
    """Show the way of one character through the layer, step by step."""
    st.markdown(f"The model has read “{plain(story.context)}” and now “{plain(story.token)}”.")
    steps = (
        (charts.logits, "One number per expert: the character's vector times the router's."),
        (charts.scores, "Softmax: each exponential over the sum of all; they add up to 1."),
        (charts.selection, story.selection_words()),
        (charts.weights, "The winners' shares, divided by their sum."),
        (charts.contributions, "Only the winners compute; their answers are added by weight."),
        (charts.guesses, "The sum goes on to guess the next character."),
    )
    columns = [*st.columns(3), *st.columns(3)]
    for column, (draw, caption) in zip(columns, steps, strict=True):
        with column:
            parts.show(draw(story, parts.ink()), f"step_{draw.__name__}")
            st.caption(caption)
    st.markdown(f"**{story.cost_words()}**")
    with st.expander("All the numbers of this character"):
        st.table(story.expert_rows())
