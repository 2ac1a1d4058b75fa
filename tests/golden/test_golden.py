"""What is shown is what was written down; `python -m tests.golden` writes it again, see there."""

from __future__ import annotations

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
    else:
        assert now == before, at


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[": ".join(case) for case in CASES])
def test_it_shows_what_it_showed(kind: str, name: str) -> None:
    alike(plain(KINDS[kind][name]()), known(kind)[name], name)


def test_nothing_is_written_down_that_is_not_shown_any_more() -> None:
    for kind, entries in KINDS.items():
        assert set(known(kind)) == set(entries)


def test_a_difference_is_found_wherever_it_is() -> None:
    alike({"a": [1, 2.0, "b"]}, {"a": [1, 2.00001, "b"]}, "")
    for other in ({"a": [1, 2.1, "b"]}, {"a": [1, 2.0]}, {"a": [1, 2.0, "c"]}, {"b": 1}, [1]):
        with pytest.raises(AssertionError):
            alike(other, {"a": [1, 2.0, "b"]}, "")
