"""What a visitor takes along: a run as JSON with the versions behind it, and calls as text."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from typing import Any

from ...speed.machine import versions
from ...training import TrainSettings
from ...version import __version__


def json_document(kind: str, content: dict[str, Any]) -> bytes:
    """Return a page's run as JSON, after its kind and the versions of the libraries behind it."""
    head = {"kind": kind, "moescope": __version__, "versions": versions()}
    return json.dumps(head | content, indent=1).encode()


def changed(settings: Any) -> dict[str, Any]:
    """Fields that differ from their defaults."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
    }


def call(name: str, settings: Any) -> str:
    """Return a constructor call with the changed fields only."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in changed(settings).items())
    return f"{name}({arguments})"


def train_command(settings: TrainSettings) -> str:
    """Command line that does the same run."""
    named = {"balance": settings.balance, "steps": settings.steps, "seed": settings.seed}
    words = ["moe", "train"]
    for name, value in (changed(settings) | named).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
