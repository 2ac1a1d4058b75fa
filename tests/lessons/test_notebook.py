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


def test_all_notebooks_run_from_top_to_bottom() -> None:
    """In one process, each in a fresh namespace: a process of its own costs seconds."""
    whole = nbformat.v4.new_notebook()
    for name in FILES:
        whole.cells.append(nbformat.v4.new_code_cell("%reset -f"))
        whole.cells += nbformat.reads(make_notebook(name).decode(), as_version=4).cells
    client = NotebookClient(whole, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    shown = [one for cell in whole.cells for one in cell.get("outputs", ())]
    pictures = [one for one in shown if "image/svg+xml" in one.get("data", {})]
    waiting = [one for one in shown if one.get("data", {}).get("text/plain") == WAITING]
    read = [lesson(name) for name in FILES]
    assert len(pictures) == sum(len(one.of("figure")) for one in read)
    assert len(waiting) == sum(len(one.of("question")) for one in read)
