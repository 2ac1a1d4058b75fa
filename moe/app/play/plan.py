"""A run as a visitor set it up: few numbers, which an address holds and which make a recipe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from ...data.corpus import DOMAINS
from ...errors import check_choice, check_int, shown
from ...training import Change, Recipe
from ...training.controls import ALL_TEXTS, BALANCING
from ..shared.stage.small_run import MOST_STEPS, small_run

EXPERTS = (8, 16, 32, 64)
PER_TOKEN = (1, 2, 4)
ROOMS = (None, 2.0, 1.25, 1.0)
MOST_CHANGES = 60
MOST_SEED = 9999

# A control's letter in an address; each value is written as a visitor's link can carry it.
LETTERS = {"b": "balancing", "k": "k", "r": "room", "x": "off", "t": "text"}
_CHANGE = re.compile(r"(\d{1,4})([bkrxt])([a-z0-9.]{0,200})", re.ASCII)
_FIRST = re.compile(r"(\d{1,2})-(\d{1,4})", re.ASCII)


@dataclass(frozen=True)
class Plan:
    """What a visitor runs.

    Attributes
    ----------
    experts, seed
        One of `EXPERTS`; where chance begins.
    changes
        What is set before which step, in order: (step, control, value). Step 0 is the start.

    Raises
    ------
    ValueError
        If a number or a change is not allowed on the page.
    """

    experts: int = 8
    seed: int = 0
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        check_choice("experts", str(self.experts), [str(n) for n in EXPERTS])
        check_int("seed", self.seed, 0, MOST_SEED)
        check_int("number of changes", len(self.changes), 0, MOST_CHANGES)
        for step, control, value in self.changes:
            check_int("step", step, 0, MOST_STEPS)
            check_choice("control", control, list(LETTERS.values()))
            if control == "k":
                check_choice("k", str(value), [str(k) for k in PER_TOKEN])
            if control == "room" and value not in ROOMS:
                raise ValueError(f"room: got {shown(value)}, allowed is one of {ROOMS}")
        self.recipe  # noqa: B018 - made for its checks

    @cached_property
    def recipe(self) -> Recipe:
        """The run: a small model of the same number of parameters for any number of experts."""
        return Recipe(small_run(self.experts, self.seed), self.changes)

    def written(self, at: int = 0) -> str:
        """The plan, and a step, as text for an address."""
        parts = [f"{self.experts}-{self.seed}"]
        parts += [
            f"{step}{_letter(control)}{_text(value)}" for step, control, value in self.changes
        ]
        return "_".join([*parts, *([str(at)] if at else [])])


def read(text: str) -> tuple[Plan, int]:
    """Read what `Plan.written` wrote: the plan and the step.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(text, str) or len(text) > 2000:
        raise ValueError(f"run: got {shown(text)}, allowed is the link of a run")
    return _read(text)


@lru_cache(maxsize=64)  # a browser sends the same text with every wish
def _read(text: str) -> tuple[Plan, int]:
    first, *rest = text.split("_")
    at = int(rest.pop()) if rest and re.fullmatch(r"\d{1,4}", rest[-1], re.ASCII) else 0
    head = _FIRST.fullmatch(first)
    found = [_CHANGE.fullmatch(part) for part in rest]
    if head is None or None in found:
        raise ValueError(f"run: got {shown(text)}, allowed is the link of a run")
    changes = []
    for match in found:
        assert match is not None
        control = LETTERS[match[2]]
        changes.append(Change(int(match[1]), control, _value(control, match[3])))
    plan = Plan(int(head[1]), int(head[2]), tuple(changes))
    return plan, check_int("step", at, 0, MOST_STEPS)


def _letter(control: str) -> str:
    return next(letter for letter, name in LETTERS.items() if name == control)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ".".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(control: str, text: str) -> Any:
    """Value of a control as it stands in an address."""
    if control == "balancing":
        return check_choice(control, text, BALANCING)
    if control == "text":
        return check_choice(control, text, (ALL_TEXTS, *DOMAINS))
    try:
        if control == "off":
            return [int(one) for one in text.split(".")] if text else []
        if control == "room":
            return None if text == "none" else float(text)
        return int(text)
    except ValueError as error:
        raise ValueError(f"{control}: got {shown(text)}, allowed is a number") from error
