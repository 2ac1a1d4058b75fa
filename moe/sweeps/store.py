"""Results of a sweep on disk: a folder that any Parquet reader takes as one table.

Each row is one file, named by the run's id, and comes into being by a rename: whatever is
killed and when, a row is there whole or not at all, and no run can have two.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from ..errors import CheckpointError
from .experiments import EXPERIMENTS

try:
    import fcntl
except ImportError:  # Windows: two sweeps at once waste work there, and still double no row
    fcntl = None  # type: ignore[assignment]

OK, FAILED = "ok", "failed"
ENDING = ".parquet"
HIDDEN = "."  # Parquet readers pass over files whose names begin with it
LOCK = HIDDEN + "lock"
ABOUT = {
    "id": str, "experiment": str, "status": str, "error": str | None, "seconds": float,
    "version": str, "data": str, "repeat": int,
}  # fmt: skip

Row = dict[str, Any]


def columns(experiment: str) -> dict[str, Any]:
    """Names and types of an experiment's columns: about the run, its settings, its figures."""
    kind = EXPERIMENTS[experiment]
    return ABOUT | get_type_hints(kind.settings) | kind.figure_types()


class SweepStore:
    """A folder of finished runs.

    Parameters
    ----------
    folder
        Made when the first row comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"out: got the file {str(folder)!r}, allowed is a folder or a new one")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other sweeps out of the folder, until the body or this process ends.

        Raises
        ------
        ValueError
            If another sweep is at work in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise ValueError(
                        f"out: got {str(self.folder)!r}, in which another sweep is at work, "
                        "allowed is another folder, or waiting for it"
                    ) from error
            for left in self.folder.glob(f"{HIDDEN}*.new"):  # by a sweep that was killed
                left.unlink()
            yield

    def add(self, row: Row) -> None:
        """Write a row; when this returns, it survives a crash. It replaces the run's older row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([_field(*column) for column in columns(row["experiment"]).items()])
        # A name that nobody else takes, so that not even two writers of one run meet in one file.
        new = self.folder / f"{HIDDEN}{row['id']}-{uuid.uuid4().hex[:8]}.new"
        with new.open("wb") as file:
            pq.write_table(pa.Table.from_pylist([row], schema), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / f"{row['id']}{ENDING}")
        _sync_folder(self.folder)

    def rows(self) -> list[Row]:
        """Return all rows, ordered by id; columns that an older row lacks are None.

        Raises
        ------
        CheckpointError
            If a file is damaged or is no row of a sweep.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = []
        for path in sorted(self.folder.glob(f"[!{HIDDEN}]*{ENDING}")):
            try:
                (row,) = pq.ParquetFile(path).read().to_pylist()
                known = row["id"] == path.stem and row["experiment"] in EXPERIMENTS
            except (pa.ArrowException, OSError, KeyError, ValueError):
                known = False
            if not known:
                raise CheckpointError(
                    f"out: got {str(path)!r}, allowed are the files of a sweep; delete a damaged "
                    "one, and its run is done again"
                )
            rows.append(dict.fromkeys(columns(row["experiment"])) | row)
        return rows


def _field(name: str, hint: Any) -> Any:
    """Parquet column of a Python type."""
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    (kind,) = (kind for kind in get_args(hint) or (hint,) if kind is not NoneType)
    return pa.field(name, types[kind])


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder last, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
