"""Questions that are asked before the answer is shown, guesses, and a teacher's tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

# Names in the address; a lesson keeps numbers for its questions in `ANSWERS`.
GUESS, ASK, OPTIONS, LOCK, ANSWERS = "guess", "ask", "options", "lock", "answers"
SKIPPED = "skip"
LOCKED, HIDDEN = "shown", "hidden"  # what a lock makes of the controls
MAX_QUESTION, MAX_OPTION, MAX_OPTIONS = 200, 60, 6


@dataclass(frozen=True)
class Question:
    """A question with the answers that one may click.

    Attributes
    ----------
    words
        The question, which does not tell its answer.
    options
        What stands on each button, by its name in the address.
    judged
        Whether the page can tell which answer is right: of a teacher's own question it cannot.
    by
        What on the page gives the answer, as it stands in a sentence.
    """

    words: str
    options: Mapping[str, str] = field(default_factory=dict)
    judged: bool = True
    by: str = "the run"


@dataclass(frozen=True)
class Guess:
    """What a visitor answered: the name of an option, `SKIPPED`, or her own words."""

    question: Question
    key: str

    @property
    def skipped(self) -> bool:
        """Whether the visitor did not want to guess."""
        return self.key == SKIPPED

    @property
    def words(self) -> str:
        """The answer in words; empty if skipped."""
        return "" if self.skipped else self.question.options.get(self.key, self.key)

    def reply(self, truth: str, told: str) -> str:
        """Hold the guess against what came out.

        Parameters
        ----------
        truth
            Name of the option that is right.
        told
            What came out, in a whole sentence.

        Returns
        -------
        str
            Plain text, with a visitor's own words in it as they stand.
        """
        if self.skipped:
            return told
        said, by = f"You said: {self.words.rstrip('.')}.", self.question.by
        if not self.question.judged:
            return f"{said} {by.capitalize()}: {told}"
        if self.key == truth:
            return f"{said} So did {by}. {told}"
        right = self.question.options[truth].rstrip(".")
        return f"{said} {by.capitalize()} said: {right}. {told}"


@dataclass(frozen=True)
class Task:
    """What a teacher's link asks for.

    Attributes
    ----------
    words
        The teacher's own question; the page's own if empty.
    options
        Answers to it; the pupil writes one if there are none.
    lock
        `LOCKED` (controls cannot be changed), `HIDDEN`, or empty.
    """

    words: str = ""
    options: tuple[str, ...] = ()
    lock: str = ""

    def in_address(self) -> dict[str, str]:
        """Return what the address needs to hold for this task."""
        options = "|".join(option.replace("|", "/") for option in self.options)
        parts = {ASK: self.words, OPTIONS: options, LOCK: self.lock}
        return {name: text for name, text in parts.items() if text}


def closest(values: Mapping[str, float], truth: float) -> str:
    """Return the name of the positive value whose ratio to the truth is nearest to one."""
    return min(values, key=lambda name: abs(math.log(max(truth, 1e-12) / values[name])))
