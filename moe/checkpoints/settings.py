"""What a family reads from config.json: checked values, with the reference library's defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .strict_json import quoted

LARGEST = 2**31 - 1


class Settings:
    """Values of one configuration.

    Parameters
    ----------
    config
        The JSON object that holds them.
    defaults
        What a missing key means. A default's type is the type that is allowed; `int` itself
        stands for a whole number that must be there.
    spellings
        Other names of a key, by key; published files use either.
    layer
        Which entry of a list counts, where a family may give one value per layer.
    nulls
        What null means, by key, where the reference library lets it stand; elsewhere null is a
        wrong value, and never the same as a missing key.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
        spellings: Mapping[str, tuple[str, ...]],
        layer: int = 0,
        nulls: Mapping[str, Any] | None = None,
    ) -> None:
        self._config = config
        self._defaults = defaults
        self._spellings = spellings
        self._layer = layer
        self._nulls = nulls or {}
        self._sets: dict[str, frozenset[int]] = {}

    def whole(self, key: str, low: int = 1, per_layer: bool = False) -> int:
        """A whole number of at least `low`.

        Raises
        ------
        CheckpointError
            Naming key, value and what is allowed; so do the other methods.
        """
        value = self._get(key)
        if per_layer and isinstance(value, list) and self._layer < len(value):
            value = value[self._layer]
        if not _is_whole(value) or not low <= value <= LARGEST:
            raise _wrong(key, value, f"a whole number in {low}..{LARGEST}")
        return int(value)

    def wholes(self, key: str) -> frozenset[int] | None:
        """A list of whole numbers, or None if the key is missing or null."""
        value = self._config.get(key)
        if value is None:
            return None
        if key not in self._sets:  # asked for once a layer, and strangers' lists may be long
            if not isinstance(value, list) or not all(map(_is_whole, value)):
                raise _wrong(key, value, "a list of whole numbers")
            self._sets[key] = frozenset(value)
        return self._sets[key]

    def option(self, key: str) -> int | float | bool:
        """A value of its default's kind: true or false, a whole number >= 1, or a number >= 0."""
        default = self._defaults[key]
        if default is int or _is_whole(default):
            return self.whole(key)
        value = self._get(key)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise _wrong(key, value, "true or false")
            return value
        number = isinstance(value, float) or _is_whole(value)
        if not number or not 0 <= value < math.inf:
            raise _wrong(key, value, "a finite number >= 0")
        return float(value)

    def choice(self, key: str, allowed: tuple[Any, ...]) -> Any:
        """One of the allowed values."""
        value = self._get(key)
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise _wrong(key, value, " or ".join(ascii(one) for one in allowed))
        return value

    def _get(self, key: str) -> Any:
        names = (key, *self._spellings.get(key, ()))
        found = {name: self._config[name] for name in names if name in self._config}
        values = list(found.values())
        if any(value != values[0] for value in values):
            raise CheckpointError(
                f"config.json: {' and '.join(found)} say {quoted(values)}, allowed is one value"
            )
        if values:
            return self._nulls.get(key) if values[0] is None else values[0]
        default = self._defaults[key]
        if isinstance(default, type):
            raise CheckpointError(f"config.json: got no {' or '.join(names)}")
        return default


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(key: str, value: object, allowed: str) -> CheckpointError:
    return CheckpointError(f"config.json: {key}: got {quoted(value)}, allowed is {allowed}")
