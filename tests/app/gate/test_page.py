"""The page Be the gate without a browser."""

from __future__ import annotations

import pytest

from moe.app.gate import story
from moe.app.gate.game import deal, players, ready_game
from tests.app.visit import open_page, specs, words


def test_a_link_shows_the_result_of_its_moves() -> None:
    moves = "ABCD" * 6
    page = open_page("gate", seed="7", moves=f"7.{moves}")
    assert not page.exception and not page.error
    results = players(deal(ready_game(), 7), moves)
    assert story.words(results) in words(page)
    assert len(specs(page)) == 1 and len(page.table) == 1


@pytest.mark.parametrize(
    "moves", ["7.ABC", "8." + "A" * 24, "7." + "Z" * 24, "<b>", "7." + "A" * 99]
)
def test_moves_that_are_none_are_taken_out_of_the_address(moves: str) -> None:
    page = open_page("gate", seed="7", moves=moves)
    assert not page.exception and not specs(page)
    assert "moves" not in page.query_params
    assert "of 100 points" in words(page)
