"""What a visitor takes along: tables, and runs as JSON with the versions behind them."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ...pictures.figure import Rows
from ...speed.machine import versions
from ...training import TrainSettings
from ...version import __version__

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would compute


def json_document(kind: str, content: dict[str, Any]) -> bytes:
    """Return a page's run as JSON, after its kind and the versions of the libraries behind it."""
    head = {"kind": kind, "moescope": __version__, "versions": versions()}
    return json.dumps(head | content, indent=1).encode()


def table_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV with a column for each name; no text in it begins like a formula."""
    names = dict.fromkeys(name for row in rows for name in row)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_cell, names))
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue().encode()


def table_of(data: Mapping[str, Rows]) -> Rows:
    """Return all data of a figure as one table, whose first column says what a row is of."""
    return [{"table": name, **row} for name, rows in data.items() for row in rows]


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from computing what stands in a text."""
    formula = isinstance(value, str) and value.lstrip().startswith(FORMULA)
    return f"'{value}" if formula else value


def train_command(settings: TrainSettings) -> str:
    """Command line that does the same run."""
    return shlex.join(["moe", "train", *settings.as_flags("balance", "steps", "seed")])
