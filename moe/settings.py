"""Sets of options: what a frozen dataclass says of each field, and what derives from it.

A field made by `option` carries its help, its bounds and its choices. `Settings` checks them, and
command line flags, controls of the app, files and the call as text read the same fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from .errors import check_choice, check_float, check_int, shown

Value = TypeVar("Value")
WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def option(
    default: Value,
    help: str = "",
    *,
    low: float | None = None,
    high: float | str | None = None,
    open_low: bool = False,
    among: Collection[Any] | Callable[[], Collection[Any]] | None = None,
) -> Value:
    """Return a dataclass field that carries its help and what is allowed.

    Parameters
    ----------
    low, high
        Bounds of a number, both allowed; as `high`, the name of another field is its value.
    open_low
        Whether a float has to be above `low`.
    among
        The allowed words or whole numbers. A registry is passed itself, so that what is registered
        later is allowed too; a function is called at every check.
    """
    bounds = {"low": low, "high": high, "open_low": open_low}
    return field(default=default, metadata={"help": help, "among": among, **bounds})


@dataclass(frozen=True)
class Settings:
    """Base of every set of options: checks what its fields allow, when it is created."""

    def __post_init__(self) -> None:
        kind: Any = type(self)  # mypy takes a class with __hash__ for unhashable
        for one, kinds in _checked(kind):
            value = getattr(self, one.name)
            if value is None and NoneType in kinds:
                continue
            if one.metadata["among"] is None:
                self._check_number(one, value, int in kinds)
            elif int in kinds:
                check_choice(one.name, str(value), [str(choice) for choice in _choices(one)])
            else:
                check_choice(one.name, value, _choices(one))

    def _check_number(self, one: Field[Any], value: Any, whole: bool) -> None:
        low, high, why = one.metadata["low"], one.metadata["high"], ""
        if isinstance(high, str):
            high, why = getattr(self, high), f"{high} is {getattr(self, high)}"
        if whole:
            check_int(one.name, value, low, high, why)
        else:
            high = math.inf if high is None else high
            check_float(one.name, value, low, high, one.metadata["open_low"])

    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        values = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def as_call(self) -> str:
        """Constructor call with the changed options only."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.changed().items())
        return f"{type(self).__name__}({arguments})"

    def as_flags(self, *always: str) -> list[str]:
        """Words of a command line: the changed options, and those that are always named."""
        named = self.changed() | {name: getattr(self, name) for name in always}
        pairs = ((f"--{name.replace('_', '-')}", str(value)) for name, value in named.items())
        return [word for pair in pairs for word in pair]

    @classmethod
    def control(cls, name: str) -> dict[str, Any]:
        """Arguments of the app's control of one option: its choices or bounds, and its default."""
        one = cls.__dataclass_fields__[name]
        if one.metadata["among"] is None:
            low, high = one.metadata["low"], one.metadata["high"]
            return {"min_value": low, "max_value": high, "value": one.default}
        choices = list(_choices(one))
        if isinstance(one.default, str):
            return {"options": choices, "index": choices.index(one.default)}
        return {"options": choices, "value": one.default}

    @classmethod
    def read(cls, place: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return options as a file gives them, in their types; 'none' is None where allowed.

        Raises
        ------
        ValueError
            If a name or a type is another one, with the place in the file; values are checked
            when the settings are created.
        """
        hints, values = get_type_hints(cls), {}
        for name, value in table.items():
            check_choice(f"key of [{place}]", name, [one.name for one in fields(cls)])
            values[name] = _typed(f"{place}.{name}", value, hints[name])
        return values


@cache
def _checked(kind: type[Settings]) -> list[tuple[Field[Any], tuple[Any, ...]]]:
    """Fields with bounds or choices, and their types; last those that depend on another field."""
    checked = [
        one
        for one in fields(kind)
        if one.metadata.get("low") is not None or one.metadata.get("among") is not None
    ]
    checked.sort(key=lambda one: isinstance(one.metadata["high"], str))
    hints = get_type_hints(kind) if checked else {}
    return [(one, get_args(hints[one.name]) or (hints[one.name],)) for one in checked]


def _choices(one: Field[Any]) -> Collection[Any]:
    among = one.metadata["among"]
    return among() if callable(among) else among


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Return a file's value as an option's type."""
    kinds = get_args(hint) or (hint,)
    if value == "none" and NoneType in kinds and str not in kinds:
        return None
    for kind in kinds:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                break
        if type(value) is kind:
            return value
    words = [WORDS[kind] for kind in kinds if kind in WORDS]
    words += ["'none'"] if NoneType in kinds and str not in kinds else []
    raise ValueError(f"{name}: got {shown(value)}, allowed is {' or '.join(words)}")


def setting(value: object) -> str:
    """Return the value of a setting as one types it: '0.01', 'topk', 'none'."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
