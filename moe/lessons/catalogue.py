"""All lessons by name, with their questions and figures; each is read when it is asked for."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import check_choice
from .course import FILES
from .picture import Shown
from .question import Question, Values, filled
from .reader import Lesson, Part, parse_lesson

FOLDER = Path(__file__).with_name("course")


@cache
def lesson(name: str) -> Lesson:
    """Return a lesson by name.

    Raises
    ------
    ValueError
        If there is none of that name, or its text is not well formed.
    """
    check_choice("lesson", name, FILES)
    return parse_lesson(name, (FOLDER / f"{name}.md").read_text("utf-8"))


def lessons() -> list[Lesson]:
    """Return all lessons, in the order in which they are read."""
    return [lesson(name) for name in FILES]


def question_of(name: str) -> Question:
    """Return a question by its full name, such as 'letters.third'.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    found: Question = _entry("question", "QUESTIONS", name)
    return found


@cache
def show(name: str) -> Shown:
    """Draw a figure by its full name, with its caption; a notebook shows what this returns.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    picture = _entry("figure", "FIGURES", name)()
    return Shown(picture.figure, filled(_part("figure", name).text.strip(), picture.numbers))


def prompt(name: str, student: str = "") -> str:
    """Return the text that asks a question, with a student's values in it.

    Raises
    ------
    ValueError
        If there is no question of that name.
    """
    return filled(_part("question", name).text.strip(), values_of(name, student))


def values_of(name: str, student: str = "") -> Values:
    """Return what a student's question is asked with.

    Raises
    ------
    ValueError
        If there is no question of that name.
    """
    return question_of(name).values(name, student)


def named(kind: str, of_lesson: str) -> list[str]:
    """Return the full names of the questions or figures that a lesson's module holds."""
    check_choice("lesson", of_lesson, FILES)
    table = {"question": "QUESTIONS", "figure": "FIGURES"}[kind]
    return [f"{of_lesson}.{name}" for name in getattr(_module(of_lesson), table)]


def _module(of_lesson: str) -> Any:
    return importlib.import_module(f".course.{of_lesson}", __package__)


def _entry(kind: str, table: str, name: str) -> Any:
    of_lesson, _, own = name.partition(".")
    check_choice(f"lesson of {kind} {name}", of_lesson, FILES)
    known = getattr(_module(of_lesson), table)
    return known[check_choice(f"{kind} of lesson {of_lesson}", own, known)]


def _part(kind: str, name: str) -> Part:
    (part,) = (one for one in lesson(name.partition(".")[0]).of(kind) if one.name == name)
    return part
