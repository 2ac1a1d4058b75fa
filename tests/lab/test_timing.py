"""Blocks in turn: what is called how often, and which figure counts."""

from __future__ import annotations

import pytest

from moe.lab import timing


class Clock:
    """Time that only calls make pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slept, self.order = 0.0, 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def call(self, name: str, *seconds: float):
        left = list(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_blocks_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    # Two calls to find the length, then one uncounted and two counted ones a block.
    varied = (0.02, 0.02, 9, 0.01, 0.01, 9, 0.03, 0.03, 9, 0.02, 0.02)
    calls = {"a": clock.call("a", *varied), "b": clock.call("b", 0.04)}
    found = timing.time_in_turn(calls, blocks=3, block_seconds=0.05, pause=0.1)
    assert found == {"a": pytest.approx(0.02), "b": pytest.approx(0.04)}
    assert clock.slept == pytest.approx(0.6)
    assert "".join(clock.order) == "aabb" + 3 * "aaabb"


def test_a_long_call_gets_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    long = 2 * timing.LONG
    calls = {"quick": clock.call("q", 0.01), "long": clock.call("l", long)}
    found = timing.time_in_turn(calls, blocks=4, block_seconds=0.01)
    assert found == {"quick": pytest.approx(0.01), "long": pytest.approx(long)}
    assert clock.order.count("l") == 2 + 2 and clock.order.count("q") == 2 + 4 * 2
