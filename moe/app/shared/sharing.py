"""What a visitor takes along: a run as JSON with the versions it depends on."""

from __future__ import annotations

import json
import shlex
from typing import Any

from ...speed.machine import versions
from ...training import TrainSettings
from ...version import __version__


def json_document(kind: str, content: dict[str, Any]) -> bytes:
    """Return a page's run as JSON, after its kind and the versions of the libraries behind it."""
    head = {"kind": kind, "moescope": __version__, "versions": versions()}
    return json.dumps(head | content, indent=1).encode()


def train_command(settings: TrainSettings) -> str:
    """Command line that does the same run."""
    return shlex.join(["moe", "train", *settings.as_flags("balance", "steps", "seed")])
