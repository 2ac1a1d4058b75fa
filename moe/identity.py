"""What a layer is, in one line, as a table, and whether two are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from html import escape
from typing import Any

import numpy as np


def options_words(options: Any) -> str:
    """A dataclass of options in short: its name, and the values that are not the defaults."""
    changed = [
        f"{field.name}={getattr(options, field.name)!r}"
        for field in fields(options)
        if not _same_value(getattr(options, field.name), field.default)
    ]
    return f"{getattr(options, 'name', type(options).__name__)}({', '.join(changed)})"


def sizes_words(params: Mapping[str, Any]) -> str:
    """Shapes, number type and size of a layer's parameters, whatever state they are in."""
    arrays = [array for array in params.values() if isinstance(array, np.ndarray)]
    names = {"w_down_EFD": "EFD", "w_down_FD": "FD"}
    for name, axes in names.items():
        down = params.get(name)
        if isinstance(down, np.ndarray) and down.ndim == len(axes):
            sizes = ", ".join(f"{axis}={n}" for axis, n in zip(axes, down.shape, strict=True))
            return f"{sizes}, {down.dtype}, {sum(a.size for a in arrays):,} numbers"
    return f"{len(arrays)} arrays"


def as_html(title: str, words: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """A heading line and a table with a row per array, for notebooks."""
    return (
        f"<b>{escape(title)}</b> {escape(words)}"
        "<table><thead><tr><th>array</th><th>shape</th><th>type</th></tr></thead><tbody>"
        f"{''.join(_rows(groups))}</tbody></table>"
    )


def _rows(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for group, arrays in groups.items():
        for name, array in arrays.items():
            kind = getattr(array, "dtype", type(array).__name__)
            cells = (f"{group}[{name!r}]", str(np.shape(array)), str(kind))
            yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def same_options(one: Any, other: Any) -> bool:
    """Whether two objects of options are of one class with the same values, arrays among them."""
    return type(one) is type(other) and all(
        _same_value(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
    )


def same_arrays(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both have the same names, and arrays equal to the last bit; NaN equals itself."""
    return set(one) == set(other) and all(_same_value(one[name], other[name]) for name in one)


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return (
            isinstance(one, np.ndarray)
            and isinstance(other, np.ndarray)
            and (one.shape, one.dtype) == (other.shape, other.dtype)
            and one.tobytes() == other.tobytes()
        )
    return bool(one == other)
