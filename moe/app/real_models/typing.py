"""Two models that write the same text side by side, each at the speed that was computed for it.

Python sends the text and two speeds; `typing.js` lets the letters appear. It starts when it is
seen, and can be paused. For visitors who prefer reduced motion only the numbers are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...numbers import digits
from ..shared.component import component
from .best import TEXT, Typist, race_words

_SIDE = """
<section class="side">
  <h2 class="name"></h2>
  <p class="speed"></p>
  <p class="about"></p>
  <div class="paper" aria-hidden="true"><span class="text"></span><i></i></div>
</section>
"""
_MARKUP = f"""
<div class="typing moe-part" role="group" aria-label="Two models write" data-state="loading">
  <p class="told"></p>
  <div class="sides" data-picture>{_SIDE}{_SIDE}</div>
  <button type="button" class="play" aria-label="Pause">Pause</button>
</div>
"""
_typing = component("typing", __file__, _MARKUP, "typing.js", "typing.css")


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
    _typing(key=key, data=sent(typists), height="content")
