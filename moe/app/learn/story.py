"""A lesson as far as a student has answered it, and its answers in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from ...lessons import Lesson, Part, Verdict, judge, lesson, lessons, prompt, question_of
from ...lessons.catalogue import FOLDER
from ...lessons.course import FILES
from ...lessons.links import led
from ..shared.documents import reading_address
from ..shared.guesses import MAX_TEXT, Given
from .answers import Answer

PAGE, LESSON, STUDENT = "learn", "lesson", "student"  # the page, and names in the address
MAX_STUDENT = 40  # letters
GUESS_FIRST = "## Guess first\n"  # the heading above each lesson's first question
ROOM = 44  # words of title and text above the first question
ANOTHER = "another number"
RIGHT = "right"
_CODE = re.compile(r"(`[^`]*`)")
_VALUE = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Marked:
    """An answered question, judged.

    Attributes
    ----------
    said
        What was answered, in a sentence.
    says, right
        The verdict on the latest number, and whether it is the right one.
    given
        The guess as the file of guesses holds it.
    """

    said: str
    says: str
    right: bool
    given: Given


def asked_lesson(name: str) -> str:
    """Return the name of the lesson that an address asks for; empty if there is none."""
    return name if name in FILES else ""


def student_of(name: str) -> str:
    """Return a student's name as the lessons use it."""
    return " ".join(name.split())[:MAX_STUDENT]


# What is shown -----------------------------------------------------------------------------------


def opening(one: Lesson) -> tuple[str, str]:
    """Return what stands above a lesson's first question: what is folded, and what is in view.

    Paragraphs right before the question are in view as far as a first screen has room for them.
    """
    before, _, rest = one.parts[0].text.partition(GUESS_FIRST)
    folded, shown = rest.strip().split("\n\n"), list[str]()
    room = ROOM - len(one.title.split())
    while folded and len(folded[-1].split()) <= room:
        room -= len(folded[-1].split())
        shown.insert(0, folded.pop())
    return "\n\n".join([before.strip(), *folded]), "\n\n".join(shown)


def up_to(one: Lesson, n_answered: int) -> list[Part]:
    """Return a lesson's parts below its opening, up to the first question without an answer."""
    shown: list[Part] = []
    asked = 0
    for part in one.parts[1:]:
        shown.append(part)
        if part.kind == "question":
            asked += 1
            if asked > n_answered:
                break
    return shown


def places(one: Lesson) -> dict[str, int]:
    """Return the places of a lesson's questions, from 0, by their full names."""
    return {part.name: place for place, part in enumerate(one.of("question"))}


def numbered(one: Lesson, name: str) -> str:
    """Return which of the lesson's questions one is, in words."""
    return f"Question {places(one)[name] + 1} of {len(places(one))}."


def address_of(name: str, student: str = "") -> str:
    """Return the address of a lesson within the app."""
    named = {LESSON: name} | ({STUDENT: student} if student else {})
    return f"/{PAGE}?{urlencode(named)}"


def in_the_app(text: str, student: str = "") -> str:
    """Return a lesson's Markdown for a page: links stay within the app, a dollar is a dollar."""

    def elsewhere(path: str) -> str:
        file = path.partition("#")[0]
        name = file.removesuffix(".md")
        return address_of(name, student) if name in FILES else reading_address(FOLDER / file)

    pieces = _CODE.split(led(text, elsewhere))
    pieces[::2] = [piece.replace("$", r"\$").replace("~", r"\~") for piece in pieces[::2]]
    return "".join(pieces)


def needs(one: Lesson) -> str:
    """Return what a lesson takes and needs, in words."""
    before = [str(FILES.index(name)) for name in one.needs]
    many = "lessons" if len(before) > 1 else "lesson"
    after = f" · after {many} {', '.join(before)}" if before else ""
    return f"{one.minutes} minutes{after}"


def listed() -> list[tuple[str, Lesson]]:
    """Return all lessons with the words that open them, in their order."""
    return [(f"{number} · {one.title}", one) for number, one in enumerate(lessons())]


def following(one: Lesson) -> Lesson | None:
    """Return the lesson after one, or None after the last."""
    rest = FILES[FILES.index(one.name) + 1 :]
    return lesson(rest[0]) if rest else None


# Answers -----------------------------------------------------------------------------------------


def number_words(number: float, unit: str) -> str:
    """Return a number with its unit."""
    return f"{number:.6g} {unit}".strip()


def marked(name: str, answer: Answer, student: str) -> Marked:
    """Judge what was answered to a question, by its full name."""
    unit = question_of(name).unit
    first = judge(name, answer.first, student)
    said = f"You said {number_words(answer.first, unit)}"
    verdict = first
    if answer.last != answer.first:
        said += f", then {number_words(answer.last, unit)}"
        verdict = judge(name, answer.last, student)
    says = f"**{'Right.' if verdict.right else 'Not yet.'}** {verdict.says}"
    return Marked(f"{said}.", says, verdict.right, _given(name, answer.first, first))


def _given(name: str, number: float, verdict: Verdict) -> Given:
    """Return a guess for the file: the number, or which mistake it shows if each has their own."""
    asked = question_of(name)
    own = bool(_VALUE.search(_source(name)))
    why = _plain(asked.why)
    if own:
        options = (RIGHT, *(_words(slip.name) for slip in asked.slips), ANOTHER)
        said = RIGHT if verdict.right else _words(verdict.slip) or ANOTHER
        return Given(PAGE, _plain(_source(name)), options, said, RIGHT, why)
    right = number_words(asked.form({}), asked.unit)
    told = f"The right number is {right}. {why}"[:MAX_TEXT]
    return Given(PAGE, _plain(prompt(name)), (), number_words(number, asked.unit), right, told)


def _source(name: str) -> str:
    """The text that asks a question, with the names of its values in braces."""
    parts = lesson(name.partition(".")[0]).of("question")
    return next(part.text for part in parts if part.name == name)


def _words(slip: str) -> str:
    return slip.replace("_", " ")


def _plain(text: str) -> str:
    """A text for a title: on one line, without marks, with dots for values that differ."""
    return " ".join(re.sub(r"[`*]", "", _VALUE.sub("…", text)).split())[:MAX_TEXT]


def progress(one: Lesson, n_answered: int) -> str:
    """Return how far a student is, in words."""
    return f"{n_answered} of {len(one.of('question'))} questions answered"


def has_ended(one: Lesson, n_answered: int) -> bool:
    """Whether all questions of a lesson are answered."""
    return n_answered == len(one.of("question"))


def ending(one: Lesson, all_marked: Sequence[Marked]) -> str:
    """Return how a lesson ended, in words; empty before its end."""
    if not has_ended(one, len(all_marked)):
        return ""
    right = sum(marked.right for marked in all_marked)
    return f"You have answered all {len(all_marked)} questions, {right} of them right by now."
