"""Sums of money as squares: areas by hand, the question, and what is sent before an answer."""

from __future__ import annotations

from itertools import pairwise

import pytest

from moe.app.five_million import sizes
from moe.app.five_million.squares import sent
from moe.app.shared.question import SKIPPED, Guess, Question
from moe.numbers import dollars


def guess(key: str) -> Guess:
    return Guess(sizes.question(), key)


def test_areas_are_the_dollars() -> None:
    """2,788,000 hours at 2 dollars; four times that; and 1.6 billion."""
    by_hand = {"run": 5_576_000, "trials": 4 * 5_576_000, "servers": 1_600_000_000}
    found = sizes.squares()
    assert {one.key: one.dollars for one in found} == by_hand
    for one in found:
        assert one.side**2 == pytest.approx(one.dollars, rel=1e-12)
    assert found[-1].side / found[0].side == pytest.approx(16.94, abs=0.005)
    assert sizes.times() == pytest.approx(286.9, abs=0.05)
    assert [one.mark for one in found] == ["", "†", ""]  # as the table of sources has it
    assert sum(share for _, share in sizes.shares()) == pytest.approx(1)
    assert sizes.shares()[0][1] == pytest.approx(2664 / 2788)


@pytest.mark.parametrize("key", sizes.OPTIONS)
def test_a_guess_is_a_square_unless_it_is_right(key: str) -> None:
    found = sizes.squares(guess(key))
    amounts = [one.dollars for one in found]
    assert amounts == sorted(amounts)
    own = [one for one in found if one.key == sizes.GUESS]
    right = sizes.OPTIONS[key] == 1.6e9
    assert [one.dollars for one in own] == ([] if right else [sizes.OPTIONS[key]])
    said = sizes.reply(guess(key))
    assert said.startswith(f"You said {dollars(sizes.OPTIONS[key])}")
    assert ("and so does the firm" in said) == right
    assert "One firm estimates **$1.6B**: 290 times the famous figure." in said


def test_who_skips_or_answers_another_question_has_no_square() -> None:
    for other in (guess(SKIPPED), Guess(Question("?", {"1": "x"}, judged=False), "25")):
        assert sizes.guessed(other) is None and len(sizes.squares(other)) == 3
        assert "You said" not in sizes.reply(other)


def test_the_question_has_one_right_answer_and_does_not_tell_it() -> None:
    question = sizes.question()
    assert list(question.options) == list(sizes.OPTIONS)
    amounts = list(sizes.OPTIONS.values())
    assert all(b == 4 * a for a, b in pairwise(amounts))
    assert "1.6" not in question.words


def test_before_the_answer_the_browser_gets_the_run_alone() -> None:
    closed, opened = (sent(sizes.squares(), answered) for answered in (False, True))
    assert [one["key"] for one in closed["squares"]] == ["run"] and closed["steps"] == []
    assert "1.6" not in str(closed)
    assert [one["key"] for one in opened["steps"]] == ["run", "trials", "servers"]
    assert opened["unknown"] == "" and "a square of side 16.9" in opened["told"]
    assert closed["shares"] == opened["shares"] == [share for _, share in sizes.shares()]
