"""Results kept for all users, the latest used, within a number of bytes.

Kept outside of Streamlit's caches: those count results and not their bytes, and any visitor's
browser may ask the server to empty them.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from ...speed.turns import PATIENCE, TURNS
from .visitor import still_here

MAX_BYTES = 128 * 2**20
T = TypeVar("T")


def size_of(value: Any) -> int:
    """Bytes of a result: of its arrays, texts, containers and fields, each object counted once."""
    seen: set[int] = set()
    waiting, total = [value], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        if isinstance(item, np.ndarray):
            total += 0 if item.base is None else item.nbytes
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        elif is_dataclass(item) and not isinstance(item, type):
            waiting += [getattr(item, field.name) for field in fields(item)]
            waiting += getattr(item, "__dict__", {}).values()
    return total


class Kept:
    """A store of results by key; the one that was not asked for longest is dropped first.

    Parameters
    ----------
    max_bytes
        Most bytes of all results together; a larger one is returned but not kept. It may be
        changed later.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes, self._bytes = max_bytes, 0
        self._results: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._for_good: dict[Hashable, Any] = {}
        self._making: dict[Hashable, threading.Lock] = {}
        self._emptied = 0  # how often
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._results)

    @property
    def n_bytes(self) -> int:
        """Bytes of all results that are kept."""
        return self._bytes

    def clear(self) -> None:
        """Drop all results, and keep none that is being computed now."""
        with self._lock:
            self._results.clear()
            self._for_good.clear()
            self._bytes = 0
            self._emptied += 1

    def get(self, key: Hashable) -> Any | None:
        """Return the result of that key, or None."""
        with self._lock:
            if key in self._for_good:
                return self._for_good[key]
            if key not in self._results:
                return None
            self._results.move_to_end(key)
            return self._results[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a result, and drop the oldest ones that there is no more room for."""
        size = size_of(value)
        with self._lock:
            self._bytes -= self._results.pop(key, (None, 0))[1]
            self._results[key] = value, size
            self._bytes += size
            while self._bytes > self.max_bytes:
                self._bytes -= self._results.popitem(last=False)[1][1]

    def keep(self, key: Hashable) -> None:
        """Drop a result for no other from now on; it counts no longer.

        For the few that every visitor meets first.
        """
        with self._lock:
            if key in self._results:
                self._for_good[key], size = self._results.pop(key)
                self._bytes -= size

    def of(
        self, key: Hashable, make: Callable[[], T], waiting: Callable[[], object] = still_here
    ) -> T:
        """Return the result of a key; the first who asks computes it while the others wait.

        `waiting` is called now and then while another computes it, and may raise to give up; by
        default a visitor who has left gives up.
        """
        result: T | None = self.get(key)
        if result is None:
            with self._lock:
                making = self._making.setdefault(key, threading.Lock())
            try:
                while not making.acquire(timeout=PATIENCE):
                    waiting()
                try:
                    result = self.get(key)
                    if result is None:
                        emptied = self._emptied
                        result = make()
                        if emptied == self._emptied:
                            self.put(key, result)
                finally:
                    making.release()
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return result

    def in_turn(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of a key, computed in a short turn, so that few are computed at once.

        Work of more than half a second is cut into parts of their own, so that others get between.
        """

        def seated() -> T:
            with TURNS.computing(lambda place: still_here()):
                return make()

        return self.of(key, seated)


KEPT = Kept()
