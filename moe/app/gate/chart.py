"""The picture of the game: where each player sent each character."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from ...pictures.experts import EXPERT_COLOURS, expert_name, letter_ink
from ...pictures.figure import Chart, Figure, draw, drawn_once
from ...pictures.marks import name_axis
from ...pictures.palette import GREY, PAPER_INK
from .game import NOBODY, Game, Result
from .story import words

LOST_SIGN = "×"


def choices(game: Game, results: Sequence[Result], ink: str = PAPER_INK) -> Figure:
    """Draw a row of boxes for each player, in the colour and with the letter of the expert."""
    cells = [
        {
            "who": result.who,
            "place": n,
            "character": token,
            "expert": LOST_SIGN if e == NOBODY else expert_name(e),
            "colour": GREY if e == NOBODY else EXPERT_COLOURS[e],
            "ink": ink if e == NOBODY else letter_ink(EXPERT_COLOURS[e]),
            "filled": 0.0 if e == NOBODY else 1.0,
        }
        for result in results
        for n, (token, e) in enumerate(zip(game.tokens, result.expert_N.tolist(), strict=True))
    ]
    letters = [{"place": n, "character": token} for n, token in enumerate(game.tokens)]
    return Figure(
        "Who worked on which character",
        _choices(tuple(result.who for result in results), ink),
        f"{words(results)} " + "; ".join(
            f"{result.who}: " + "".join(
                LOST_SIGN if e == NOBODY else expert_name(e) for e in result.expert_N.tolist()
            )
            for result in results
        ),
        {"cells": cells, "letters": letters},
    )  # fmt: skip


@drawn_once
def _choices(players: tuple[str, ...], ink: str) -> Chart:
    y = alt.Y("who:N", sort=list(players), axis=name_axis(labelLimit=150))
    x = alt.X("place:O", axis=None)
    boxes = draw("cells").mark_rect(cornerRadius=2, strokeWidth=1, height=alt.RelativeBandSize(0.8))
    boxes = boxes.encode(
        x=x, y=y,
        fill=alt.Fill("colour:N", scale=None),
        stroke=alt.Stroke("colour:N", scale=None),
        fillOpacity=alt.FillOpacity("filled:Q", scale=None),
        tooltip=["who:N", "character:N", "expert:N"],
    )  # fmt: skip
    names = draw("cells").mark_text(fontSize=11, fontWeight="bold")
    names = names.encode(x=x, y=y, text="expert:N", color=alt.Color("ink:N", scale=None))
    text = draw("letters").mark_text(fontSize=13, baseline="bottom", color=ink)
    text = text.encode(x=x, y=alt.value(-4), text="character:N")
    return alt.LayerChart(layer=[boxes, names, text]).properties(
        height=34 * len(players), padding={"top": 24, "left": 0, "right": 0, "bottom": 0}
    )
