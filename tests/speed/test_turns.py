"""The queue of the app: fair between visitors, with a place that is shown, and short turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from moe import kernels
from moe.kernels.backend import threads_override
from moe.speed import turns as turns_module
from moe.speed.turns import SEATS, TURNS, Turn, Turns, queue_words


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE", 0.001)


def taken(turns: Turns, kind: str) -> bool:
    """Whether there is a seat, or all of them, at once."""

    def give_up(place: int) -> None:
        raise LookupError

    try:
        with getattr(turns, kind)(give_up):
            return True
    except LookupError:
        return False


def hear(places: Iterator[int]) -> bool:
    """Wait until a turn has its seats again."""
    return list(places) is not None


class Visitors:
    """Threads that take turns as visitors with a name, and the order in which they got them."""

    def __init__(self, seats: int) -> None:
        self.name = threading.local()
        self.turns = Turns(seats, lambda: getattr(self.name, "is_", "host"))
        self.order: list[str] = []
        self.threads: list[threading.Thread] = []

    def come(self, name: str, kind: str = "training", then: Callable[[], object] = bool) -> None:
        """Let a visitor come and stand in the queue."""
        stands = threading.Event()

        def visit() -> None:
            self.name.is_ = name[0]
            with getattr(self.turns, kind)(lambda place: stands.set()):
                self.order.append(name)
                then()

        self.threads.append(threading.Thread(target=visit, daemon=True))
        self.threads[-1].start()
        assert stands.wait(10), name

    def leave(self) -> list[str]:
        """Wait until all had their turn."""
        for thread in self.threads:
            thread.join(10)
        assert not self.turns._seated and self.turns.waiting() == (0, 0)
        return self.order


def test_two_may_train_at_once_and_one_measures_alone() -> None:
    turns = Turns(2)
    for _ in range(2):  # what is left behind does not count
        assert taken(turns, "training") and taken(turns, "measuring") and taken(turns, "short")
        with turns.training():
            assert taken(turns, "training") and not taken(turns, "measuring")
            with turns.training():
                assert not taken(turns, "training") and taken(turns, "short")
        with turns.measuring():
            assert not taken(turns, "training") and not taken(turns, "measuring")
        with pytest.raises(ZeroDivisionError), turns.measuring():
            _ = 1 // 0
    assert not turns._seated and not turns._queue
    assert turns.served == {"long": 14, "short": 4}
    assert TURNS._all == SEATS


def test_who_comes_first_is_seated_first_and_measuring_is_not_overtaken() -> None:
    visitors = Visitors(2)
    with visitors.turns.training():
        visitors.come("a", "measuring")
        visitors.come("b")
        assert not taken(visitors.turns, "training") and visitors.order == []
    assert visitors.leave() == ["a", "b"]


def test_visitors_take_turns_however_many_each_asks_for() -> None:
    visitors = Visitors(1)
    with visitors.turns.training():
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            visitors.come(name)
    assert visitors.leave() == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_visitor_has_one_long_turn_at_once_and_keeps_nobody_else_from_a_seat() -> None:
    name = ["a"]
    turns = Turns(2, lambda: name[0])
    with turns.training():
        with turns.turn() as second:
            waiting = second.places()
            assert [next(waiting), next(waiting)] == [1, 1] and len(turns._seated) == 1
            assert taken(turns, "short")
            name[0] = "b"
            assert taken(turns, "training")
        name[0] = "a"
        assert not taken(turns, "training")
    assert taken(turns, "training")


def test_the_place_in_the_queue_counts_down() -> None:
    turns, places = Turns(1), []
    with turns.turn() as first, turns.turn() as second, turns.turn() as third:
        assert list(first.places()) == []
        waiting = third.places()
        places.append(next(waiting))
        turns._leave(first)
        assert list(second.places()) == []
        places.append(next(waiting))
        turns._leave(second)
        places += list(waiting)
    assert places == [2, 1]
    assert queue_words(1) == "You are next in the queue"
    assert queue_words(3) == "You are number 3 in the queue"


def test_short_turns_do_not_wait_for_long_ones_which_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    monkeypatch.setattr(turns_module, "LONGEST_PAUSE", 1000.0)
    turns, gave_way, go_on = Turns(1), threading.Event(), threading.Event()

    def watch() -> None:
        with turns.short():
            gave_way.set()
            go_on.wait(10)

    with turns.training() as training:
        hear(training.give_way())  # nobody is there
        assert turns._seated == [training]
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        assert gave_way.wait(10)
        helper = threading.Thread(target=lambda: order.append(hear(training.give_way()) and "on"))
        order: list[str] = []
        helper.start()
        assert wait_until(lambda: training not in turns._seated)
        order.append("short")
        go_on.set()
        helper.join(10)
        watcher.join(10)
        assert order == ["short", "on"] and turns._seated == [training]


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether something becomes so within ten seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        threading.Event().wait(0.001)
    return condition()


def test_a_measurement_lets_short_turns_in_between_two_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    visitors = Visitors(2)
    with visitors.turns.measuring() as measuring:
        visitors.come("short", "short")
        assert visitors.order == [] and visitors.turns.waiting() == (0, 1)
        hear(measuring.give_way())
        assert visitors.order == ["short"] and measuring in visitors.turns._seated
    assert visitors.leave() == ["short"]


def test_a_long_turn_keeps_its_seat_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 1000.0)
    visitors = Visitors(2)
    with visitors.turns.measuring() as measuring:
        visitors.come("short", "short")
        hear(measuring.give_way())
        assert visitors.order == []
    assert visitors.leave() == ["short"]


def test_in_company_each_computes_with_one_thread() -> None:
    def threads() -> int | None:
        return threads_override.get()

    turns = Turns(2)
    with turns.training():
        assert threads() is None
        with turns.short():
            assert threads() == 1
        assert threads() is None
    with kernels.using(threads=3), turns.training():
        assert threads() == 3
    with turns.measuring(), turns.turn():
        assert threads() is None  # it measures what the machine can do


def test_short_turns_without_end_do_not_starve_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(turns_module, "LONGEST_BEFORE_ALONE", 0.02)
    turns, stop = Turns(2), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            with turns.short():
                stop.wait(0.002)

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        begin = time.monotonic()
        for _ in range(3):
            with turns.training():
                pass
            with turns.measuring() as turn:
                monkeypatch.setattr(turns_module, "SLICE", 0.0)
                hear(turn.give_way())
        assert time.monotonic() - begin < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert turns.served["long"] == 6 and turns.served["short"] > 6
    assert not turns._seated and not turns._queue


def test_what_pages_compute_leaves_a_seat_to_live_runs() -> None:
    turns = Turns(2)
    with turns.computing():
        assert not taken(turns, "computing") and taken(turns, "short")
        with turns.short():
            assert not taken(turns, "short")
    with turns.short(), turns.short():
        assert not taken(turns, "computing")
    with Turns(1).computing():
        pass


def test_a_long_turn_goes_behind_others_after_its_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    monkeypatch.setattr(turns_module, "SPELL", 0.0)
    visitors = Visitors(1)

    def heavy() -> None:
        with visitors.turns.training() as turn:
            begun.set()
            go_on.wait(10)
            for _ in turn.give_way():
                assert turn.set_back
            visitors.order.append("heavy again")
            assert not turn.set_back and not hear_any(turn)  # nobody waits any more

    begun, go_on = threading.Event(), threading.Event()
    visitors.threads.append(threading.Thread(target=heavy, daemon=True))
    visitors.threads[0].start()
    assert begun.wait(10)
    visitors.come("a")
    visitors.come("b")
    assert visitors.order == []
    go_on.set()
    assert visitors.leave() == ["a", "b", "heavy again"]


def hear_any(turn: Turn) -> list[int]:
    """Places that a turn had to wait at."""
    return [*turn.give_way()]


def test_a_spell_ends_only_when_somebody_waits_who_may_sit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "SLICE", 0.0)
    monkeypatch.setattr(turns_module, "SPELL", 0.0)
    turns = Turns(1, lambda: "a")
    with turns.training() as turn, turns.turn():  # the second of the same visitor has to wait
        assert hear_any(turn) == [] and turn in turns._seated
