"""Turns: few trainings or visitors' files at once, and nothing else while the clock measures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SEATS = 2
PATIENCE = 0.1  # seconds between two looks at whether the one who waits still wants to


class Turns:
    """A first-come, first-served queue for a number of seats.

    Parameters
    ----------
    seats
        Trainings, and files that are read, that may run at once; a measurement takes all seats.
    """

    def __init__(self, seats: int = SEATS) -> None:
        self._all = self._free = seats
        self._queue: list[object] = []
        self._changed = threading.Condition()

    @contextmanager
    def training(self, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Hold one seat; `waiting` is called now and then before, and may raise to give up."""
        with self._take(1, waiting):
            yield

    @contextmanager
    def measuring(self, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Hold all seats, so that nothing else of this process disturbs the clock."""
        with self._take(self._all, waiting):
            yield

    @contextmanager
    def _take(self, seats: int, waiting: Callable[[], object]) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            while not self._seated(ticket, seats):
                waiting()
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += seats
                self._changed.notify_all()

    def _seated(self, ticket: object, seats: int) -> bool:
        """Wait a moment; take the seats if they are free and nobody came earlier."""

        def ready() -> bool:
            return self._queue[0] is ticket and self._free >= seats

        with self._changed:
            if not self._changed.wait_for(ready, PATIENCE):
                return False
            self._free -= seats
            return True


TURNS = Turns()
