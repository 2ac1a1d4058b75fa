"""Answers are held against the right number and every slip, and no two of them are confused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from moe.lessons import Question, Slip, Verdict, ask, judge
from moe.lessons.asking import WAITING
from moe.lessons.question import UNKNOWN


def twice(low: int, high: int) -> Question:
    """Double a number; the slip squares it, which is the same for 2 and for 0."""
    return Question(
        draw=lambda rng: {"a": int(rng.integers(low, high))},
        form=lambda v: 2 * v["a"],
        tolerance=0.5,
        why="Twice {a}.",
        slips=(Slip("squared", lambda v: v["a"] ** 2, "You squared {a}."),),
    )


def test_values_are_drawn_again_until_no_two_answers_can_be_confused() -> None:
    asked = twice(0, 5)
    drawn = {asked.values("twice", str(student))["a"] for student in range(200)}
    assert drawn == {3, 4}  # of 1 the answers 2 and 1 are two tolerances apart, and no more
    with pytest.raises(ValueError, match="draw of twice: got no values whose answers"):
        twice(2, 3).values("twice")


def test_answers_that_are_no_numbers_are_never_clear() -> None:
    broken = Question(form=lambda v: math.nan, why="", slips=(), tolerance=0.1)
    assert not broken.clear({})


def test_values_depend_on_the_student_and_the_question_alone() -> None:
    asked = twice(3, 1000)
    assert asked.values("twice", "ada") == asked.values("twice", "ada")
    assert asked.values("twice", "ada") != asked.values("twice", "grace")
    assert asked.values("twice", "ada") != asked.values("double", "ada")
    assert asked.values("twice", "ada") == {"a": 277}  # the same on every machine


def test_an_answer_is_judged_up_to_the_tolerance() -> None:
    asked, values = twice(3, 9), {"a": 4}
    assert asked.judge(8.5, values) == Verdict(True, True, "", "Twice 4.")
    assert asked.judge(15.6, values) == Verdict(True, False, "squared", "You squared 4.")
    assert asked.judge(9, values) == Verdict(True, False, "", UNKNOWN)
    assert not asked.judge(math.inf, values).right and not asked.judge(math.nan, values).right


def test_the_nearest_of_two_close_answers_counts() -> None:
    close = Question(
        form=lambda v: 1.0, why="One.", tolerance=0.5,
        slips=(Slip("near", lambda v: 1.4, "Near."),),
    )  # fmt: skip
    assert not close.clear({})
    assert close.judge(1.1, {}).right and close.judge(1.3, {}).slip == "near"


def test_a_notebook_asks_until_the_dots_are_replaced() -> None:
    assert repr(ask("letters.third")) == WAITING
    assert repr(ask("letters.third", 0.5)).startswith("Right. ")
    assert repr(ask("letters.third", 4)).startswith("Not yet. ")
    assert ask("letters.third", np.float32(0.5)).right and ask("letters.third", "0.5").right


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("letters.third", "half", "answer: got 'half', allowed is a number"),
        ("letters.third", None, "answer: got None, allowed is a number"),
        ("letters.fourth", 1, "question of lesson letters: got 'fourth', allowed is one of fresh"),
        ("numbers.third", 1, "lesson of question numbers.third: got 'numbers', allowed is one of"),
    ],
)
def test_what_cannot_be_judged_is_refused(name: str, answer: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        judge(name, answer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(name, answer)
