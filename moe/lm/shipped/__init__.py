"""Finished runs of language models that the package carries: records and samples, no weights.

`python -m docs.generator --lm-run NAME` makes them again. What their parts mean is said where they
are read (`moe.studies`).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from ...checkpoints.strict_json import parse_object

HERE = Path(__file__).parent
KIND = "shipped language model run"


def path_of(name: str) -> Path:
    """Where a run of this name is kept."""
    return HERE / f"{name}.json.gz"


def pack(name: str, content: dict[str, Any]) -> bytes:
    """Return a document as it is kept; the same content gives the same bytes."""
    text = json.dumps({"kind": KIND, "name": name, **content}, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def unpack(name: str) -> dict[str, Any]:
    """Return the document of this name.

    Raises
    ------
    CheckpointError
        If it is no JSON object.
    ValueError
        If it is another document.
    """
    document = parse_object(gzip.decompress(path_of(name).read_bytes()), f"{name}.json")
    if document.pop("kind", None) != KIND or document.pop("name", None) != name:
        raise ValueError(f"name: got another document in {name!r}, allowed is a run of that name")
    return document
