"""Answers, held against a question: for notebooks, for the terminal, for graders."""

from __future__ import annotations

from typing import Any

from .catalogue import question_of, values_of
from .question import Verdict

WAITING = "Your number first: put it in place of the three dots, and run the cell again."


def judge(name: str, answer: float | str, student: str = "") -> Verdict:
    """Hold an answer against the right number and every known slip.

    Parameters
    ----------
    name
        Full name of the question, such as 'letters.third'.
    answer
        A number, or the text of one, in the question's unit.
    student
        Whose values the question was asked with; any text.

    Raises
    ------
    ValueError
        If there is no such question, or the answer is no number.

    Examples
    --------
    >>> from moe.lessons import judge
    >>> judge("letters.third", 0.5).right
    True
    """
    try:
        number = float(answer)
    except (TypeError, ValueError):
        raise ValueError(f"answer: got {answer!r}, allowed is a number") from None
    return question_of(name).judge(number, values_of(name, student))


def ask(name: str, answer: Any = ..., student: str = "") -> Verdict:
    """Judge an answer in a notebook, whose cells show what this returns.

    Parameters
    ----------
    name, student
        As in `judge`.
    answer
        A number; while it is the three dots, the notebook asks for one.

    Raises
    ------
    ValueError
        As in `judge`.
    """
    if answer is ...:
        question_of(name)
        return Verdict(False, False, "", WAITING)
    return judge(name, answer, student)
