"""A student's answers in the address: one number for each question, and one more if tried again."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

APART, AGAIN = "_", "~"  # between questions, and before the last try
DIGITS, MOST_LETTERS = 12, 20  # of a number
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Answer:
    """What was answered to a question: the guess, and the latest number."""

    first: float
    last: float


def written(answers: Sequence[Answer]) -> str:
    """Return answers, in the order of the questions, as the address holds them."""
    return APART.join(
        _text(one.first) + (AGAIN + _text(one.last) if one.last != one.first else "")
        for one in answers
    )


def read(text: str, n_questions: int) -> list[Answer]:
    """Read answers from an address; whatever is none ends them, as do more than there are."""
    found = []
    for part in text[: n_questions * (2 * MOST_LETTERS + 2)].split(APART)[:n_questions]:
        numbers = [_number(one) for one in part.split(AGAIN)]
        if None in numbers or len(numbers) > 2:
            break
        found.append(Answer(*(one for one in (numbers[0], numbers[-1]) if one is not None)))
    return found


def answered(answers: Sequence[Answer], place: int, number: float) -> list[Answer]:
    """Return answers with a number for the question at a place, which is the next one or before."""
    if place < len(answers):
        again = Answer(answers[place].first, number)
        return [*answers[:place], again, *answers[place + 1 :]]
    return [*answers, Answer(number, number)]


def _text(number: float) -> str:
    return f"{number:.{DIGITS}g}".replace("e+", "e")


def _number(text: str) -> float | None:
    if len(text) > MOST_LETTERS or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
