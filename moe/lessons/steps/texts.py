"""What each step asks for and why: its Markdown text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import STEPS
from .submission import check_name

FOLDER = Path(__file__).resolve().parent / "texts"


def text_of(name: str) -> str:
    """Return a step's Markdown."""
    return (FOLDER / f"{check_name(name)}.md").read_text("utf-8")


def title_of(name: str) -> str:
    """Return the heading of a step's text."""
    return text_of(name).partition("\n")[0].removeprefix("# ")


def step_rows() -> list[dict[str, Any]]:
    """A row for each step, in order."""
    return [
        {
            "step": name,
            "what": title_of(name),
            "function": step.signature,
            "mistakes known": len(step.mistakes),
        }
        for name, step in STEPS.items()
    ]


def description(name: str) -> dict[str, Any]:
    """A step as plain data: name, signature and text.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    text = text_of(name)
    return {"step": name, "function": STEPS[name].signature, "text": text}
