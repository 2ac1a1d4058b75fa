"""Notebooks: valid, the same bytes each time, and they run from top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from moe.lessons import lesson, make_notebook, prompt
from moe.lessons.asking import WAITING
from moe.lessons.course import FILES
from moe.lessons.notebook import FIRST_CELL

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", FILES)
def test_a_notebook_is_valid_and_the_same_each_time(name: str) -> None:
    made = make_notebook(name, "ada")
    assert made == make_notebook(name, "ada") != make_notebook(name, "grace")
    read = nbformat.reads(made.decode(), as_version=nbformat.NO_CONVERT)
    nbformat.validate(read)
    assert (read.nbformat, read.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in read.cells}) == len(read.cells)
    text = "\n".join(cell.source for cell in read.cells)
    assert "docs/" not in text.replace("`docs/", "") and ".md)" not in text
    for part in lesson(name).of("question"):
        assert prompt(part.name, "ada") in text or "](" in part.text
        assert f"ask('{part.name}', ..., student='ada')" in text
    assert [json.loads(made)["cells"][0]["id"]] == [cell.id for cell in read.cells[:1]]


def code_of(name: str) -> list[str]:
    """Code cells of a notebook."""
    cells = nbformat.reads(make_notebook(name).decode(), as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", FILES)
def test_its_cells_are_the_code_that_prints_what_the_lesson_shows(name: str) -> None:
    """What they print is compared in `test_course.py`."""
    form = {"python": "{0.text}", "figure": "show({0.name!r})", "question": "ask({0.name!r}, ...)"}
    parts = [part for part in lesson(name).parts if part.kind in form]
    wanted = [form[part.kind].format(part).strip("\n") for part in parts]
    assert code_of(name) == [FIRST_CELL, *wanted]


def test_a_notebook_runs_from_top_to_bottom_in_its_kernel() -> None:
    """One for all: a process of its own costs seconds, and trains again what lessons share."""
    whole = nbformat.reads(make_notebook(FILES[0]).decode(), as_version=4)
    client = NotebookClient(whole, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    shown = [one for cell in whole.cells for one in cell.get("outputs", ())]
    pictures = [one for one in shown if "image/svg+xml" in one.get("data", {})]
    waiting = [one for one in shown if one.get("data", {}).get("text/plain") == WAITING]
    read = lesson(FILES[0])
    assert len(pictures) == len(read.of("figure"))
    assert len(waiting) == len(read.of("question"))
