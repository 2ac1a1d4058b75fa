"""The loop is woken seldom, and misses nothing that other threads hand over."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from moe.app.server.wakeups import ROUND, wake_seldom


def forever(loop: Any) -> None:
    """Run until it stops, in a thread of its own: browser tests leave a loop in this one."""
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    runner.join()


def _woken(seldom: bool, n: int) -> tuple[int, list[int]]:
    """How often a thread that hands over n calls wakes a loop, and what the loop got."""
    loop: Any = asyncio.SelectorEventLoop()
    got: list[int] = []
    written = 0
    original = loop._write_to_self

    def counted() -> None:
        nonlocal written
        written += 1
        original()

    loop._write_to_self = counted
    if seldom:
        assert wake_seldom(loop)

    def hand_over() -> None:
        for i in range(n):
            loop.call_soon_threadsafe(got.append, i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=hand_over)
    loop.call_soon(thread.start)
    forever(loop)
    thread.join()
    loop.close()
    return written, got


def test_many_calls_wake_the_loop_seldom_and_come_in_order() -> None:
    usual, all_of_them = _woken(False, 2000)
    seldom, got = _woken(True, 2000)
    assert got == all_of_them == list(range(2000))
    assert usual > 1000
    assert seldom < 200


def test_calls_with_pauses_all_come_soon() -> None:
    loop: Any = asyncio.SelectorEventLoop()
    assert wake_seldom(loop)
    waited: list[float] = []

    def hand_over() -> None:
        for pause in (0, ROUND / 4, ROUND / 2, ROUND, 2 * ROUND, 5 * ROUND) * 20:
            time.sleep(pause)
            begun, done = time.perf_counter(), threading.Event()
            loop.call_soon_threadsafe(done.set)
            assert done.wait(5)
            waited.append(time.perf_counter() - begun)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=hand_over)
    loop.call_soon(thread.start)
    forever(loop)
    thread.join()
    loop.close()
    assert len(waited) == 120
    assert sorted(waited)[60] < 10 * ROUND


def test_another_kind_of_loop_is_left_alone() -> None:
    assert not wake_seldom(asyncio.AbstractEventLoop())
