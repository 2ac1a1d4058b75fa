"""Results that all users share: made once, kept by bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from moe.lab.compare import run_slot
from moe.lab.kept import Kept, size_of
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
