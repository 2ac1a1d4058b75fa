"""Memory of the running process, for scripts that tests start."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def _status(field: str) -> int:
    return int(STATUS.read_text().split(f"{field}:")[1].split()[0]) * 1024


def peak_bytes() -> int:
    """The most memory that this process ever held.

    On Linux ru_maxrss also remembers the parent's memory at the time of the fork, so it is read
    only where /proc is missing.
    """
    if STATUS.exists():
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def allow_more(n_bytes: int) -> None:
    """Let this process reserve so much more address space, and no byte beyond."""
    if STATUS.exists():
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + n_bytes, -1))
