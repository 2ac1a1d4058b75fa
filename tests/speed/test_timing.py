"""Blocks in turn: what is called how often, and which figure counts."""

from __future__ import annotations

import pytest

from moe.speed import timing


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


@pytest.mark.parametrize(("seconds", "blocks"), [(timing.LONG, 3), (timing.LONG + 0.01, 1)])
def test_a_call_is_long_from_the_limit_on(
    monkeypatch: pytest.MonkeyPatch, seconds: float, blocks: int
) -> None:
    clock = Clock(monkeypatch)
    clock.now = 0.0
    found = timing.blocks_in_turn({"a": clock.call("a", seconds)}, blocks=3)
    assert len(found["a"]) == blocks
    assert len(clock.order) == 2 + 2 * blocks  # one uncounted and one counted call a block
    assert 0.1 <= timing.LONG <= 1  # a visitor waits for five times as long


def test_a_block_is_as_long_as_was_asked_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for once, repeats in ((0.01, 5), (0.3, 1), (0.0, 10_000), (1e-4, 500), (0.03, 1)):
        clock = Clock(monkeypatch)
        found = timing.blocks_in_turn({"a": clock.call("a", once)}, blocks=1, block_seconds=0.0501)
        assert len(clock.order) == 2 + 1 + repeats, once
        assert found["a"] == [pytest.approx(once)]


def test_each_silence_is_announced_and_may_end_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(monkeypatch), []
    calls = {"a": clock.call("a", 0.01), "b": clock.call("b", 0.01)}
    for run in (timing.blocks_in_turn, timing.time_in_turn):
        clock.slept, told[:] = 0.0, []
        run(calls, 3, 0.02, 0.25, lambda: told.append(clock.slept))
        assert told == pytest.approx([0, 0.25, 0.5, 0.75, 1.0, 1.25])

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timing.time_in_turn(calls, on_pause=stop)


def test_the_usual_blocks_are_five_of_a_twentieth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for run in (timing.blocks_in_turn, timing.time_in_turn):
        clock = Clock(monkeypatch)
        run({"a": clock.call("a", 0.0099)})
        assert len(clock.order) == 2 + 5 * (1 + 5)
        assert clock.slept == pytest.approx(5 * 0.15)
