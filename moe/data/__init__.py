"""Tasks, generated or made of text that every machine already has; `TASKS` is the registry."""

from __future__ import annotations

from ..errors import check_choice
from .corpus import Corpus, Domain, from_bytes, from_file, load_corpus
from .dialects import DialectsTask
from .planar import PLANAR_TASKS, PlanarTask, spirals
from .text import TextTask, token_text, windows

Task = TextTask | PlanarTask | DialectsTask
TASKS = {
    TextTask.name: TextTask.title,
    **{name: task.title for name, task in PLANAR_TASKS.items()},
    DialectsTask.name: DialectsTask.title,
}


def make_task(name: str, context: int = 6, text: str | None = None) -> Task:
    """Return a task by name.

    Parameters
    ----------
    context
        Number of tokens in a window, for tasks that have tokens.
    text
        Path of a text file for the text task, which otherwise uses the built-in corpus.

    Raises
    ------
    ValueError
        If the name is unknown, the file cannot be used, or a file is given to another task.
    """
    check_choice("task", name, TASKS)
    if name == TextTask.name:
        return TextTask(from_file(text) if text is not None else load_corpus(), context)
    if text is not None:
        raise ValueError(f"text: got {text!r} with task {name!r}, allowed is a file with task text")
    return DialectsTask(context) if name == DialectsTask.name else PLANAR_TASKS[name]


__all__ = [
    "TASKS",
    "Corpus",
    "DialectsTask",
    "Domain",
    "PlanarTask",
    "Task",
    "TextTask",
    "from_bytes",
    "from_file",
    "load_corpus",
    "make_task",
    "spirals",
    "token_text",
    "windows",
]
