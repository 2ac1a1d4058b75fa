"""Work on a stranger's file in a separate process, within limits of time and memory.

A broken file can crash the library that reads it, and a file of a kilobyte can ask for any amount
of work. `ask` starts another Python, hands it the bytes and returns those that it answers; the
process ends with the work, at its limits, or as soon as nobody waits for it any more.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

from ..errors import CheckpointError
from .npz import pack_trace, unpack_trace
from .parquet import parse_parquet
from .trace import Trace

REFUSED, TOO_LARGE = 2, 3  # exit codes
PATIENCE = 0.1  # seconds between two looks at whether anybody still waits
# Seconds by the clock for each of processor time, and at least: the machine may be busy.
WALL, MIN_WALL = 4, 10
# Elsewhere the clock alone ends the work.
resource: Any = importlib.import_module("resource") if os.name == "posix" else None
ROOT = Path(__file__).resolve().parents[2]
# No compiler and no second thread: starting them takes longer than most files.
PLAIN = {
    "MOE_BACKEND": "numpy",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # Each other arena reserves 64 MB of the address space, which is limited.
    "MALLOC_ARENA_MAX": "1",
}
_inside = False


@dataclass(frozen=True)
class Allowed:
    """What the work may take: seconds of processor, bytes beyond its start, bytes of its answer."""

    seconds: int = 60
    memory: int = 512 * 2**20
    answer: int = 512 * 2**20


def ask(
    work: str,
    raw: bytes,
    *arguments: str,
    allowed: Allowed = Allowed(),
    waiting: Callable[[], object] = lambda: None,
) -> bytes:
    """Let a module's `answer(raw, *arguments)` work on bytes that anybody may have made.

    Parameters
    ----------
    work
        Name of the module.
    waiting
        Is called now and then meanwhile, and may raise to give up.

    Raises
    ------
    CheckpointError
        If the work is refused, breaks down or needs more than is allowed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="moe-") as folder,
        _started([work, str(allowed.seconds), str(allowed.memory), *arguments], folder) as process,
    ):
        answer = _talk(process, raw, allowed, waiting)
        return _checked(process.returncode, answer, allowed)


@contextmanager
def _started(arguments: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start another Python, which ends with the body; its temporary files lie in `folder`."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    private = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
    private["PYTHONPATH"] = os.pathsep.join(paths)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import main; main()", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | PLAIN | private,
        )
    except OSError as error:
        raise CheckpointError(
            f"file: got no process to read it in ({error.strerror}), allowed is another try"
        ) from error
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _talk(
    process: subprocess.Popen[bytes], raw: bytes, allowed: Allowed, waiting: Callable[[], object]
) -> bytes:
    """Send the bytes, and return what comes back once the process has ended."""
    assert process.stdin and process.stdout
    got: list[bytes] = []
    sender = Thread(target=_send, args=(process.stdin, raw), daemon=True)
    receiver = Thread(target=_receive, args=(process.stdout, allowed.answer, got), daemon=True)
    seconds = max(WALL * allowed.seconds, MIN_WALL)
    end = time.monotonic() + seconds
    sender.start()
    receiver.start()
    while receiver.is_alive():
        receiver.join(PATIENCE)
        waiting()
        if time.monotonic() > end:
            raise _too_much(f"{seconds} s")
    if len(got[0]) > allowed.answer:
        raise _too_much(f"{allowed.answer >> 20} MB of results")
    try:
        process.wait(MIN_WALL)
    except subprocess.TimeoutExpired as error:  # it closed its answer and yet works on
        raise _too_much(f"{seconds} s") from error
    return got[0]


def _checked(code: int, answer: bytes, allowed: Allowed) -> bytes:
    """Return the answer of work that ended well."""
    if code == REFUSED:
        raise CheckpointError(answer.decode("utf-8", "replace"))
    if code == TOO_LARGE:
        raise _too_much(f"{allowed.memory >> 20} MB of memory")
    if resource is not None and code == -signal.SIGXCPU:
        raise _too_much(f"{allowed.seconds} s of work")
    if code:
        raise CheckpointError(
            f"file: got one that breaks its reader (exit code {code}), allowed is one that can be "
            "read"
        )
    return answer


def _too_much(what: str) -> CheckpointError:
    return CheckpointError(f"file: got one that needs more than {what}, allowed is less")


def _send(stream: IO[bytes], raw: bytes) -> None:
    with suppress(OSError), stream:  # the reader may end early
        stream.write(raw)


def _receive(stream: IO[bytes], most: int, got: list[bytes]) -> None:
    with stream:
        pieces: list[bytes] = []
        room = most + 1
        # In pieces: one read of all that is allowed would take that much memory at once.
        while piece := stream.read(min(room, 1 << 20)):
            pieces.append(piece)
            room -= len(piece)
        got.append(b"".join(pieces))


def main() -> None:
    """Do the work that `ask` asks for: its file from stdin, its answer to stdout."""
    global _inside
    _inside = True
    work, seconds, memory, *arguments = sys.argv[1:]
    raw = sys.stdin.buffer.read()
    module = importlib.import_module(work)
    if raw[:4] == b"PAR1":
        importlib.import_module("pyarrow.parquet")  # before the limits: it is no part of the file
    _limit(int(seconds), int(memory))
    code = 0
    try:
        output = module.answer(raw, *arguments)
    except MemoryError:
        output, code = b"", TOO_LARGE
    except ValueError as error:
        output, code = " ".join(str(error).split()).encode("utf-8", "replace"), REFUSED
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()
    # Not by a usual exit, at which libraries end their threads and now and then abort in doing so.
    os._exit(code)


def _limit(seconds: int, memory: int) -> None:
    """Limit how much more processor time (s) and memory (bytes) this process may take."""
    if resource is None:
        return
    _lower(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds)
    _lower(resource.RLIMIT_CORE, 0)
    with suppress(OSError, ValueError):  # what Linux tells; elsewhere the other limits have to do
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _lower(limit: int, most: int) -> None:
    """Set a limit, unless a lower one holds; the hard one beyond it kills without a reason."""
    hard = resource.getrlimit(limit)[1]
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(limit, (most, most + 1))


def answer(raw: bytes, max_bytes: str) -> bytes:
    """Read a Parquet file; for `read_parquet_trace`, in the separate process."""
    return pack_trace(parse_parquet(raw, int(max_bytes)))


def read_parquet_trace(raw: bytes, max_bytes: int) -> Trace:
    """Read a trace from the bytes of a Parquet file that anybody may have made.

    Raises
    ------
    CheckpointError
        If it is no such file, if it would unpack to more than `max_bytes`, if its columns are
        not a trace, or if reading it crashes or takes too long.
    """
    if _inside:  # nobody else is in this process
        return parse_parquet(raw, max_bytes)
    allowed = Allowed(memory=512 * 2**20 + 6 * max_bytes, answer=4 * max_bytes)
    packed = ask(__name__, raw, str(max_bytes), allowed=allowed)
    return unpack_trace(packed, allowed.answer)[0]
