"""What derives from a set of options: checks, flags, calls, controls and a file's values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest

import moe
from moe.settings import Settings, option

WORDS = {"one": 1}


@dataclass(frozen=True)
class Example(Settings):
    """Every kind of option."""

    k: int = option(2, "Chosen.", low=1, high="n_experts")
    n_experts: int = option(4, "Experts.", low=1, high=8)
    rate: float | None = option(None, "Strength.", low=0, high=1, open_low=True)
    word: str = option("one", "A word.", among=WORDS)
    later: str = option("two", "A word.", among=lambda: ("two", *WORDS))
    nodes: int = option(4, "Nodes.", among=(2, 4))
    free: int = -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 5}, "k: got 5, allowed is a whole number in 1..4 (n_experts is 4)"),
        ({"k": 2.0}, "k: got 2.0, allowed is a whole number in 1..4 (n_experts is 4)"),
        ({"n_experts": 9, "k": 9}, "n_experts: got 9, allowed is a whole number in 1..8"),
        ({"rate": 0.0}, "rate: got 0.0, allowed is a number > 0 and <= 1"),
        ({"word": "two"}, "word: got 'two', allowed is one of one"),
        ({"word": None}, "word: got None, allowed is one of one"),
        ({"later": "three"}, "later: got 'three', allowed is one of two, one"),
        ({"nodes": 3}, "nodes: got '3', allowed is one of 2, 4"),
    ],
)
def test_what_is_not_allowed_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Example(**change)
    assert str(caught.value) == message


def test_what_is_registered_later_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORDS, "new", 2)
    assert Example(word="new", later="new").word == "new"


def test_a_call_and_a_command_name_what_differs_from_the_defaults() -> None:
    settings = Example(n_experts=8, rate=0.5)
    assert settings.changed() == {"n_experts": 8, "rate": 0.5}
    assert settings.as_call() == "Example(n_experts=8, rate=0.5)"
    assert eval(settings.as_call()) == settings
    assert settings.as_flags() == ["--n-experts", "8", "--rate", "0.5"]
    assert settings.as_flags("word", "rate") == [*settings.as_flags(), "--word", "one"]


def test_a_control_has_the_choices_or_the_bounds_and_the_default() -> None:
    assert Example.control("n_experts") == {"min_value": 1, "max_value": 8, "value": 4}
    assert Example.control("later") == {"options": ["two", "one"], "index": 0}
    assert Example.control("nodes") == {"options": [2, 4], "value": 4}


def test_a_file_gives_values_in_the_types_of_the_options() -> None:
    assert Example.read("settings", {"rate": 1, "k": 3}) == {"rate": 1.0, "k": 3}
    assert Example.read("settings", {"rate": "none"}) == {"rate": None}
    with pytest.raises(ValueError, match=r"^settings\.k: got '3', allowed is a whole number$"):
        Example.read("settings", {"k": "3"})
    with pytest.raises(ValueError, match=r"^key of \[settings\]: got 'q', allowed is one of k, "):
        Example.read("settings", {"q": 3})


@pytest.mark.parametrize("kind", [*moe.BALANCERS.values(), moe.Capacity, moe.TrainSettings])
def test_no_bound_is_left_without_its_lower_end(kind: type[Settings]) -> None:
    for one in fields(kind):
        if one.metadata.get("high") is not None or one.metadata.get("open_low"):
            assert one.metadata["low"] is not None, one.name
