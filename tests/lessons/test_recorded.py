"""What ships of lessons' measurements is what measuring again finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from moe.lessons import recorded
from moe.lessons.course import FILES

WITHIN = 0.12  # bits or shares: what other texts, or another processor, may change


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of nested dictionaries and lists, with where it stands."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from numbers(one, f"{path}.{name}")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from numbers(one, f"{path}[{at}]")
    else:
        yield path, float(value)


def test_records_are_of_lessons_and_have_every_seed() -> None:
    assert set(recorded.MEASURED) <= set(FILES)
    assert {path.stem for path in recorded.FOLDER.glob("*")} == set(recorded.MEASURED)
    for name in recorded.MEASURED:
        assert [run["seed"] for run in recorded.recorded(name)] == list(recorded.SEEDS)


def test_an_unknown_record_is_refused() -> None:
    with pytest.raises(ValueError, match=r"record: got 'letters', allowed is one of"):
        recorded.recorded("letters")


@pytest.mark.soak
@pytest.mark.parametrize("seed", recorded.SEEDS)
@pytest.mark.parametrize("name", ["reads", "teacher"])
def test_measuring_again_finds_what_ships(name: str, seed: int) -> None:
    shipped, again = recorded.recorded(name)[seed], recorded.measure(name, seed)
    assert dict(numbers(again)) == pytest.approx(dict(numbers(shipped)), abs=WITHIN)


@pytest.mark.soak
@pytest.mark.parametrize("seed", recorded.SEEDS)
def test_rewards_end_where_they_ended(seed: int) -> None:
    """On the way a round earlier or later is a large difference."""
    shipped, again = recorded.recorded("thinking")[seed], recorded.measure("thinking", seed)
    for start in ("rounds", "weak"):
        for at in (0, -1):
            for name in ("right", "thinks"):
                assert again[start][at][name] == pytest.approx(shipped[start][at][name], abs=WITHIN)
