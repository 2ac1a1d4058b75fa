"""What is shown is what was written down; `python -m tests.golden` writes it again, see there."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from tests.golden.record import KINDS, kept, plain

known = cache(kept)
CASES = [(kind, name) for kind, entries in KINDS.items() for name in entries]


def alike(now: Any, before: Any, at: str) -> None:
    """Raise where two records differ by more than a processor's rounding."""
    if isinstance(before, dict) and isinstance(now, dict):
        assert now.keys() == before.keys(), at
        for key, one in before.items():
            alike(now[key], one, f"{at}, {key}")
    elif isinstance(before, list) and isinstance(now, list):
        assert len(now) == len(before), at
        for i, (mine, one) in enumerate(zip(now, before)):
            alike(mine, one, f"{at}[{i}]")
    elif isinstance(before, float):
        assert now == pytest.approx(before, rel=1e-4, abs=1e-9), at
    elif isinstance(before, str) and now != before:  # such as an array that was printed
        assert isinstance(now, str), at
        alike(words_and_numbers(now), words_and_numbers(before), at)
    else:
        assert now == before, at


def words_and_numbers(text: str) -> list[tuple[str, ...] | float]:
    """A text in pieces: decimal fractions as numbers, what stands between them as its words."""
    pieces = re.split(r"(-?\d+\.\d+(?:e[+-]?\d+)?)", text)
    return [float(one) if i % 2 else tuple(one.split()) for i, one in enumerate(pieces)]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[": ".join(case) for case in CASES])
def test_it_shows_what_it_showed(kind: str, name: str) -> None:
    alike(plain(KINDS[kind][name]()), known(kind)[name], name)


def test_nothing_is_written_down_that_is_not_shown_any_more() -> None:
    for kind, entries in KINDS.items():
        assert set(known(kind)) == set(entries)


def test_a_difference_is_found_wherever_it_is() -> None:
    alike({"a": [1, 2.0, "b"]}, {"a": [1, 2.00001, "b"]}, "")
    alike("[0.0139  0.2] of 5", "[0.01390001 0.2] of 5", "")
    for other in ({"a": [1, 2.1, "b"]}, {"a": [1, 2.0]}, {"a": [1, 2.0, "c"]}, {"b": 1}, [1]):
        with pytest.raises(AssertionError):
            alike(other, {"a": [1, 2.0, "b"]}, "")
    for text in ("[0.0140 0.2] of 5", "[0.0139 0.2] of 6", "[0.0139] of 5", "in [0.0139 0.2] of 5"):
        with pytest.raises(AssertionError):
            alike(text, "[0.0139 0.2] of 5", "")
