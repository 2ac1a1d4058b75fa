"""Memory of this process, and giving back what visitors who left no longer need."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path

from ...kernels import workspace

STATM = Path("/proc/self/statm")
M_ARENA_MAX = -8  # of mallopt(3)
ARENAS = 2


def resident() -> int:
    """Bytes of memory that this process holds now, or 0 where that is not known."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def few_arenas() -> bool:
    """Let all threads get memory from few places, and say whether this system can do so.

    Otherwise each of the many threads that pages run in has a place of its own, which keeps what it
    once had.
    """
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, ARENAS))
    return False


def give_back() -> None:
    """Collect what only refers to itself, and return free memory to the system."""
    gc.collect()
    workspace.release()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
