"""Lessons: one Markdown text each, from which page, notebook, terminal and tests are made."""

from __future__ import annotations

from .asking import ask, judge
from .catalogue import lesson, lessons, named, prompt, question, show, values_of
from .notebook import notebook
from .question import Question, Slip, Verdict
from .readability import readability
from .reader import Lesson, Part

__all__ = [
    "Lesson",
    "Part",
    "Question",
    "Slip",
    "Verdict",
    "ask",
    "judge",
    "lesson",
    "lessons",
    "named",
    "notebook",
    "prompt",
    "question",
    "readability",
    "show",
    "values_of",
]
