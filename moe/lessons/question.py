"""Questions with a number for an answer, and what each wrong number reveals.

As in `moe.check_gate`, an answer is held against every form that could explain it: the right one
and each known slip. Values come from a student's name, so that every student has their own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

Values = Mapping[str, Any]
Form = Callable[[Values], float]
DRAWS = 1000  # values that are tried for a student before the question counts as unfit
UNKNOWN = (
    "No slip that is known here leads to it. Write down what is counted, and step by step how."
)


def nothing(rng: np.random.Generator) -> Values:
    """Draw nothing: the question is the same for everybody."""
    return {}


@dataclass(frozen=True)
class Slip:
    """A way to go wrong.

    Attributes
    ----------
    name
        A word or two, for teachers' lists.
    form
        The number that it leads to, from a student's values.
    says
        What somebody who went this way is told; may name values in braces, as prompts do.
    """

    name: str
    form: Form
    says: str


@dataclass(frozen=True)
class Verdict:
    """What an answer shows.

    Attributes
    ----------
    answered
        False while the three dots of a notebook still stand.
    right
        Whether it is the right number, up to the question's tolerance.
    slip
        Name of the slip that leads to it; empty if none does, or if it is right.
    says
        What to tell the student.
    """

    answered: bool
    right: bool
    slip: str
    says: str

    def __str__(self) -> str:
        if not self.answered:
            return self.says
        return f"{'Right.' if self.right else 'Not yet.'} {self.says}"

    __repr__ = __str__  # what a notebook shows below a cell


@dataclass(frozen=True)
class Question:
    """A question whose answer is one number.

    The text that asks it stands in the lesson, in a fence with the question's name.

    Attributes
    ----------
    form
        The right number, from a student's values.
    why
        What somebody who has it right is told.
    slips
        Ways to go wrong.
    tolerance
        Largest difference that counts as the same number, in the answer's unit.
    unit
        Of the answer, such as '%'.
    draw
        Values that differ between students; plain numbers, texts and lists of them.
    """

    form: Form
    why: str
    slips: tuple[Slip, ...]
    tolerance: float
    unit: str = ""
    draw: Callable[[np.random.Generator], Values] = nothing

    def values(self, name: str, student: str = "") -> Values:
        """Return a student's values: drawn again until no two forms can be confused.

        Parameters
        ----------
        name
            The question's, so that two questions with the same `draw` differ.
        student
            Any text; the same text, the same values.

        Raises
        ------
        ValueError
            If none of many draws can be told apart.
        """
        if self.draw is nothing:
            return {}
        digest = hashlib.sha256(f"{name}\n{student}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        for _ in range(DRAWS):
            values = self.draw(rng)
            if self.clear(values):
                return values
        raise ValueError(f"draw of {name}: got no values whose answers can be told apart")

    def clear(self, values: Values) -> bool:
        """Whether all answers, right and wrong, are numbers more than two tolerances apart."""
        numbers = [self.form(values), *(slip.form(values) for slip in self.slips)]
        return all(map(math.isfinite, numbers)) and all(
            abs(a - b) > 2 * self.tolerance for a, b in combinations(numbers, 2)
        )

    def judge(self, answer: float, values: Values) -> Verdict:
        """Hold an answer against the right number and every slip's."""
        if not math.isfinite(answer):
            return Verdict(True, False, "", f"A finite number is asked for, not {answer}.")
        known = [("", self.form(values), self.why)]
        known += [(slip.name, slip.form(values), slip.says) for slip in self.slips]
        slip, nearest, says = min(known, key=lambda one: abs(one[1] - answer))
        if abs(nearest - answer) > self.tolerance:
            return Verdict(True, False, "", UNKNOWN)
        return Verdict(True, not slip, slip, filled(says, values))


def filled(text: str, values: Values) -> str:
    """Return a text with a student's values in place of their names in braces.

    Examples
    --------
    >>> filled("The loads are {loads}.", {"loads": [3, 1]})
    'The loads are [3, 1].'
    """
    return text.format_map(dict(values))
