"""Whether somebody's function is right, and if not, which mistake explains what it returns."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...kernels.backend import steady
from ..cage.outside import Ended, Missing, Raised, Strange
from .step import Function, Learner, Step

UNKNOWN = "unknown"
SHOWN = 400  # characters of a value in a message
TOLERANCE = 1e-7
RIGHT_WORDS = "Right: every case agrees with the library."
CHANGES_INPUT = (
    "It changes an array that it was given. Whoever calls it still needs that array: a = a - b "
    "makes a new one, a -= b writes into the old."
)


@dataclass(frozen=True)
class Report:
    """What the check of a step found.

    Attributes
    ----------
    step
        Its name.
    right
        Whether every case is right.
    mistake
        '' if right; a mistake of the step; or 'unknown', 'raises', 'changes_input', 'missing',
        'strange_answer', 'no_answer', 'does_not_learn'.
    says
        What to tell the learner.
    case
        The smallest case that shows it, from 0; None if that is no matter of a case.
    """

    step: str
    right: bool
    mistake: str
    says: str
    case: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)

    def words(self) -> str:
        """The report as a line or some."""
        head = "right" if self.right else self.mistake.replace("_", " ")
        return f"{self.step}: {head}\n{self.says}"


class Functions:
    """Functions of this process as a learner: of a test, or of a notebook."""

    def __init__(self, **functions: Function) -> None:
        self._functions = functions

    def call(self, function: str, *given: Any) -> tuple[Any, list[Any]]:
        """Call one; see `Learner`."""
        if function not in self._functions:
            raise Missing(function)
        arguments = copy.deepcopy(list(given))
        try:
            with np.errstate(all="ignore"):
                value = self._functions[function](*arguments)
        except Exception as error:
            raise Raised(f"{type(error).__name__}: {error}") from error
        return value, arguments


def check_step(step: Step, learner: Learner) -> Report:
    """Check the functions of a step.

    A mistake is named only if it explains what every case returned.

    Parameters
    ----------
    step
        One of `STEPS`.
    learner
        Has the functions; one that runs in another process is asked there, and judged here.
    """
    got = []
    for number, (function, case) in enumerate(zip(step.functions(), step.cases, strict=True)):
        try:
            value, after = learner.call(function, *case)
        except (Missing, Raised, Strange, Ended) as error:
            return _broken(step, number, function, error)
        if not all(same(a, b) for a, b in zip(after, case, strict=False)):
            return Report(step.name, False, "changes_input", CHANGES_INPUT, number)
        got.append(value)
    wanted = answers(step, step.right)
    wrong = [number for number, pair in enumerate(zip(got, wanted, strict=True)) if not same(*pair)]
    if wrong:
        return _named(step, got, wrong[0], wanted[wrong[0]])
    if step.trial is not None:
        try:
            passed, words = step.trial(learner)
        except (Missing, Raised, Strange, Ended) as error:
            return _broken(step, None, "training", error)
        if not passed:
            return Report(step.name, False, "does_not_learn", words)
        return Report(step.name, True, "", f"{RIGHT_WORDS} {words}")
    return Report(step.name, True, "", RIGHT_WORDS)


def answers(step: Step, function: Function) -> list[Any]:
    """What a function returns for every case; of several parts, it takes their name first."""
    with np.errstate(all="ignore"), steady("numpy"):
        return [
            function(*((part,) if step.parts else ()), *copy.deepcopy(case))
            for part, case in zip(step.functions(), step.cases, strict=True)
        ]


def _named(step: Step, got: list[Any], number: int, wanted: Any) -> Report:
    """The first mistake that explains all that came back, or the smallest case that is wrong."""
    for mistake in step.mistakes:
        for run in (mistake.run, *mistake.also):
            theirs = answers(step, run)
            if all(same(a, b) for a, b in zip(got, theirs, strict=True)):
                return Report(step.name, False, mistake.name, mistake.says, number)
    return Report(
        step.name,
        False,
        UNKNOWN,
        f"Case {number} differs, and no known mistake explains all cases.\n"
        f"called with: {_shown(step.cases[number])}\n"
        f"returned: {_shown(got[number])}\n"
        f"right is: {_shown(wanted)}",
        number,
    )


def _broken(
    step: Step, number: int | None, function: str, error: Missing | Raised | Strange | Ended
) -> Report:
    """What to tell if there is no answer to judge."""
    where = "While training" if number is None else f"Case {number}"
    called = "" if number is None else f"\ncalled with: {_shown(step.cases[number])}"
    if isinstance(error, Missing):
        says = f"There is no function {error}. Wanted: {step.signature}"
        return Report(step.name, False, "missing", says)
    if isinstance(error, Raised):
        return Report(step.name, False, "raises", f"{where} raises {error}{called}", number)
    if isinstance(error, Strange):
        says = f"{where} returns {error}. Wanted: {step.signature}{called}"
        return Report(step.name, False, "strange_answer", says, number)
    return Report(step.name, False, "no_answer", f"{where} got no answer: {error}.{called}", number)


def same(got: Any, wanted: Any) -> bool:
    """Whether two answers are the same numbers in the same shape; NaN equals NaN only.

    Whole numbers are wanted where the right answer has them: they are used as places.
    """
    if isinstance(wanted, tuple):
        listed = isinstance(got, (tuple, list)) and len(got) == len(wanted)
        return listed and all(same(a, b) for a, b in zip(got, wanted, strict=True))
    try:
        got_array, wanted_array = np.asarray(got), np.asarray(wanted)
        if got_array.dtype.kind not in "fiub" or got_array.shape != wanted_array.shape:
            return False
    except ValueError:  # a ragged list
        return False
    if wanted_array.dtype.kind in "iu" and got_array.dtype.kind not in "iu":
        return False
    return np.allclose(got_array, wanted_array, rtol=TOLERANCE, atol=1e-9, equal_nan=True)


def _shown(value: Any) -> str:
    """A value in one line, as Python writes it, cut if it is long."""
    if isinstance(value, (tuple, list)):
        text = ", ".join(map(_shown, value[:SHOWN]))
    else:
        array = np.asarray(value)
        if array.size > SHOWN:
            return f"{array.dtype} of shape {array.shape}"
        plain = array.tolist() if array.dtype.kind != "f" else np.round(array, 6).tolist()
        text = " ".join(str(plain).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
