"""Fair timing: blocks of calls in turn, a pause and one uncounted call before each block."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

LONG = 0.4  # seconds; one block of such a call says enough


def time_in_turn(
    calls: Mapping[str, Callable[[], object]],
    blocks: int = 5,
    block_seconds: float = 0.05,
    pause: float = 0.15,
    on_pause: Callable[[], object] | None = None,
) -> dict[str, float]:
    """Median seconds per call of each, measured in alternating blocks; see `blocks_in_turn`."""
    seconds = blocks_in_turn(calls, blocks, block_seconds, pause, on_pause)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def blocks_in_turn(
    calls: Mapping[str, Callable[[], object]],
    blocks: int = 5,
    block_seconds: float = 0.05,
    pause: float = 0.15,
    on_pause: Callable[[], object] | None = None,
    long: float = LONG,
) -> dict[str, list[float]]:
    """Seconds per call of each in every block; blocks of all take turns.

    Idle BLAS threads spin for a while and steal the cores from whoever runs next, so call-by-call
    interleaving misleads; hence blocks with pauses.

    Parameters
    ----------
    calls
        Name to function without arguments.
    blocks
        Blocks for each; a block counts as its mean call.
    block_seconds
        Length aimed at for one block.
    pause
        Seconds of silence before each block.
    on_pause
        Called before each silence; it may raise to give up.
    long
        Seconds of a call above which it gets a single block.
    """
    repeats, turns = {}, {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        once = max(time.perf_counter() - start, 1e-7)
        repeats[name] = int(np.clip(block_seconds / once, 1, 10_000))
        turns[name] = 1 if once > long else blocks
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for block in range(blocks):
        for name, call in calls.items():
            if block >= turns[name]:
                continue
            if on_pause is not None:
                on_pause()
            time.sleep(pause)
            call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return seconds
