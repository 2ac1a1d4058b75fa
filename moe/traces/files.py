"""Traces in and out of files: the ending says the format when writing, the content when reading."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError, shown, writing
from .apart import read_parquet_trace
from .npz import read_npz_trace, write_npz
from .parquet import write_parquet
from .trace import Trace

MAX_BYTES = 128 * 2**20  # of a stranger's arrays; 16 layers of 64 experts: 25,000 tokens
LOCAL_BYTES = 4 * 2**30  # of a file on the user's disk
ENDINGS = (".npz", ".parquet")


def save_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace as .npz or Parquet, as the path's ending says; docs/traces.md has the format.

    Raises
    ------
    ValueError
        If the ending is another one, or the file cannot be written.
    """
    ending = check_ending(path)
    with writing("path", path):
        (write_npz if ending == ".npz" else write_parquet)(trace, path)


def check_ending(path: str | Path) -> str:
    """Return the ending of a path to write to.

    Raises
    ------
    ValueError
        If it is neither .npz nor .parquet.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"path: got {str(path)!r}, allowed is one that ends in .npz or .parquet")
    return ending


def load_trace(source: str | Path | bytes, max_bytes: int = MAX_BYTES) -> Trace:
    """Read a trace from a file, or from the bytes of one.

    Parameters
    ----------
    max_bytes
        Most bytes of the file, and of its arrays.

    Raises
    ------
    CheckpointError
        If it cannot be read, is too large, or is not a trace; nothing in it is run or trusted.
    """
    raw = read_bytes(source, max_bytes)
    if raw[:4] == b"PAR1":
        return read_parquet_trace(raw, max_bytes)
    if raw[:2] == b"PK":
        return read_npz_trace(raw, max_bytes)
    raise CheckpointError(
        f"file: got one that begins with {raw[:8]!r}, allowed is a trace as .npz or .parquet"
    )


def read_bytes(source: str | Path | bytes, max_bytes: int) -> bytes:
    """Return a file's bytes; its size is checked before reading.

    Raises
    ------
    CheckpointError
        If there is no such regular file, or it is too large.
    """
    if not isinstance(source, bytes):
        try:
            path = Path(source)
            if not path.is_file():
                raise CheckpointError(
                    f"file: got {shown(str(source))}, allowed is an existing file"
                )
            size = path.stat().st_size
            raw = path.read_bytes() if size <= max_bytes else b""
        except CheckpointError:
            raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CheckpointError(
                f"file: got {shown(str(source))} ({reason}), allowed is a readable file"
            ) from error
    else:
        raw, size = source, len(source)
    if size > max_bytes:
        raise CheckpointError(f"file: got {size} bytes, allowed are {max_bytes}")
    return raw
