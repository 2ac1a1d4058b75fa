"""Reuse of the memory of large arrays: touching a fresh page costs more than computing on it.

An array from `empty` is an ordinary numpy array. When it and all views of it are gone, its
memory goes back to a pool and serves the next array of about the same size.
"""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict, deque
from typing import Any

import numpy as np

from .environment import CHECK

LEAST = 1 << 17  # bytes; numpy allocates smaller arrays, which needs no system call
MOST = 1 << 29  # bytes that the pool keeps at most
ALIGN = 64  # bytes of a cache line, and of the widest vector


class _Pool:
    """Free memory by size; the size whose last use is longest ago is released first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # The garbage collector may return memory at any time, even while this very thread holds
        # the lock. So returned memory is only appended here, which is atomic, and the next thread
        # that holds the lock sorts it in.
        self.returned: deque[tuple[np.ndarray, int]] = deque()
        self.free: OrderedDict[int, list[tuple[np.ndarray, int]]] = OrderedDict()
        self.kept = 0

    def take(self, size: int) -> tuple[np.ndarray, int]:
        """Return memory of this size and its aligned address."""
        with self.lock:
            self._sort_in()
            waiting = self.free.get(size)
            if waiting:
                self.kept -= size
                self.free.move_to_end(size)
                return waiting.pop()
        raw = np.empty(size + ALIGN, np.uint8)
        address = raw.ctypes.data
        return raw, address + -address % ALIGN

    def give(self, raw: np.ndarray, address: int) -> None:
        """Take memory back."""
        self.returned.append((raw, address))
        if self.lock.acquire(blocking=False):
            try:
                self._sort_in()
            finally:
                self.lock.release()

    def release(self) -> None:
        """Let all free memory go."""
        with self.lock:
            self._sort_in()
            self.free.clear()
            self.kept = 0

    def _sort_in(self) -> None:
        while self.returned:
            raw, address = self.returned.popleft()
            size = raw.size - ALIGN
            self.free.setdefault(size, []).append((raw, address))
            self.kept += size
        while self.kept > MOST:
            oldest = next(iter(self.free))
            if self.free[oldest]:
                self.free[oldest].pop()
                self.kept -= oldest
            else:
                del self.free[oldest]


_pool = _Pool()
if hasattr(os, "register_at_fork"):  # another thread may hold the lock at the time of the fork
    os.register_at_fork(after_in_child=lambda: _pool.__init__())  # type: ignore[misc]


class _Lease:
    """Owner of an array's memory: numpy keeps it alive as long as any view of it lives."""

    __slots__ = ("__array_interface__", "address", "raw")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
        self.raw, self.address = _pool.take(size)
        self.__array_interface__ = {
            "shape": shape,
            "typestr": dtype.str,
            "data": (self.address, False),
            "version": 3,
        }

    def __del__(self) -> None:
        if _pool is not None:  # None while the interpreter shuts down
            _pool.give(self.raw, self.address)


def release() -> None:
    """Give the memory of arrays that are gone back to the system."""
    _pool.release()


def empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an uninitialised array, like `numpy.empty`."""
    dtype, shape = np.dtype(dtype), (shape,) if isinstance(shape, int) else shape
    size = dtype.itemsize * math.prod(shape)
    if size < LEAST:
        out = np.empty(shape, dtype)
    else:  # sizes are rounded up, so that similar ones share memory: at most an eighth is unused
        step = 1 << (size.bit_length() - 4)
        out = np.asarray(_Lease(shape, dtype, -(-size // step) * step))
    if CHECK:  # a kernel that reads before it writes shows itself
        out.fill(np.nan)
    return out
