"""Sums of money as squares to scale: two steps of zoom out of a small one into a huge one.

Python sends the sides; `squares.js` draws them at any zoom. It zooms out once it is seen, and the
visitor may step back and forth. For visitors who prefer reduced motion it jumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..shared.component import component
from . import sizes
from .sizes import Square

STEPS = {sizes.RUN: "The final run", sizes.TRIALS: "Trial runs", sizes.SERVERS: "All servers"}
_MARKUP = """
<div class="squares moe-part" role="group" aria-label="Dollars as squares, to scale">
  <svg role="img"></svg>
  <div class="steps" role="group" aria-label="How far to look"></div>
</div>
"""
_squares = component("squares", __file__, _MARKUP, "squares.js", "squares.css")


def sent(found: Sequence[Square], answered: bool) -> dict[str, Any]:
    """Return what the browser gets: before the answer, the smallest square alone."""
    shown = list(found) if answered else list(found)[:1]
    return {
        "squares": [
            {
                "key": one.key, "side": one.side, "dollars": one.dollars, "label": one.label,
                "short": one.amount,
            }
            for one in shown
        ],
        "shares": [share for _, share in sizes.shares()],
        "steps": [
            {"key": one.key, "words": STEPS[one.key]} for one in shown if one.key in STEPS
        ] if answered else [],
        "unknown": "" if answered else "All servers: ?",
        "told": sizes.told(shown) if answered else sizes.parts_told(),
    }  # fmt: skip


def draw_squares(found: Sequence[Square], answered: bool, key: str) -> None:
    """Show the squares.

    For tests the component's root `.squares` carries `data-step` (the key of the square that fills
    the picture) and `data-state` (waiting, moving or still); each square has its key and dollars.
    """
    _squares(key=key, data=sent(found, answered), height="content")
