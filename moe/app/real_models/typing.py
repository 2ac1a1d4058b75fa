"""Two models that write the same text side by side, each at the speed that was computed for it.

Python sends the text and two speeds; `typing.js` lets the letters appear. It starts when it is
seen, and can be paused. For visitors who prefer reduced motion only the numbers are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from ...numbers import digits
from .best import TEXT, Typist, race_words

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

_SIDE = """
<section class="side">
  <h2 class="name"></h2>
  <p class="speed"></p>
  <p class="about"></p>
  <div class="paper" aria-hidden="true"><span class="text"></span><i></i></div>
</section>
"""
_MARKUP = f"""
<div class="typing" role="group" aria-label="Two models write" data-state="loading">
  <p class="told"></p>
  <div class="sides" data-picture>{_SIDE}{_SIDE}</div>
  <button type="button" class="play" aria-label="Pause">Pause</button>
</div>
"""


@cache
def _component() -> ComponentRenderer:
    """Register the component once, from the script and style sheet beside this file."""
    here = Path(__file__)
    return st.components.v2.component(
        "moe_typing",
        html=_MARKUP,
        css=here.with_suffix(".css").read_text(encoding="utf-8"),
        js=here.with_suffix(".js").read_text(encoding="utf-8"),
    )


def sent(typists: Sequence[Typist]) -> dict[str, Any]:
    """Return what the browser gets: the text, and what stands above each paper."""
    return {
        "text": TEXT,
        "told": race_words(list(typists)),
        "sides": [
            {
                **asdict(one),
                "speed": f"{digits(one.tokens_per_s)} tokens/s",
                "letters_per_s": one.letters_per_s,
            }
            for one in typists
        ],
    }


def typing_race(typists: Sequence[Typist], key: str) -> None:
    """Show both models writing.

    For tests the component's root `.typing` carries `data-state` (waiting, playing, paused, ended
    or still), and each `.side` carries `data-letters`, the letters on its paper.
    """
    _component()(key=key, data=sent(typists), height="content")
