"""Lessons: one Markdown text each, from which page, notebook, terminal and tests are made.

Beside them, in `steps`, those in which a reader builds a layer. The names load on first use: what
runs a reader's code apart needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asking import ask as ask
    from .asking import judge as judge
    from .catalogue import lesson as lesson
    from .catalogue import lessons as lessons
    from .catalogue import named as named
    from .catalogue import prompt as prompt
    from .catalogue import question_of as question_of
    from .catalogue import show as show
    from .catalogue import values_of as values_of
    from .notebook import make_notebook as make_notebook
    from .question import Question as Question
    from .question import Slip as Slip
    from .question import Verdict as Verdict
    from .readability import readability_of as readability_of
    from .reader import Lesson as Lesson
    from .reader import Part as Part

_HOME = {
    "asking": ("ask", "judge"),
    "catalogue": (
        "lesson", "lessons", "named", "prompt", "question_of", "show", "values_of",
    ),
    "notebook": ("make_notebook",),
    "question": ("Question", "Slip", "Verdict"),
    "readability": ("readability_of",),
    "reader": ("Lesson", "Part"),
}  # fmt: skip
_NAMES = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value
    return value
