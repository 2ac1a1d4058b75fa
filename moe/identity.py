"""What a layer is, in one line and as a table, and whether two layers are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from html import escape
from typing import Any

import numpy as np


def options_words(options: Any) -> str:
    """Short text of a dataclass of options: its name, and the values that are not the defaults."""
    changed = [
        f"{field.name}={getattr(options, field.name)!r}"
        for field in fields(options)
        if not _same_value(getattr(options, field.name), field.default)
    ]
    return f"{getattr(options, 'name', type(options).__name__)}({', '.join(changed)})"


def sizes_words(params: Mapping[str, Any]) -> str:
    """Sizes, dtype and count of a layer's parameters, even of a layer that is not valid."""
    arrays = [array for array in params.values() if isinstance(array, np.ndarray)]
    latent = params.get("latent_down_DL")
    width = f", D={len(latent)}" if isinstance(latent, np.ndarray) and latent.ndim else ""
    names = {"w_down_EFD": "EFL" if width else "EFD", "w_down_FD": "FD"}
    for name, axes in names.items():
        down = params.get(name)
        if isinstance(down, np.ndarray) and down.ndim == len(axes):
            sizes = ", ".join(f"{axis}={n}" for axis, n in zip(axes, down.shape, strict=True))
            sizes += width
            return f"{sizes}, {down.dtype}, {sum(a.size for a in arrays):,} numbers"
    return f"{len(arrays)} arrays"


def as_html(title: str, words: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    """A heading line and a table with one row for each array, for notebooks."""
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


def same_options(left: Any, right: Any) -> bool:
    """Whether two objects of options have the same class and the same values, arrays included."""
    return type(left) is type(right) and all(
        _same_value(getattr(left, field.name), getattr(right, field.name)) for field in fields(left)
    )


def same_arrays(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether both have the same names, and arrays equal to the last bit; NaN equals itself."""
    return set(left) == set(right) and all(_same_value(left[name], right[name]) for name in left)


def _same_value(left: Any, right: Any) -> bool:
    # Arrays are compared as bytes: a saved layer has to return bit for bit, NaN and -0 included.
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return (
            isinstance(left, np.ndarray)
            and isinstance(right, np.ndarray)
            and (left.shape, left.dtype) == (right.shape, right.dtype)
            and left.tobytes() == right.tobytes()
        )
    return bool(left == right)
