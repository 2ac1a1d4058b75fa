"""Read Parquet in a process of its own: a broken file can crash the library that reads it.

`python -m moe.traces.apart MAX_BYTES` reads a Parquet file from stdin and writes it as .npz to
stdout; whatever is wrong with it is the one line on stderr, with exit code 2.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..errors import CheckpointError
from .npz import arrays_of, read_npz_trace
from .parquet import parse_parquet
from .trace import Trace

SECONDS = 60
REFUSED = 2
ROOT = Path(__file__).resolve().parents[2]


def read_parquet_trace(raw: bytes, max_bytes: int) -> Trace:
    """Read a trace from the bytes of a Parquet file that anybody may have made.

    Raises
    ------
    CheckpointError
        If it is no such file, if it would unpack to more than `max_bytes`, if its columns are
        not a trace, or if reading it crashes or takes too long.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(max_bytes)],
            input=raw,
            capture_output=True,
            timeout=SECONDS,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(
            f"file: got Parquet that takes more than {SECONDS} s to read, allowed is less"
        ) from error
    if done.returncode == REFUSED:
        raise CheckpointError(done.stderr.decode("utf-8", "replace").strip())
    if done.returncode:
        raise CheckpointError(
            f"file: got Parquet that breaks its reader (exit code {done.returncode}), "
            "allowed is a table of a trace"
        )
    return read_npz_trace(done.stdout, 4 * max_bytes)


def main() -> int:
    """Read stdin, write stdout."""
    try:
        trace = parse_parquet(sys.stdin.buffer.read(), int(sys.argv[1]))
    except CheckpointError as error:
        sys.stderr.write(" ".join(str(error).split()))
        return REFUSED
    made = io.BytesIO()
    np.savez(made, allow_pickle=False, **arrays_of(trace))
    sys.stdout.buffer.write(made.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
