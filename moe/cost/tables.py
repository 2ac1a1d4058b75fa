"""Tables that ship as csv files: what is published, with its source."""

from __future__ import annotations

import csv
from importlib.resources import files


def rows_of(name: str, package: str = __package__ or "") -> list[dict[str, str]]:
    """The rows of a csv file, cells as text under the names of their columns.

    Lines that begin with # are left out.

    Parameters
    ----------
    name, package
        The file's name without .csv, and the package whose folder it is in; by default this one.
    """
    lines = _text(name, package).splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def origin_of(name: str, package: str) -> dict[str, str]:
    """What the lines that begin with # say of a table: source, commit, licence, command."""
    notes = [line[2:] for line in _text(name, package).splitlines() if line.startswith("# ")]
    return dict(note.split(": ", 1) for note in notes)


def _text(name: str, package: str) -> str:
    return files(package).joinpath(f"{name}.csv").read_text("utf-8")
