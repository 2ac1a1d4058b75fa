"""What a lesson's tests hold its numbers against: `tests/lessons/course/NAME.py` of each lesson.

Such a file has two dictionaries with an entry for each question and each figure of the lesson.
`QUESTIONS`: examples worked by hand. `FIGURES`: functions that work out anew what must be drawn.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from moe.lessons import Lesson, Question, ask, show
from moe.lessons.notebook import FIRST_CELL
from moe.lessons.picture import Shown


@dataclass(frozen=True)
class Worked:
    """One example: values, the right number, and the number of each slip."""

    right: float
    slips: dict[str, float]
    values: dict[str, Any] = field(default_factory=dict)
    within: float | None = None  # where the numbers come from a run: their relative difference


@dataclass(frozen=True)
class Drawn:
    """What a figure has to show: numbers of rows, some of the rows, and words."""

    counts: dict[str, int]
    rows: dict[str, list[dict[str, Any]]]
    alt: tuple[str, ...]
    caption: tuple[str, ...]


def of_lesson(name: str) -> ModuleType:
    return importlib.import_module(f"tests.lessons.course.{name}")


@dataclass(frozen=True)
class Ran:
    """A lesson's code after it ran: its names, and outputs in the text that it does not print."""

    names: dict[str, Any]
    wrong: tuple[str, ...]


@cache
def ran(lesson: Lesson) -> Ran:
    """Run a lesson's code where a notebook runs it."""
    names: dict[str, Any] = {}
    exec(FIRST_CELL, names)
    printed, wrong = "", []
    for part in lesson.parts:
        if part.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(part.text, lesson.name, "exec"), names)
            printed = out.getvalue()
        elif part.kind == "text" and printed.strip() != part.text.strip():
            wrong.append(f"{lesson.name}: prints {printed!r}, shows {part.text!r}")
        if names["ask"] is not ask or names["show"] is not show:
            wrong.append(f"{lesson.name}: its code takes a name that cells of the notebook need")
    return Ran(names, tuple(wrong))


def wrong_numbers(question: Question, worked: Worked) -> Iterator[str]:
    """Numbers of a question that differ from those that were worked out by hand."""
    forms = {"": question.form} | {slip.name: slip.form for slip in question.slips}
    wanted = {"": worked.right} | worked.slips
    if set(forms) != set(wanted):
        yield f"slips are {sorted(forms)}, worked out are {sorted(wanted)}"
    for name in set(forms) & set(wanted):
        found = forms[name](worked.values)
        if found != pytest.approx(wanted[name], rel=worked.within or 1e-6, abs=1e-9):
            yield f"{name or 'right'}: is {found}, worked out is {wanted[name]}"


def wrong_drawing(shown: Shown, drawn: Drawn) -> Iterator[str]:
    """What a figure shows otherwise than it was worked out."""
    data = shown.figure.data
    if {name: len(rows) for name, rows in data.items()} != drawn.counts:
        yield f"rows are { ({name: len(rows) for name, rows in data.items()}) }"
    for name, rows in drawn.rows.items():
        for wanted in rows:
            if not any(_same(row, wanted) for row in data[name]):
                yield f"{name} lacks {wanted}"
    for text, told in ((shown.figure.alt, drawn.alt), (shown.caption, drawn.caption)):
        for words in told:
            if words not in text:
                yield f"{words!r} is not in {text!r}"


def _same(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return set(row) == set(wanted) and all(
        row[key] == (pytest.approx(one, rel=1e-4) if isinstance(one, float) else one)
        for key, one in wanted.items()
    )
