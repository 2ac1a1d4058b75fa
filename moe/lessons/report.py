"""What `moe lesson` says: rows of all lessons, one as text or as data, answers with verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..errors import check_choice
from .asking import judge
from .catalogue import lesson, lessons, named, prompt, question_of, values_of
from .links import without_links
from .readability import readability_of
from .reader import PROSE, Part


def catalogue_rows() -> list[dict[str, Any]]:
    """Return a row per lesson: what it asks, what it takes, and how hard it is to read."""
    rows = []
    for number, one in enumerate(lessons()):
        read = readability_of(one)
        rows.append(
            {
                "lesson": number, "name": one.name, "title": one.title, "minutes": one.minutes,
                "after": ", ".join(one.needs), "questions": len(one.of("question")),
                "words": read.words, "longest": read.longest, "grade": round(read.grade, 1),
            }
        )  # fmt: skip
    return rows


def lesson_json(name: str, student: str = "") -> dict[str, Any]:
    """Return a lesson as plain data; of questions what is asked, and not what is right.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    read = lesson(name)
    return {
        "name": read.name,
        "title": read.title,
        "minutes": read.minutes,
        "needs": list(read.needs),
        "student": student,
        "readability": asdict(readability_of(read)),
        "parts": [_part_json(part, student) for part in read.parts],
    }


def _part_json(part: Part, student: str) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": part.kind, "text": part.text}
    if part.name:
        said["name"] = part.name
    if part.kind == "question":
        asked = question_of(part.name)
        said |= {
            "text": prompt(part.name, student), "values": dict(values_of(part.name, student)),
            "unit": asked.unit, "tolerance": asked.tolerance,
        }  # fmt: skip
    return said


def lesson_text(name: str, student: str = "") -> str:
    """Return a lesson as Markdown for a terminal: no links, a student's numbers.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    read = lesson(name)
    head = f"# {read.title}\n\n*{read.minutes} minutes*"
    return "\n\n".join([head, *(_part_text(part, student) for part in read.parts)])


def _part_text(part: Part, student: str) -> str:
    if part.kind == PROSE:
        return without_links(part.text)
    if part.kind == "question":
        return f"> **Question** `{part.name}`: {without_links(prompt(part.name, student))}"
    if part.kind == "figure":
        return f"> **Figure** `{part.name}`: in the notebook, and on the lesson's page."
    return f"```{part.kind}\n{part.text}```"


def answers(name: str, given: Sequence[str], student: str = "") -> list[dict[str, Any]]:
    """Judge answers that are given as QUESTION=NUMBER.

    Raises
    ------
    ValueError
        If one is not of that form, or the lesson has no such question.
    """
    known, judged = named("question", name), []
    for one in given:
        asked, equals, number = one.partition("=")
        if not equals:
            raise ValueError(f"answer: got {one!r}, allowed is QUESTION=NUMBER")
        check_choice(f"question of lesson {name}", asked, known)
        verdict = judge(asked, number, student)
        judged.append(
            {"question": asked, "answer": number, **asdict(verdict), "says": str(verdict)}
        )
    return judged
