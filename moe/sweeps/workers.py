"""Executors of a sweep's runs: processes of this machine, or a Dask cluster.

Both submit as executors of `concurrent.futures` do, and `places` is the number of runs that they
want to have under way. What breaks a worker breaks its future with a `BrokenExecutor`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol, cast

from ..errors import check_int

WAIT_FOR_SCHEDULER = 10  # seconds
AHEAD = 2  # runs per thread of a cluster that are under way, so that no worker waits for us


class Workers(Protocol):
    """What a sweep needs of an executor."""

    @property
    def places(self) -> int:
        """Runs to have under way at a time, one or more."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a run."""

    def stop(self) -> None:
        """End at once, with runs that are under way."""


class LocalProcesses:
    """Processes of this machine, each a pool of one, so that the death of one hurts no other.

    They end when this process does, even if it is killed.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        self.places = check_int("workers", count, 1, 256)
        # Only this process holds the end that writes. Who reads from the other learns of its end.
        self._ends, self._alive = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._pools: list[ProcessPoolExecutor | None] = [None] * count
        self._runs: list[Future[Any] | None] = [None] * count

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a run in a process that is free; there has to be one."""
        place = next(i for i, run in enumerate(self._runs) if run is None or run.done())
        try:
            run = _submit(self._pool(place), function, *arguments)
        except BrokenExecutor:  # it died before it had anything to do
            self._pools[place] = None
            run = _submit(self._pool(place), function, *arguments)
        self._runs[place] = run
        return run

    def _pool(self, place: int) -> ProcessPoolExecutor:
        last, pool = self._runs[place], self._pools[place]
        died = last is not None and isinstance(last.exception(), BrokenExecutor)
        if pool is None or died:
            pool = self._pools[place] = ProcessPoolExecutor(
                1,
                # Not fork: kernels and their threads are at work in this process.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._ends,),
            )
        self._runs[place] = None
        return pool

    def stop(self) -> None:
        """End all processes."""
        self._alive.close()
        for pool in self._pools:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)
        self._ends.close()


def _submit(
    pool: ProcessPoolExecutor, function: Callable[..., Any], *arguments: Any
) -> Future[Any]:
    """Submit with Ctrl-C put off: a process that begins here inherits that.

    It also has to receive its whole start-up message, or it ends with a traceback. Masking alone
    is not enough, since a thread without the mask may take the signal for the main one.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(function, *arguments)
    main, late = threading.current_thread() is threading.main_thread(), []
    handler = signal.signal(signal.SIGINT, lambda *_: late.append(True)) if main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(function, *arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if main:
            signal.signal(signal.SIGINT, handler)
        if late:
            signal.raise_signal(signal.SIGINT)


def _begin(ends: Connection) -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who started us decides
    threading.Thread(target=_end_with_parent, args=(ends,), daemon=True).start()


def _end_with_parent(ends: Connection) -> None:
    try:
        ends.recv()
    finally:
        os._exit(1)


class DaskCluster:
    """A Dask cluster that is running already.

    Parameters
    ----------
    address
        Of its scheduler, such as 'tcp://10.0.0.1:8786'.

    Raises
    ------
    ValueError
        If nothing answers there, or Dask is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise ValueError(
                f"scheduler: got {address!r}, which needs Dask: pip install 'moescope[dask]'"
            ) from error
        try:
            self._client = Client(address, timeout=WAIT_FOR_SCHEDULER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"scheduler: got {address!r}, allowed is the address of a Dask scheduler that "
                f"answers, such as tcp://127.0.0.1:8786 ({error})"
            ) from error
        # Same settings, same figures: yet nothing that Dask remembers may pass for a new run.
        self._executor = cast(Executor, self._client.get_executor(pure=False))

    @property
    def places(self) -> int:
        """Follows the cluster as it grows and shrinks."""
        return max(1, AHEAD * sum(self._client.nthreads().values()))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a run to the scheduler."""
        return self._executor.submit(function, *arguments)

    def stop(self) -> None:
        """Cancel what is under way and leave; the cluster stays."""
        self._executor.shutdown(wait=False)
        self._client.close()
