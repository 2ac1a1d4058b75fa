"""Memory that is used again: never by two live arrays, never without bound, in forks too."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from moe.kernels import workspace
from moe.kernels.workspace import ALIGN, LEAST, empty

SIZES = (LEAST, LEAST + 4, 3 * LEAST, 4 * LEAST, 100_000)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> workspace._Pool:
    """A pool of the test's own."""
    fresh = workspace._Pool()
    monkeypatch.setattr(workspace, "_pool", fresh)
    return fresh


class Ring:
    """Keeps an array alive until the cyclic garbage collector comes by."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.itself = array, self


def churn(seed: int, steps: int = 400) -> int:
    """Make arrays, keep views, drop the rest in every way; count contents that others changed."""
    rng, kept, spoilt = np.random.default_rng(seed), [], 0
    for step in range(steps):
        mark = seed * 1_000_000 + step
        array = empty(int(rng.choice(SIZES)) // 8, np.int64)
        array[:] = mark
        way = int(rng.integers(4))
        if way == 0:
            kept.append((mark, array[5:-5:3].reshape(-1, 1)[::-1]))  # a view of a view
        elif way == 1:
            Ring(array)
        elif way == 2:
            kept.append((mark, array))
        spoilt += int((array != mark).any())
        while len(kept) > 12:
            mark, view = kept.pop(int(rng.integers(len(kept))))
            spoilt += int((view != mark).any())
    return spoilt + sum(int((view != mark).any()) for mark, view in kept)


def test_live_arrays_never_share_memory(pool: workspace._Pool) -> None:
    threshold = gc.get_threshold()
    gc.set_threshold(5)  # collections in the middle of everything
    try:
        with ThreadPoolExecutor(8) as workers:
            assert sum(workers.map(churn, range(16))) == 0
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    free = [address for rows in pool.free.values() for _, address in rows]
    assert len(free) == len(set(free)) > 0
    assert pool.kept == sum(size * len(rows) for size, rows in pool.free.items())


def test_memory_comes_back_when_the_last_view_goes(pool: workspace._Pool) -> None:
    array = empty((100, 200), np.float64)
    address, view = array.ctypes.data, array.T[3:5]
    assert array.flags.c_contiguous and address % ALIGN == 0
    del array
    other = empty((100, 200), np.float64)
    assert other.ctypes.data != address
    del view
    assert empty((200, 100), np.float64).ctypes.data == address


def test_memory_given_back_inside_a_lookup_waits_for_its_end(pool: workspace._Pool) -> None:
    """As when the garbage collector runs while this very thread holds the lock."""
    arrays = [empty(LEAST, np.uint8) for _ in range(3)]
    with pool.lock:
        del arrays
        assert pool.kept == 0 and len(pool.returned) == 3
    empty(LEAST // 8, np.float64)
    assert pool.kept == 3 * LEAST and not pool.returned


def test_the_pool_is_bounded(pool: workspace._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MOST", 10 * LEAST)
    for factor in range(1, 9):
        many = [empty(factor * LEAST, np.uint8) for _ in range(6)]
        del many
        assert pool.kept <= 10 * LEAST
        assert pool.kept == sum(size * len(rows) for size, rows in pool.free.items())
    assert max(pool.free) == 8 * LEAST  # what was used last is kept
    huge = weakref.ref(empty(100 * LEAST, np.uint8))
    assert huge() is None and pool.kept <= 10 * LEAST


def test_free_memory_is_let_go_and_live_arrays_stay(pool: workspace._Pool) -> None:
    kept, gone = empty(LEAST, np.uint8), empty(2 * LEAST, np.uint8)
    kept[:] = 7
    del gone
    assert pool.kept == 2 * LEAST
    workspace.release()
    assert pool.kept == 0 and not pool.free and (kept == 7).all()
    del kept
    assert pool.kept == LEAST


def test_small_arrays_are_numpys_own(pool: workspace._Pool) -> None:
    assert empty((), np.float32).shape == () and empty((0, 5), np.float32).shape == (0, 5)
    small = empty(LEAST - 1, np.uint8)
    assert small.base is None
    del small
    assert pool.kept == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_fork_while_another_thread_holds_the_lock_gets_memory() -> None:
    mine = empty(LEAST, np.uint8)
    mine[:] = 7
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with workspace._pool.lock:
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # rather than wait for a lock for ever
        try:
            other = empty(LEAST, np.uint8)
            other[:] = 9
            right = bool((mine == 7).all() and other.ctypes.data != mine.ctypes.data)
            del other
        except BaseException:
            right = False
        os._exit(0 if right else 1)
    release.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    assert (mine == 7).all()
