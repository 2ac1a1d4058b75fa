"""Runs in threads of their own: pause, stop, the queue, visitors who leave, and how many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from moe.app.shared import worker
from moe.app.shared.kept import Kept
from moe.app.shared.run_slots import RunSlot
from moe.app.shared.worker import (
    BROKEN,
    DONE,
    LEFT,
    PAUSED,
    RUNS,
    STOPPED,
    TOO_LONG,
    WAITS,
    Work,
    Works,
)
from moe.speed import turns as turns_module
from moe.speed.turns import Turns

SOON = 30.0  # seconds that no test needs


BEGUN: list[tuple[Work, object]] = []  # of a test, with what makes each


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(turns_module, "PATIENCE", 0.001)
    monkeypatch.setattr(worker, "PATIENCE", 0.001)
    monkeypatch.setattr(worker, "LOOK", 0.0)
    yield
    for work, steps in BEGUN:  # no thread outlives its test
        work.stop()
        if isinstance(steps, Steps):
            steps.allow(100)
        assert work.wait(SOON)
    BEGUN.clear()


class Steps:
    """A run whose steps wait until they are allowed."""

    def __init__(self, n: int = 10**9) -> None:
        self.n, self.allowed, self.closed = n, threading.Semaphore(0), False

    def allow(self, n: int) -> None:
        self.allowed.release(n)

    def __call__(self) -> Iterator[int]:
        try:
            for step in range(self.n):
                assert self.allowed.acquire(timeout=SOON)
                yield step
        finally:
            self.closed = True


class House:
    """Works of a server that is a test's own."""

    def __init__(self, most: int = 8, seats: int = 1) -> None:
        self.here, self.turns, self.kept = True, Turns(seats), Kept(10**6)
        self.works = Works(most, lambda visitor: self.here, self.turns, self.kept)

    def begin(self, make: Callable[[], Iterator[int]], visitor: str = "ada") -> Work:
        work = self.works.begin(visitor, "page", make)
        BEGUN.append((work, make))
        return work


def shows(n: int) -> Callable[[Work], bool]:
    return lambda work: len(work.records) >= n


def is_now(state: str) -> Callable[[Work], bool]:
    return lambda work: work.state == state


def test_a_run_goes_on_by_itself_and_its_records_stay_in_the_bytes_for_all():
    house, steps = House(), Steps(5)
    work = house.begin(steps)
    steps.allow(2)
    assert work.wait(SOON, shows(2)) and work.under_way and list(work.records) == [0, 1]
    assert house.works.of("ada", "page") is work and house.works.of("ada", "other") is None
    assert house.works.other("ada", "other") and not house.works.other("ada", "page")
    steps.allow(3)
    assert work.wait(SOON) and work.state == DONE and steps.closed
    assert list(work.records) == [0, 1, 2, 3, 4] and house.kept.n_bytes > 0
    house.kept.clear()
    assert not work.records


def test_a_paused_run_stands_still_and_leaves_its_seat():
    house, steps = House(), Steps()
    work = house.begin(steps)
    steps.allow(1)
    assert work.wait(SOON, shows(1))
    work.pause()
    steps.allow(1)  # of the step that it is in
    assert work.wait(SOON, is_now(PAUSED)) and "still" in work.words
    done = len(work.records)
    with house.turns.training():  # the only seat is free
        steps.allow(10)
        assert not work.wait(0.05, shows(done + 1))
        work.resume()
        assert work.wait(SOON, is_now(WAITS))
        assert work.wait(SOON, lambda work: work.words == "You are next in the queue.")
    assert work.wait(SOON, shows(done + 5)) and work.state == RUNS
    work.stop()
    steps.allow(1)
    assert work.wait(SOON) and work.state == STOPPED and steps.closed
    work.resume()
    assert work.state == STOPPED and len(work.records) >= done + 5


def test_a_run_that_waits_or_stands_still_can_be_stopped():
    house = House()
    with house.turns.training():
        work = house.begin(Steps())
        assert work.wait(SOON, is_now(WAITS))
        work.stop()
        assert work.wait(SOON) and work.state == STOPPED and not work.records
    work = house.begin(Steps())
    work.pause()
    assert work.wait(SOON, lambda work: work.state in (PAUSED, RUNS))
    work.stop()
    steps = Steps()
    assert house.begin(steps) is not work


def test_others_get_between_after_a_slice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "SLICE", 0.0)
    house, steps = House(), Steps()
    work = house.begin(steps)
    steps.allow(1)
    assert work.wait(SOON, shows(1))
    got = threading.Event()

    def other() -> None:
        with house.turns.training():
            got.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    while house.turns.waiting()[0] == 0 and not got.is_set():
        pass
    steps.allow(50)
    assert got.wait(SOON)
    assert work.wait(SOON, shows(20)) and work.under_way
    work.stop()
    steps.allow(50)
    assert work.wait(SOON)
    thread.join(SOON)


def test_a_run_ends_when_its_visitor_has_left_for_some_time(monkeypatch: pytest.MonkeyPatch):
    house, steps = House(), Steps()
    work = house.begin(steps)
    house.here = False
    steps.allow(3)
    assert work.wait(SOON, shows(3)) and work.under_way  # she may come back
    monkeypatch.setattr(worker, "AWAY", 0.0)
    steps.allow(3)
    assert work.wait(SOON) and work.state == LEFT and steps.closed


def test_a_run_that_computes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RunSlot, "longest", -1.0)
    house, steps = House(), Steps()
    work = house.begin(steps)
    steps.allow(1)
    assert work.wait(SOON) and work.state == TOO_LONG and "the most on this server" in work.words
    assert list(work.records) == [0]


def test_a_run_that_breaks_off_says_so_and_frees_its_seat(monkeypatch: pytest.MonkeyPatch):
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def broken() -> Iterator[int]:
        yield 1
        raise ArithmeticError("planted")

    house = House()
    work = house.begin(broken)
    assert work.wait(SOON) and work.state == BROKEN and list(work.records) == [1]
    work.join(SOON)
    assert told == [ArithmeticError]  # the server's log has it
    with house.turns.training():
        pass


def test_a_visitor_has_one_run_and_a_server_a_bounded_number():
    house = House(most=2, seats=2)
    first = Steps()
    work = house.begin(first)
    second = house.begin(Steps())
    first.allow(1)
    assert work.wait(SOON) and work.state == STOPPED and second.under_way
    house.begin(Steps(), "bob")
    with pytest.raises(ValueError, match="allowed are 2 at once on this server"):
        house.begin(Steps(), "eve")
    assert house.works.of("eve", "page") is None


def test_runs_that_ended_are_forgotten_once_their_visitors_have_left():
    house = House()
    work = house.begin(Steps(0))
    assert work.wait(SOON)
    house.here = False
    house.begin(Steps(0), "bob")
    assert house.works.of("ada", "page") is None


def test_without_a_server_every_visitor_is_here():
    assert worker.is_here("ada")
