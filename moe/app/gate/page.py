"""The page Be the gate: sixty seconds in the place of the router."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from ..shared import parts
from ..shared.kept import KEPT
from ..shared.parts import BOUND
from ..shared.share_box import share_box
from . import chart as charts
from . import share, story
from .board import board
from .game import LOST, MAX_SEED, N_CHARACTERS, NAMES, Game, Model, deal, players, ready_game

MOVES = "moves"  # in the address


def show() -> None:
    """Show the page."""
    parts.heading(
        "Can you do the router's job?",
        "Send each character to one of four experts. The bars say how good the router thinks each "
        "one is at it; each has six places. A character without a place gets no expert.",
    )
    with st.spinner("Training four experts on this computer, two seconds …", show_time=False):
        model = ready_game()
    today = int(datetime.now(UTC).strftime("%Y%m%d"))
    stage = st.container()
    seed = st.number_input(
        "Seed: everybody gets the same text from the same one; today's is the date",
        0, MAX_SEED, today, key="seed", **BOUND,
    )  # fmt: skip
    game = _game(model, int(seed))
    moves = _moves(game)
    with stage:
        board(game, moves, lambda: _played(game))
    results = players(game, moves)
    st.markdown(f"**{story.words(results)}**")
    if moves:
        parts.show(charts.choices(game, results, parts.ink()), "choices")
        st.table(story.rows(results))
        st.caption(
            "Points: 0 if nobody worked on any character, 100 for the best that the room allows. "
            "It was found exactly, and it knows which characters follow; nobody who plays does."
        )
    share_box(
        "gate",
        share.code(game.seed, moves),
        None,
        lambda: share.document(model, game, results),
        lambda: charts.choices(game, results),
        f"seed {game.seed}",
    )
    parts.next_step("gate", story.words(results) if moves else "")


def _game(model: Model, seed: int) -> Game:
    return KEPT.in_turn(("gate", seed), lambda: deal(model, seed))


def _moves(game: Game) -> str:
    """The moves in the address, if they are of this game and of its length; others are removed."""
    given = st.query_params.get(MOVES, "")
    of, _, moves = given.partition(".")
    if of == str(game.seed) and len(moves) == N_CHARACTERS and set(moves) <= {*NAMES, LOST}:
        return moves
    if given:
        del st.query_params[MOVES]
    return ""


def _played(game: Game) -> None:
    """Keep moves that were just made in the address; a link to it shows the same result."""
    moves = getattr(st.session_state.get("gate"), MOVES, None)
    if isinstance(moves, str) and len(moves) == N_CHARACTERS and set(moves) <= {*NAMES, LOST}:
        st.query_params[MOVES] = f"{game.seed}.{moves}"
