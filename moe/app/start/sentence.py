"""A sentence: the slider that balances its work, and the way of its characters, step by step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ...pictures.experts import expert_name
from ..shared import parts
from ..shared.finger import Finger, Slider
from ..shared.first_model import FirstModel
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share
from .flow import packet, show_flow
from .story import FULL, SentenceRouting, every_route, route
from .walk import SentenceWalk, first_looked_at, walk

FLOW = "flow"  # the picture, and what the session keeps of it
NUMBER = re.compile("[0-9]{1,4}")
CHARACTER, WITHOUT = "character", "without"  # in the address


def show(model: FirstModel) -> SentenceRouting:
    """Show a sentence, the slider that balances its work, and one of its characters.

    Returns where its characters go, by the slider.
    """
    controls, picture = st.columns([1, 2], gap="large")
    with controls:
        percent = st.slider(
            "Balancing", 0, FULL, 0, format="%d%%", key="balance",
            help="How much of a small bonus counts when the router chooses. It was found once, by "
            "a simple rule: experts with too little work get more of it, experts with too much "
            "less.",
            **BOUND,
        )  # fmt: skip
        sentence = parts.sentence()
    routing_P = every_route(model, sentence)
    finger = Finger([Slider("balance", range(FULL + 1))], balance=percent)
    top, ink = max(one.hottest_share for one in routing_P), parts.ink()
    with picture:
        finger.show(lambda balance: charts.load_bars(routing_P[balance], top, ink), "load")
    with controls:
        finger.words(lambda balance: routing_P[balance].words())
    finger.watch()
    _follow(model, sentence, percent)
    return routing_P[percent]


def _follow(model: FirstModel, sentence: str, percent: int) -> None:
    """Show the way of each character through the layer, and offer it to take along."""
    st.subheader("Follow one character")
    walked, settings = walk(model, sentence, percent), model.trainer.settings
    start = first_looked_at(model, sentence)  # which no slider moves
    asked: Any = st.session_state.get(FLOW)
    asked = asked and asked.get("at")  # once a visitor stays with a character
    position, without = _where(walked, start, asked or st.query_params)
    # What the picture asked for it knows; a packet that stays the same is not sent again.
    begin = (start, 0) if asked else (position, without)
    show_flow(packet(walked, f"{percent}% {sentence}", settings.context, start, *begin), key=FLOW)
    share_box(
        "start",
        share.code(sentence, percent, position, without),
        None,
        lambda: share.document(model, sentence, position, percent, without),
        lambda: charts.load_bars(route(model, sentence, percent)),
        f"{settings.steps} steps, seed {settings.seed}",
    )


def _where(walked: SentenceWalk, start: int, asked: Mapping[str, Any]) -> tuple[int, int]:
    """Which character is looked at and which expert is off, which the address then says, too."""
    position = _whole(asked.get(CHARACTER), len(walked.tokens), start + 1) - 1
    names = ["", *(expert_name(e) for e in range(walked.bias_E.size))]
    name = asked.get(WITHOUT)
    without = names.index(name) if name in names else 0
    for key, value in ((CHARACTER, position != start and str(position + 1)),
                       (WITHOUT, names[without])):  # fmt: skip
        if value:
            st.query_params[key] = value
        else:
            st.query_params.pop(key, None)
    return position, without


def _whole(text: object, most: int, default: int) -> int:
    """A whole number of an address from 1 to `most`, or the default."""
    digits = str(text)
    return int(digits) if NUMBER.fullmatch(digits) and 1 <= int(digits) <= most else default
