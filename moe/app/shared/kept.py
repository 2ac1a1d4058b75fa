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

MAX_BYTES = 256 * 2**20
T = TypeVar("T")


def size_of(value: Any) -> int:
    """Bytes of a result: of its arrays, texts, containers and fields, each object once."""
    seen: set[int] = set()
    waiting, total = [value], 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, np.ndarray):
            total += 0 if one.base is None else one.nbytes
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif is_dataclass(one) and not isinstance(one, type):
            waiting += [getattr(one, field.name) for field in fields(one)]
            waiting += getattr(one, "__dict__", {}).values()
    return total


class Kept:
    """A store of results by key; what was not asked for longest goes first.

    Parameters
    ----------
    max_bytes
        Most bytes of all results together; a larger one is returned but not kept.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._most, self._bytes = max_bytes, 0
        self._results: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._results)

    @property
    def n_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def get(self, key: Hashable) -> Any | None:
        """Return the result of that key, or None."""
        with self._lock:
            if key not in self._results:
                return None
            self._results.move_to_end(key)
            return self._results[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a result, and drop what there is no room for any more."""
        size = size_of(value)
        with self._lock:
            self._bytes -= self._results.pop(key, (None, 0))[1]
            self._results[key] = value, size
            self._bytes += size
            while self._bytes > self._most:
                self._bytes -= self._results.popitem(last=False)[1][1]

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of that key, made by the first who asks; the others wait for it."""
        found = self.get(key)
        if found is None:
            with self._lock:
                making = self._making.setdefault(key, threading.Lock())
            try:
                with making:
                    found = self.get(key)
                    if found is None:
                        found = make()
                        self.put(key, found)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        result: T = found
        return result


KEPT = Kept()
