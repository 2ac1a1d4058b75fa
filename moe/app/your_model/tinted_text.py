"""Text with the expert of every token below it, as HTML: colour, and the number beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np

from ...pictures.experts import EXPERT_COLOURS
from ...pictures.palette import CROWDED, FAIR, IDLE, TWICE
from .text import Token

# Tinted behind the ink they leave it a contrast of 7 in both themes.
LOADS = {
    "below": (0.75, IDLE),
    "fair": (1.5, FAIR),
    "above": (2.5, TWICE),
    "crowded": (0.0, CROWDED),
}
KINDS = {f"e{e}": colour for e, colour in enumerate(EXPERT_COLOURS)} | {
    name: colour for name, (_, colour) in LOADS.items()
}
SPACES = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
LONGEST = 24  # characters of a token that are shown

STYLE = (
    """<style>
.moe-text { line-height: 1; display: flex; flex-wrap: wrap; gap: 4px 1px; margin: 4px 0 8px; }
.moe-text .t { display: inline-flex; flex-direction: column; align-items: center;
  border-bottom: 3px solid transparent; border-radius: 3px; padding: 3px 2px 2px;
  min-width: 0.9em; max-width: 100%; }
.moe-text bdi { font-family: monospace; font-size: 14px; white-space: pre-wrap;
  overflow-wrap: anywhere; line-height: 1.2; }
.moe-text small { font-size: 11px; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.moe-text .end { flex-basis: 100%; height: 0; }
.moe-text .new { flex-basis: 100%; height: 6px; }
"""
    + "".join(
        f".moe-text .{kind} {{ background: {tint}38; border-bottom-color: {tint}; }}\n"
        for kind, tint in KINDS.items()
    )
    + "</style>"
)


def printable(text: str) -> str:
    """Return a token as it can be shown: white space and what has no picture become signs."""
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(
        SPACES.get(c, c if not unicodedata.category(c).startswith(("C", "Z")) else "·")
        for c in shown
    )


def kind_of(expert: int, ratio_E: np.ndarray) -> str:
    """Return whose colour a token gets: its expert's own, or with many experts that of its load.

    Parameters
    ----------
    ratio_E
        Load of every expert in fair shares.
    """
    if ratio_E.size <= len(EXPERT_COLOURS):
        return f"e{expert}"
    return next((name for name, (below, _) in LOADS.items() if ratio_E[expert] < below), "crowded")


def tinted_text(tokens: Sequence[Token], what: str, ratio_E: np.ndarray) -> str:
    """Return HTML in which every token stands above the number of its expert.

    The number says which expert it is, and the colour too if there are few, else how busy it is.
    What comes from a file is escaped, and stays in its own direction of writing.

    Parameters
    ----------
    what
        What is shown, for those who do not see it.
    ratio_E
        Load of every expert in fair shares.
    """
    pieces: list[str] = []
    for token in tokens:
        if token.begins and pieces:
            pieces.append('<span class="new"></span>')
        kind = kind_of(token.expert, ratio_E) if token.lit else "off"
        number = f"<small>{token.expert}</small>" if token.lit else "<small>&nbsp;</small>"
        pieces.append(
            f'<span class="t {kind}" title="{escape(token.words)}">'
            f"<bdi>{escape(printable(token.text)) or '∅'}</bdi>{number}</span>"
        )
        if "\n" in token.text:
            pieces.append('<span class="end"></span>')
    return f'{STYLE}<div class="moe-text" role="group" aria-label="{escape(what)}">' + (
        "".join(pieces) + "</div>"
    )
