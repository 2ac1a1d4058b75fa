"""Sentences about a stretch of a run say what its records say."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from moe.app.shared.stage.words import mean_share, names, takeover_words, work_words
from moe.training import LiveRecord, LiveRun, TrainSettings


@cache
def a_record() -> LiveRecord:
    """One step of a run, made when a test asks: each process of the suite reads this file."""
    return LiveRun(TrainSettings(n_experts=4, d_model=8, d_expert=8, batch=64)).step()


def said(*share: float, off: tuple[int, ...] = (), dropped: float = 0.0) -> str:
    record = replace(a_record(), share_E=np.array(share, np.float32), dropped=dropped)
    return work_words([record, record], off)


def test_who_works_and_who_is_idle() -> None:
    assert said(0.45, 0.05, 0.5, 0.0) == "A and C do 95% of the work; D is idle."
    assert said(1, 0, 0, 0) == "A does 100% of the work; B, C and D are idle."
    assert said(0.97, 0.01, 0.01, 0.01) == (
        "A does 97% of the work; B, C and D have next to nothing."
    )
    assert said(0.26, 0.24, 0.27, 0.23) == (
        "The work is spread evenly: the busiest expert, C, does 27%, its fair share is 25%."
    )
    assert said(0.35, 0.33, 0.31, 0.01) == (
        "The busiest expert, A, does 35% of the work; D has next to nothing."
    )
    assert said(0.36, 0.24, 0.2, 0.2) == ("The busiest expert, A, does 36%, its fair share is 25%.")
    assert "its fair share is 33%" in said(0.34, 0, 0.33, 0.33, off=(1,))
    assert said(0.25, 0.25, 0.25, 0.25, dropped=0.25).endswith(
        ". 25% of the work is dropped, since its expert is full."
    )


def test_means_are_over_all_records() -> None:
    first, second = (replace(a_record(), share_E=np.float32([x, 1 - x, 0, 0])) for x in (0.2, 0.4))
    assert np.allclose(mean_share([first, second]), [0.3, 0.7, 0, 0])


def test_many_names_become_a_number() -> None:
    assert names([0]) == "A" and names([0, 2]) == "A and C" and names([0, 1, 2]) == "A, B and C"
    assert names(range(6)) == "6 experts" and names([26]) == "AA"


def test_who_took_over() -> None:
    before, after = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0, 0.6, 0.3, 0.1])
    assert takeover_words(before, after, 0) == (
        "A is off. Most of its 40% went to B (from 30% to 60% of the work) and "
        "C (from 20% to 30% of the work)."
    )
    assert "no work" in takeover_words(np.array([0, 0.5, 0.5, 0]), after, 0)
    even = np.full(20, 0.05)
    rest = np.append(0, np.full(19, 1 / 19))
    assert takeover_words(even, rest, 0) == "A is off. All others share its 5% of the work."
