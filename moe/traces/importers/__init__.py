"""What public recorders wrote, in; a trace, or a table of loads, out. One file for each kind."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from ...errors import check_choice
from ...registry import collect, method_rows
from .base import Imported, Importer, Loads

# One line per kind: the file that defines it, in the order of the documentation.
FILES = (
    "esft",
    "vllm",
    "sglang",
    "olmoe",
    "parquet",
)
IMPORTERS = collect(Importer, __name__, FILES)  # type: ignore[type-abstract]


def find_importer(kind: str) -> type[Importer]:
    """Return the class of a kind.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    return IMPORTERS[check_choice("from", kind, IMPORTERS)]


def import_trace(kind: str, path: str | Path, **options: Any) -> Imported | Loads:
    """Read what a public recorder wrote.

    Parameters
    ----------
    kind
        A key of `IMPORTERS`.
    path
        A file or folder of that kind.
    **options
        Fields of that importer, such as `n_experts`.

    Raises
    ------
    CheckpointError
        If there is no such file, or its content is not of that kind; nothing in it is run.
    ValueError
        If the kind, an option's name or its value is not allowed.
    """
    importer = find_importer(kind)
    known = [field.name for field in fields(importer)]
    for name in options:
        if name not in known:
            raise ValueError(
                f"option of {kind}: got {name!r}, allowed is one of {', '.join(known)}"
            )
    return importer(**options).read_path(Path(path))


def importer_rows() -> list[dict[str, Any]]:
    """Return a row for each kind: name, what it reads, what it gives, options and source."""
    return method_rows(IMPORTERS, "reads", "gives")


__all__ = [
    "IMPORTERS",
    "Imported",
    "Importer",
    "Loads",
    "find_importer",
    "import_trace",
    "importer_rows",
]
