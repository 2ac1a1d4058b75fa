"""A rank that dies ends the run with a line that names it, whatever the launcher says."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from typing import Any


def watch_peers(comm: Any) -> threading.Event:
    """Watch the other ranks on this machine until the returned event is set.

    Rank 0 watches all others, rank 1 watches rank 0. Linux only (process descriptors); elsewhere
    the launcher's own message has to do.
    """
    finished = threading.Event()
    places = comm.allgather((socket.gethostname(), os.getpid()))
    watched = {0: range(1, comm.size), 1: range(1)}.get(comm.rank, range(0))
    here = {rank: places[rank][1] for rank in watched if places[rank][0] == socket.gethostname()}
    if here and hasattr(os, "pidfd_open"):
        threading.Thread(target=_watch, args=(here, finished), daemon=True).start()
    return finished


def _watch(pid_of: dict[int, int], finished: threading.Event) -> None:
    poll, rank_of = select.poll(), {}
    for rank, pid in pid_of.items():
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return _end(rank, pid, finished)
        rank_of[descriptor] = rank
        poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll():
        rank = rank_of[descriptor]
        return _end(rank, pid_of[rank], finished)


def _end(rank: int, pid: int, finished: threading.Event) -> None:
    if finished.is_set():
        return
    sys.stderr.write(f"moe: rank {rank} (process {pid}) died in mid-run; ending all ranks\n")
    sys.stderr.flush()
    os._exit(1)
