"""The process of a stranger's code: first it shuts itself in, then it runs what it is sent.

It reads one JSON line from its input for each request and answers with one line. It judges
nothing: of each call it says what came back, and what became of the arguments.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import socket
import sys
import time
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from . import files, system_calls
from .wire import pack, unpack

NAME = "submission"
MAX_TEXT = 300
resource: Any = importlib.import_module("resource") if os.name == "posix" else None
# What a guard keeps from whom, for people.
GUARDS = {
    "time": "its processor time",
    "memory": "its memory",
    "processes": "how many processes it starts",
    "signals": "your other processes, which it may end",
    "network": "the network",
    "writing": "your files, which it may change",
    "reading": "your files, which it may read",
}


def main() -> None:
    """Serve requests until the input ends."""
    ask, answer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what the code prints is no answer
        os.dup2(nowhere, stream)
    order = json.loads(ask.readline())
    _say(answer, {"open": _shut_in(order)})
    module = types.ModuleType(NAME)
    for line in ask:
        request = json.loads(line)
        with np.errstate(all="ignore"):
            reply = _load(module, request) if "source" in request else _call(module, request)
        _say(answer, reply)


def _say(answer: IO[bytes], reply: dict[str, Any]) -> None:
    answer.write(json.dumps(reply).encode("ascii") + b"\n")
    answer.flush()


def _load(module: types.ModuleType, request: dict[str, Any]) -> dict[str, Any]:
    """Run the source as a module; say which functions it has."""
    sys.modules[NAME] = module
    try:
        exec(compile(request["source"], request["name"], "exec"), module.__dict__)
    except BaseException as error:  # sys.exit among them
        return {"raised": _line(error)}
    return {"functions": [name for name, value in vars(module).items() if callable(value)]}


def _call(module: types.ModuleType, request: dict[str, Any]) -> dict[str, Any]:
    given = unpack(request["given"])
    try:
        function = getattr(module, request["function"], None)
        if not callable(function):
            return {"missing": True}
        value = function(*given)
    except BaseException as error:
        return {"raised": _line(error)}
    try:
        return {"value": pack(value), "given": pack(given)}
    except Exception as error:
        return {"strange": _text(error)}


def _line(error: BaseException) -> str:
    """An exception in one line, with the line of the source where it happened."""
    where, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == NAME:
            where = f" (line {trace.tb_lineno})"
        trace = trace.tb_next
    text = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
    return text + where


def _text(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # making its text may fail, too
        return ""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


# Guards ----------------------------------------------------------------------------------------


def _shut_in(order: dict[str, Any]) -> list[str]:
    """Set every guard that the system offers, and return those that do not hold.

    What holds is found out by trying, after all of them are set.
    """
    probe = order["probe"]
    _limit(order["seconds"], order["memory"])
    with suppress(OSError):
        files.read_only(_readable())
    with suppress(OSError):
        system_calls.restrict()
    attempts: dict[str, Callable[[], object]] = {
        "time": _work_without_end,
        "memory": lambda: mmap.mmap(-1, order["memory"] + 2**26).close(),
        "processes": _start_a_process,
        "signals": _reach_a_process,
        "network": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "writing": lambda: open(probe, "ab").close(),
        "reading": lambda: open(probe, "rb").close(),
    }
    return [name for name, attempt in attempts.items() if _succeeds(attempt)]


def _limit(seconds: int, memory: int) -> None:
    """Limit processor time (s), memory beyond what is taken by now (bytes), files and processes."""
    if resource is None:
        return
    taken = 0
    with suppress(OSError, ValueError):  # what Linux tells
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        taken = pages * resource.getpagesize()
    limits = {
        "RLIMIT_CPU": int(time.process_time()) + 1 + seconds,
        "RLIMIT_AS": taken + memory,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
    }
    for name, most in limits.items():
        with suppress(OSError, ValueError, AttributeError):
            limit = getattr(resource, name)
            resource.setrlimit(limit, (most, most))


def _readable() -> dict[str, bool]:
    """What Python still loads from: paths, and whether what lies below them may be read, too."""
    library = os.path.dirname(os.__file__)
    numpy = os.path.dirname(np.__file__)
    # The folder of other packages may hold the library that judges, or other people's code.
    entries = [entry for entry in os.scandir(library) if not entry.name.endswith("-packages")]
    return {library: False, numpy: True, os.getcwd(): True} | {
        entry.path: True for entry in entries
    }


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError):
        return False
    return True


def _work_without_end() -> None:
    if (
        resource is not None
        and resource.getrlimit(resource.RLIMIT_CPU)[0] != resource.RLIM_INFINITY
    ):
        raise OSError("there is a limit")


def _start_a_process() -> None:
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


def _reach_a_process() -> None:
    if os.name == "posix":  # elsewhere the number 0 is no question
        os.kill(os.getppid(), 0)
