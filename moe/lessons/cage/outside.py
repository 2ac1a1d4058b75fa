"""The process of a stranger's code, seen from the one that judges it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Self

import numpy as np

from ...checkpoints.strict_json import parse_object
from ...errors import CheckpointError
from .wire import pack, unpack

HERE = Path(__file__).resolve().parent
START = (
    "import sys; sys.path += sys.argv[1:]; from cage.inside import main; "
    "del sys.path[-2:], sys.argv[1:]; main()"
)
# No variable of the judge's reaches it; one thread and one arena, since memory is limited.
PLAIN = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
START_SECONDS = 60  # of the clock: the machine may be busy, and no stranger's code runs yet
LONGEST_ANSWER = 2**26
# What a guard is about, in the words of a person who decides whether to do without it.
GUARDS = {
    "time": "processor time (it may work on after its time is over)",
    "memory": "memory (it may take all)",
    "processes": "processes (it may start any number)",
    "signals": "processes of yours (it may end them)",
    "network": "the network (it may use it)",
    "writing": "files of yours (it may change and delete them)",
    "reading": "files of yours (it may read them)",
}


class Ended(Exception):
    """The process is gone, with the reason in words: 'it took longer than 10 s'."""


class Raised(Exception):
    """The code raised an exception; its line is the text."""


class Missing(Exception):
    """The code has no function of that name."""


class Strange(Exception):
    """A function returned something else than arrays and numbers."""


@dataclass(frozen=True)
class Limits:
    """What a stranger's code may take.

    Attributes
    ----------
    call_seconds, all_seconds
        By the clock: for each call, and for all calls together.
    seconds
        Of processor time in all.
    memory
        Bytes, beyond what Python and numpy take.
    """

    call_seconds: float = 10
    all_seconds: float = 180
    seconds: int = 60
    memory: int = 512 * 2**20


USUAL = Limits()


class Cage:
    """A process in which a stranger's code runs; a context that ends it.

    Attributes
    ----------
    unguarded
        Which of `GUARDS` this system does not offer, found out by trying.
    """

    def __init__(self, limits: Limits = USUAL) -> None:
        self.limits = limits
        self._left = limits.all_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="moe-")
        home, probe = Path(self._folder.name, "home"), Path(self._folder.name, "probe")
        home.mkdir()
        probe.write_bytes(b"\n")
        system = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
        packages = Path(np.__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-B",
                "-X",
                "utf8",
                "-c",
                START,
                str(HERE.parent),
                str(packages),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env=PLAIN | system,
            start_new_session=True,
        )
        try:
            order = {"seconds": limits.seconds, "memory": limits.memory, "probe": str(probe)}
            hello = self._ask(order, START_SECONDS)
        except BaseException:
            self.close()
            raise
        self.unguarded = tuple(name for name in GUARDS if name in hello["open"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and all that it started."""
        self._kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._folder.cleanup()

    def load(self, source: str, name: str) -> None:
        """Run a source; its functions can be called afterwards.

        Raises
        ------
        Raised, Ended
            If it ends with an exception, or does not end.
        """
        reply = self._answer({"source": source, "name": name})
        if "raised" in reply:
            raise Raised(_words(reply["raised"]))

    def call(self, function: str, *given: Any) -> tuple[Any, list[Any]]:
        """Return what the code's function returns, and what its arguments are afterwards.

        Raises
        ------
        Missing, Raised, Strange, Ended
            If there is no such function, if it ends with an exception, if what it returns is
            neither arrays nor numbers, or if the process ends.
        """
        request = {"function": function, "given": pack(list(given))}
        reply = self._answer(request)
        if "missing" in reply:
            raise Missing(function)
        if "raised" in reply:
            raise Raised(_words(reply["raised"]))
        if "strange" in reply:
            raise Strange(_words(reply["strange"]))
        try:
            value, after = unpack(reply.get("value")), unpack(reply.get("given"))
        except ValueError as error:
            raise Strange("something that is no answer") from error
        return value, after if isinstance(after, list) else []

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """`_ask` the stranger's code, whose calls may take so long in all."""
        began = time.monotonic()
        try:
            return self._ask(request, min(self.limits.call_seconds, self._left))
        finally:
            self._left = max(0.0, self._left - (time.monotonic() - began))

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a line, and return the line that comes back, within seconds of the clock."""
        late: list[bool] = []

        def stop() -> None:
            late.append(True)
            self._kill()

        timer = Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            raw = self._exchange(json.dumps(request).encode("ascii") + b"\n")
        finally:
            timer.cancel()
        if late:
            in_all = "" if seconds >= self.limits.call_seconds else " that were left of its time"
            raise Ended(f"it took longer than {seconds:.3g} s{in_all}")
        if not raw.endswith(b"\n"):
            raise Ended(self._reason(raw))
        try:
            return parse_object(raw, "answer")
        except CheckpointError as error:
            self._kill()
            raise Ended("it wrote something that is no answer") from error

    def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin and self._process.stdout
        with suppress(OSError, ValueError):  # the process may be gone; reading tells
            self._process.stdin.write(line)
            self._process.stdin.flush()
        return self._process.stdout.readline(LONGEST_ANSWER)

    def _reason(self, raw: bytes) -> str:
        """Why there is no whole answer."""
        if len(raw) >= LONGEST_ANSWER:
            self._kill()
            return f"its answer is longer than {LONGEST_ANSWER >> 20} MB"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._kill()
        code = self._process.wait()
        if os.name == "posix" and code in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"it took more than {self.limits.seconds} s of processor time"
        return "it ended its own process"

    def _kill(self) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()


def _words(text: Any) -> str:
    """A text of the stranger's process as one line that can be shown."""
    line = text if isinstance(text, str) else ""
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return line if len(line) <= 400 else f"{line[:400]}..."


def missing_guards() -> tuple[str, ...]:
    """Which of `GUARDS` this system does not offer."""
    with Cage() as cage:
        return cage.unguarded
