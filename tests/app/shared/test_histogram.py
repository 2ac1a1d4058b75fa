"""Numbers of a class, counted in steps of a round width."""

from __future__ import annotations

import random

import pytest

from moe.app.shared.histogram import MOST_STEPS, counted


def test_numbers_are_counted_in_round_steps_with_the_right_one_among_them() -> None:
    counts, where = counted([1, 12, 14, 33, 39], 12.5, "%")
    assert list(counts.items()) == [
        ("0 to 10 %", 1), ("10 to 20 %", 2), ("20 to 30 %", 0), ("30 to 40 %", 2),
    ]  # fmt: skip
    assert where == "10 to 20 %"


def test_one_that_is_far_off_takes_no_room_from_the_others() -> None:
    counts, where = counted([1, 2, 3, 4, 1e9, -1e9], 2.5)
    names = list(counts)
    assert names[0].startswith("less than") and names[-1].endswith("and more")
    assert counts[names[0]] == counts[names[-1]] == 1 and where in names[1:-1]


@pytest.mark.parametrize("right", [0.0, 14.0, 1e-6, -3.0, 4.67e10])
def test_a_class_that_agrees_has_one_step(right: float) -> None:
    counts, where = counted([right] * 5, right)
    assert counts == {where: 5}


@pytest.mark.parametrize("seed", range(40))
def test_all_are_counted_once_in_few_steps(seed: int) -> None:
    rng = random.Random(seed)
    scale = 10 ** rng.uniform(-4, 9)
    numbers = [rng.gauss(0, scale) for _ in range(rng.randint(1, 30))]
    right = rng.choice([*numbers, 0.0, scale])
    counts, where = counted(numbers, right)
    assert sum(counts.values()) == len(numbers) and where in counts
    assert 1 <= len(counts) <= MOST_STEPS + 3
