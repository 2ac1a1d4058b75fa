"""Results that all users share: made once, kept by bytes."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from moe.app.shared.kept import Kept, size_of
from moe.app.shared.run_slots import run_slot
from moe.speed.turns import TURNS
from moe.training import TrainSettings


@dataclass(frozen=True)
class Record:
    table: np.ndarray
    words: list[str] = field(default_factory=list)


def test_bytes_are_those_of_arrays_and_texts_each_once() -> None:
    table = np.zeros(100_000)
    for value in (table, [table], {"a": table}, Record(table), (table, table), table[:]):
        assert 800_000 <= size_of(value) <= 801_000
    assert size_of(Record(table[:10], ["x" * 5000])) < 7000
    loop: list = []
    loop.append(loop)
    assert size_of(loop) < 200


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept = Kept(max_bytes=2_500_000)
    for name in "abc":
        kept.put(name, np.zeros(100_000))
        assert kept.get("a") is not None  # asked for again and again
    assert len(kept) == 3 and kept.n_bytes <= 2_500_000
    kept.put("d", np.zeros(100_000))
    assert kept.get("b") is None and kept.get("a") is not None and kept.get("d") is not None
    assert kept.n_bytes == sum(size_of(kept.get(name)) for name in "acd")
    kept.put("d", np.zeros(1))
    assert kept.n_bytes == size_of(kept.get("a")) + size_of(kept.get("c")) + size_of(np.zeros(1))
    kept.put("e", np.zeros(10**6))
    assert kept.n_bytes <= 2_500_000 and kept.get("e") is None


def test_the_first_makes_it_and_the_others_wait() -> None:
    kept, made, begun, go_on = Kept(), [], threading.Event(), threading.Event()

    def make() -> list[int]:
        made.append(1)
        begun.set()
        go_on.wait(10)
        return [7]

    results: list = []
    threads = [
        threading.Thread(target=lambda: results.append(kept.of("key", make))) for _ in range(4)
    ]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert made == [1] and results == [[7]] * 4
    assert all(result is results[0] for result in results)


def test_a_failure_is_not_kept() -> None:
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.of("key", lambda: 1 // 0)
    assert kept.of("key", lambda: 3) == 3 and len(kept) == 1


def test_visitors_at_the_same_time_share_a_run_and_later_ones_its_result() -> None:
    settings = TrainSettings(steps=3, batch=64, d_model=16, d_expert=8, seed=5)
    slot = run_slot(settings)
    assert run_slot(settings) is slot and run_slot(settings, b"own text") is not slot
    *_, last = slot.progress()
    del slot
    *_, again = run_slot(settings).progress()
    assert last.run and again.run is last.run


def test_sizes_are_summed_over_what_each_kind_holds() -> None:
    def own(*values: object) -> int:
        return sum(map(sys.getsizeof, values))

    one, two = "x" * 1000, "y" * 3000
    for value in ([one, two], (one, two), {one, two}, frozenset([one, two]), {one: two}):
        assert size_of(value) == own(value, one, two)
    again = [one, one, [one]]
    assert size_of(again) == own(again, again[2], one)
    record = Record(np.zeros(10), [one])
    assert size_of(record) == own(record, record.table, record.words, one)
    assert size_of(Record) == own(Record)  # a class is no result
    table = np.zeros(1000)
    assert size_of(table) == own(table) and size_of(table[:]) == own(table[:]) + 8000
    assert size_of(table[:10]) == own(table[:10]) + 80


def test_results_are_kept_up_to_the_last_byte() -> None:
    size = size_of(np.zeros(1000))
    kept = Kept(2 * size)
    for name in "ab":
        kept.put(name, np.zeros(1000))
    assert len(kept) == 2 and kept.n_bytes == 2 * size
    kept.put("c", np.zeros(1001))
    assert len(kept) == 1 and kept.get("a") is kept.get("b") is None
    kept = Kept(size - 1)
    assert kept.of("a", lambda: np.zeros(1000)).shape == (1000,)  # returned, not kept
    assert len(kept) == kept.n_bytes == 0


def test_nothing_is_left_of_who_waited() -> None:
    kept = Kept()
    kept.of("key", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        kept.of("other", lambda: 1 // 0)
    assert kept.of("key", lambda: 2) == 1 and not kept._making


def test_one_who_waits_for_another_s_result_may_give_up() -> None:
    kept, made, go_on = Kept(), threading.Event(), threading.Event()

    def make() -> int:
        made.set()
        go_on.wait(10)
        return 7

    def leave() -> None:
        raise LookupError

    thread = threading.Thread(target=kept.of, args=("key", make))
    thread.start()
    assert made.wait(10)
    with pytest.raises(LookupError):
        kept.of("key", make, leave)
    go_on.set()
    thread.join(10)
    assert kept.of("key", make, leave) == 7 and not kept._making


def test_who_waits_for_a_run_sees_its_progress_and_goes_on_if_the_first_one_leaves() -> None:
    slot = run_slot(TrainSettings(steps=40, batch=64, d_model=16, d_expert=8, seed=6))
    first, second = slot.progress(), slot.progress()
    assert "step 10 of 40" in next(first).words
    assert "step 10 of 40" in next(second).words
    first.close()  # the first visitor closes the page
    left = [state.words for state in second]
    assert [words.partition(",")[0] for words in left] == [
        "step 20 of 40", "step 30 of 40", "step 40 of 40", "done",
    ]  # fmt: skip


def test_a_run_that_waits_says_its_place() -> None:
    with TURNS.measuring():
        waiting = run_slot(TrainSettings(steps=2, batch=64, d_model=16, seed=9)).progress()
        assert next(waiting).words == "you are next in the queue"
        waiting.close()
    assert TURNS.waiting() == (0, 0)


def test_what_is_kept_for_good_counts_no_longer_and_goes_only_with_all() -> None:
    kept = Kept(max_bytes=2000)
    kept.put("first", np.zeros(100))
    kept.keep("first")
    kept.keep("never made")
    assert kept.n_bytes == len(kept) == 0 and kept.get("never made") is None
    for name in range(5):
        kept.put(name, np.zeros(200))
    assert np.array_equal(kept.get("first"), np.zeros(100))
    kept.clear()
    assert kept.get("first") is None
