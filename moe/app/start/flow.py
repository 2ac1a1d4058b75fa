"""The six steps of a token as one connected picture that plays through a sentence.

Python sends the whole way of all characters once, also with each expert switched off; the scripts
beside this file draw it at the screen's own frame rate, so that playing costs the server nothing.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ...data import token_text
from ...pictures.experts import EXPERT_COLOURS, expert_name, letter_ink
from ..shared.component import component
from .walk import SentenceWalk

_ICON = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>'
_HEADS = (
    ("Character", "after those before it"),
    ("Ratings", "logits: one for each"),
    ("Shares", "softmax: together 100%<em>; the tick: with the bonus</em>"),
    ("Two experts", "the best; click to switch off"),
    ("Answers", "joined by weight"),
    ("Guess", "what comes next"),
)
_HEAD = '<div class="head"><strong>{} {}</strong><span>{}</span></div>'
_COLUMNS = (
    "Expert", "2 Rating", "3 Share", "Balancing bonus", "Share with bonus", "4 Weight",
    "5 Part of the answer",
)  # fmt: skip
_MARKUP = f"""
<div class="flow moe-part" role="group" aria-label="A sentence on its way through the experts">
  <div class="controls">
    <button type="button" class="back" aria-label="Character back" title="Character back">
      {_ICON.format("M15.5 5 17 6.5 11.5 12 17 17.5 15.5 19 8.5 12z")}</button>
    <button type="button" class="play" aria-label="Play" title="Play">
      <span class="when-still">{_ICON.format("M7 4.5v15L20 12z")}</span>
      <span class="when-playing">{_ICON.format("M6.5 5H10v14H6.5zM14 5h3.5v14H14z")}</span>
    </button>
    <button type="button" class="forward" aria-label="Character forward" title="Character forward">
      {_ICON.format("M8.5 5 7 6.5 12.5 12 7 17.5 8.5 19 15.5 12z")}</button>
    <input type="range" class="scrub" aria-label="Character" min="0" max="0" step="1" value="0">
    <div class="speeds" role="group" aria-label="Speed">
      <label class="chip"><input type="radio" name="speed" value="stream" checked>stream</label>
      <label class="chip"><input type="radio" name="speed" value="steps">step by step</label>
    </div>
  </div>
  <div class="sentence" role="listbox" tabindex="0" aria-label="Characters of the sentence"></div>
  <div class="stage">
    {"".join(_HEAD.format(i + 1, *head) for i, head in enumerate(_HEADS))}
    <svg class="picture" role="img"></svg>
  </div>
  <p class="said"></p>
  <p class="without"></p>
  <p class="cost"></p>
  <details>
    <summary>All the numbers of this character</summary>
    <div class="scroll" tabindex="0" role="region" aria-label="Numbers of this character"><table>
      <thead><tr>{"".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)}</tr></thead>
      <tbody></tbody>
    </table></div>
  </details>
  <p class="live" aria-live="polite"></p>
</div>
"""
_flow = component("flow", __file__, _MARKUP, "flow_drawing.js", "flow.js", "flow.css")


def packet(
    walked: SentenceWalk, name: str, reads: int, start: int, at: int, without: int = 0
) -> dict[str, Any]:
    """What the browser draws, all of it as the layer computed it.

    Arrays are packed as base64, in C order: float32, but bytes for `experts` and `guesses` and
    uint16 for `so_far`. Those with a case for each expert that is switched off begin with the
    layer as it is.

    Parameters
    ----------
    name
        Another one begins anew; a new bonus for the same sentence keeps the character.
    reads
        How many characters the model looks at.
    start
        The character that is shown first if nobody asks for another.
    at
        The character to begin with.
    without
        The case to begin with.
    """
    n_experts = walked.bias_E.size
    shown = {*walked.guess_ONG.ravel().tolist(), *walked.next_N[:-1].tolist()}
    return {
        "id": name,
        "tokens": walked.tokens,
        "names": [expert_name(e) for e in range(n_experts)],
        "colours": EXPERT_COLOURS[:n_experts],
        "inks": [letter_ink(colour) for colour in EXPERT_COLOURS[:n_experts]],
        "reads": reads,
        "start": start,
        "at": at,
        "without": without,
        "bonus": walked.bias_E.tolist(),
        "logits": _pack(walked.logits_NE, "<f4"),
        "scores": _pack(walked.scores_NE, "<f4"),
        "experts": _pack(walked.expert_ONK, "u1"),
        "weights": _pack(walked.weight_ONK, "<f4"),
        "parts": _pack(walked.part_ONK, "<f4"),
        "load": walked.load_OE.tolist(),
        "so_far": _pack(walked.so_far_ONE, "<u2"),
        "guesses": _pack(walked.guess_ONG, "u1"),
        "chances": _pack(walked.probability_ONG, "<f4"),
        "next": walked.next_N.tolist(),
        "letters": {str(byte): token_text(byte) for byte in sorted(shown)},
        "words": [walked.words(case) for case in range(1 + n_experts)],
        "cost": walked.cost_words(),
    }


def _pack(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")


def show_flow(data: dict[str, Any], *, key: str) -> None:
    """Show a packet; what the visitor looks at then stands in the session as `key`.

    For tests the component's root `.flow` carries `data-state` (showing the steps of a character,
    playing, paused or ended), `data-at` (the character, from 0), `data-without` (the expert that
    is off) and `data-frames` (pictures painted so far).
    """
    _flow(key=key, data=data, on_at_change=lambda: None)
