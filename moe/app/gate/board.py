"""The board of the game: a minute, a text, four experts with six places each, in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...pictures.experts import EXPERT_COLOURS, letter_ink
from ..shared.component import component
from .game import LOST, N_CHARACTERS, NAMES, ROOM, SECONDS, Game

_EXPERT = """
<li><button type="button" class="expert" disabled>
  <b class="name"></b>
  <span class="rating"><i></i></span> <span class="percent"></span>
  <span class="places" aria-hidden="true"></span> <span class="left"></span>
</button></li>
"""
_MARKUP = f"""
<div class="gate moe-part" data-picture data-moe="gate" data-state="loading" data-placed="0">
  <div class="top">
    <button type="button" class="start">Start</button>
    <label class="calm"><input type="checkbox">Without the clock</label>
    <p class="clock"><span class="seconds"></span> <span class="count"></span></p>
  </div>
  <progress class="time" aria-label="Time left"></progress>
  <p class="text" aria-label="The text so far"><span class="before"></span><span
    class="sent"></span></p>
  <p class="ask" aria-live="polite"></p>
  <ol class="experts" aria-label="Experts">{_EXPERT * len(NAMES)}</ol>
</div>
"""
_board = component("gate", __file__, _MARKUP, "board.js", "board.css")


def payload(game: Game, moves: str) -> dict[str, Any]:
    """What the board shows: the text, the router's ratings, and moves that were made before."""
    colours = EXPERT_COLOURS[: len(NAMES)]
    return {
        "id": f"{game.seed} {moves}",
        "before": game.before,
        "tokens": game.tokens,
        "percent": (100 * game.score_NE).round().astype(int).tolist(),
        "names": list(NAMES),
        "colours": list(colours),
        "inks": [letter_ink(colour) for colour in colours],
        "room": ROOM,
        "seconds": SECONDS,
        "lost": LOST,
        "moves": moves if len(moves) == N_CHARACTERS else "",
    }


def board(game: Game, moves: str, on_moves: Callable[[], None]) -> None:
    """Show the board; `on_moves` is called when the last character was sent.

    For tests and screen readers its root `[data-moe="gate"]` carries `data-state` (ready, playing
    or done) and `data-placed` (characters that were sent).
    """
    _board(key="gate", data=payload(game, moves), on_moves_change=on_moves)
