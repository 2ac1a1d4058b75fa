"""The reader of config.json: checked values, with the reference library's defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .strict_json import quoted

LARGEST = 2**31 - 1
_MISSING = object()


class ConfigValues:
    """Checked values of one configuration, asked for by the keys of a model family.

    Parameters
    ----------
    config
        The JSON object that holds them. A key with a dot leads into a part of it.
    defaults
        What a missing key means: the default of the reference library's configuration class, whose
        type is the type that is allowed. `int` itself stands for a whole number that must be
        there, None for a value that may be left out.
    spellings
        Other names of a key, by key; published files use either.
    nulls
        What null means, by key, where the reference library lets it stand. Elsewhere null is a
        wrong value, and never the same as a missing key.
    where
        The file's name, for messages.

    Raises
    ------
    CheckpointError
        If a key is null that must not be. The methods raise it for any other value that is not
        allowed, naming the key, the value and what is allowed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
        spellings: Mapping[str, tuple[str, ...]],
        nulls: Mapping[str, Any],
        where: str = "config.json",
    ) -> None:
        self.where = where
        self._config = config
        self._defaults = defaults
        self._spellings = spellings
        self._nulls = nulls
        self._sets: dict[str, frozenset[int]] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._numbers: dict[str, list[int]] = {}
        for key, default in defaults.items():
            name, value = self._stored(key)
            if value is None and key not in nulls:
                raise self.wrong(name, None, _allowed(default))

    def whole(self, key: str, low: int = 1) -> int:
        """A whole number of at least `low`."""
        return self._checked(*self._get(key), low)

    def whole_or(self, key: str, otherwise: int, low: int = 1) -> int:
        """The same, or `otherwise` where the key may be left out and is."""
        name, value = self._get(key)
        return otherwise if value is None else self._checked(name, value, low)

    def whole_unless(self, key: str, word: str, otherwise: int, low: int = 1) -> int:
        """The same, or `otherwise` where the file has this word."""
        name, value = self._get(key)
        return otherwise if value == word else self._checked(name, value, low)

    def of_layer(self, key: str, layer: int | None) -> int:
        """A whole number, or the layer's entry of a list; without a layer, all must be the same."""
        name, value = self._get(key)
        if isinstance(value, list) and value:
            if layer is None:
                if any(entry != value[0] for entry in value):
                    raise self.wrong(name, value, "one value for all layers")
                value = value[0]
            elif layer < len(value):
                value = value[layer]
        return self._checked(name, value, 1)

    def each(self, key: str, count: int, low: int = 1, more: bool = False) -> list[int] | None:
        """A list of `count` whole numbers of at least `low`, or None if the key is left out.

        With `more` the list may be longer; the rest of it is left out.
        """
        if key not in self._numbers:  # every layer may ask
            name, value = self._get(key)
            if value is None:
                return None
            if not _is_list(value, count, more):
                raise self.wrong(name, value, f"a list of {count} whole numbers")
            self._numbers[key] = [self._checked(name, entry, low) for entry in value[:count]]
        return self._numbers[key]

    def wholes(self, key: str) -> frozenset[int] | None:
        """A list of whole numbers, or None if the key is left out."""
        if key not in self._sets:  # every layer asks, and a stranger's list may be long
            name, value = self._get(key)
            if value is None:
                return None
            if not isinstance(value, list) or not all(map(_is_whole, value)):
                raise self.wrong(name, value, "a list of whole numbers")
            self._sets[key] = frozenset(value)
        return self._sets[key]

    def length(self, key: str) -> int | None:
        """Entries of a list, or letters of a text, at least one; None if the key is left out."""
        name, value = self._get(key)
        if value is None:
            return None
        if not isinstance(value, list | str):
            raise self.wrong(name, value, "a list or a text")
        return self._checked(f"length of {name}", len(value), 1)

    def kinds(
        self, key: str, allowed: tuple[str, ...], count: int, more: bool = False
    ) -> tuple[str, ...] | None:
        """A list of `count` of the allowed words, or None if the key is left out.

        A text counts as the list of its letters. With `more` the list may be longer; the rest of
        it is left out.
        """
        if key not in self._lists:
            name, value = self._get(key)
            if value is None:
                return None
            value = list(value) if isinstance(value, str) else value
            right = _is_list(value, count, more)
            value = value[:count] if right else value
            if not right or any(not isinstance(one, str) or one not in allowed for one in value):
                words = " or ".join(ascii(one) for one in allowed)
                raise self.wrong(name, value, f"a list of {count} times {words}")
            self._lists[key] = tuple(value)
        return self._lists[key]

    def option(self, key: str) -> int | float | bool:
        """A value of its default's kind: true or false, a whole number >= 1, or a number >= 0."""
        default = self._defaults[key]
        if default is int or _is_whole(default):
            return self.whole(key)
        name, value = self._get(key)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise self.wrong(name, value, _allowed(default))
            return value
        number = isinstance(value, float) or _is_whole(value)
        if not number or not 0 <= value < math.inf:
            raise self.wrong(name, value, _allowed(default))
        return float(value)

    def choice(self, key: str, allowed: tuple[Any, ...]) -> Any:
        """One of the allowed values."""
        name, value = self._get(key)
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise self.wrong(name, value, " or ".join(ascii(one) for one in allowed))
        return value

    def wrong(self, name: str, value: object, allowed: str) -> CheckpointError:
        """The error for a value that is not allowed."""
        return CheckpointError(f"{self.where}: {name}: got {quoted(value)}, allowed is {allowed}")

    def _get(self, key: str) -> tuple[str, Any]:
        """The name that the file has for a key, and the value, its default or what null means."""
        name, value = self._stored(key)
        if value is None:
            return name, self._nulls[key]
        if value is not _MISSING:
            return name, value
        default = self._defaults[key]
        if isinstance(default, type):
            names = " or ".join((key, *self._spellings.get(key, ())))
            raise CheckpointError(f"{self.where}: got no {names}")
        return name, default

    def _stored(self, key: str) -> tuple[str, Any]:
        """The name that the file has for a key and its value, _MISSING if there is none."""
        part, _, last = key.rpartition(".")
        config = self._config.get(part, {}) if part else self._config
        if not isinstance(config, Mapping):
            raise self.wrong(part, config, "an object")
        names = (last, *self._spellings.get(key, ()))
        found = {name: config[name] for name in names if name in config}
        if not found:
            return key, _MISSING
        name, value = next(iter(found.items()))
        if any(other != value for other in found.values()):
            raise CheckpointError(
                f"{self.where}: {' and '.join(found)} say {quoted(list(found.values()))}, "
                "allowed is one value"
            )
        return f"{part}.{name}" if part else name, value

    def _checked(self, name: str, value: object, low: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
            raise self.wrong(name, value, f"a whole number in {low}..{LARGEST}")
        return int(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: object, count: int, more: bool) -> bool:
    """Whether it is a list of so many entries, or of at least so many."""
    return isinstance(value, list) and (len(value) == count or (more and len(value) > count))


def _allowed(default: object) -> str:
    """What a key with this default may hold, in words."""
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, float):
        return "a finite number >= 0"
    if isinstance(default, str):
        return "a text"
    if default is list:
        return "a list"
    return "a whole number" if default is not None else "a whole number or a list of them"
