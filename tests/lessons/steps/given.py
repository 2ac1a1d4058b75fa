"""Right solutions of all steps, in five styles, as the texts of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "solutions"
SOURCES = {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.py"))}
PLAIN = SOURCES["plain"]


def functions(source: str) -> dict[str, Any]:
    """The functions of a source."""
    space: dict[str, Any] = {}
    exec(compile(source, "solution", "exec"), space)
    return {name: value for name, value in space.items() if callable(value)}
