"""Tables that ship: what is published, with its source, as csv files; and configurations."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from typing import Any


def rows_of(name: str, package: str = __package__ or "") -> list[dict[str, str]]:
    """The rows of a csv file, cells as text under the names of their columns.

    Lines that begin with # are left out.

    Parameters
    ----------
    name, package
        The file's name without .csv, and the package whose folder it is in; by default this one.
    """
    lines = _text(f"{name}.csv", package).splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def origin_of(name: str, package: str) -> dict[str, str]:
    """What the lines that begin with # say of a table: source, commit, licence, command."""
    lines = _text(f"{name}.csv", package).splitlines()
    return dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))


def configs() -> dict[str, dict[str, Any]]:
    """What is counted of each model's published config.json, by the model's name."""
    return dict(json.loads(_text("configs.json", __package__ or "")))


def _text(name: str, package: str) -> str:
    return files(package).joinpath(name).read_text("utf-8")
