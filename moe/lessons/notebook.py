"""A lesson as a Jupyter notebook: nbformat 4.5, the same bytes each time, and no dependency."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .catalogue import lesson, prompt
from .links import in_notebooks
from .reader import PROSE, Part

FIRST_CELL = "from moe.lessons import ask, show"


def make_notebook(name: str, student: str = "") -> bytes:
    """Return a lesson as the bytes of an `.ipynb` file.

    A question becomes its text and a cell with three dots to be replaced, so that the notebook
    runs from top to bottom as it is.

    Parameters
    ----------
    name
        The lesson's.
    student
        Whose values its questions have.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    read = lesson(name)
    head = f"# {read.title}\n\n*{read.minutes} minutes. It runs wherever `import moe` does.*"
    cells = [("markdown", head), ("code", FIRST_CELL)]
    for part in read.parts:
        cells += _cells(part, student)
    made = {
        "cells": [_cell(name, number, kind, text) for number, (kind, text) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode()


def _cells(part: Part, student: str) -> list[tuple[str, str]]:
    """Kind and text of the cells that a part becomes; outputs are for the reader to make."""
    if part.kind == PROSE:
        return [("markdown", in_notebooks(part.text))]
    if part.kind == "python":
        return [("code", part.text)]
    if part.kind == "figure":
        return [("code", f"show({part.name!r})")]
    if part.kind == "question":
        whose = f", student={student!r}" if student else ""
        asked = f"**Question.** {in_notebooks(prompt(part.name, student))}"
        return [("markdown", asked), ("code", f"ask({part.name!r}, ...{whose})")]
    return []


def _cell(name: str, number: int, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": hashlib.sha256(f"{name} {number}".encode()).hexdigest()[:8],
        "metadata": {},
        "source": text.strip("\n").splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
