"""Script and style sheet of the stage, for components that draw with it.

A component's script is sent as text, which cannot import a file: what draws on the stage is these
scripts with the component's own after them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path


def stage_js(own: str) -> str:
    """Return the stage's scripts with a component's own script after it."""
    return f"{_file('track.js')}\n{_file('stage.js')}\n{own}"


def stage_css(own: str) -> str:
    """Return the stage's style sheet with a component's own after it."""
    return f"{_file('stage.css')}\n{own}"


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
