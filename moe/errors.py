"""Argument checks and exceptions: messages name the argument, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")
FLOAT_TYPES = tuple(np.dtype(name) for name in FLOATS)


class CheckpointError(ValueError):
    """A checkpoint folder, trace or uploaded file that cannot be read as promised."""


def check_int(name: str, value: Any, low: int, high: int | None = None, why: str = "") -> int:
    """Return `value` as an int in [low, high].

    Raises
    ------
    ValueError
        If it is not a whole number in the range; `why` explains the bound.
    """
    allowed = f"a whole number >= {low}" if high is None else f"a whole number in {low}..{high}"
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise ValueError(f"{name}: got {value!r}, allowed is {allowed}{why and f' ({why})'}")
    return int(value)


def check_float(
    name: str, value: Any, low: float, high: float = math.inf, open_low: bool = False
) -> float:
    """Return `value` as a finite float in [low, high], or (low, high] with `open_low`.

    Raises
    ------
    ValueError
        If it is not such a number.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, bool
    )
    ok = number and math.isfinite(value) and low <= value <= high
    if not ok or (open_low and value == low):
        bound = f"> {low:g}" if open_low else f">= {low:g}"
        upper = "" if math.isinf(high) else f" and <= {high:g}"
        raise ValueError(f"{name}: got {value!r}, allowed is a number {bound}{upper}")
    return float(value)


def check_choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return `value` if it is one of the allowed words.

    Raises
    ------
    ValueError
        If it is not; the message lists the allowed ones.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: got {value!r}, allowed is one of {', '.join(allowed)}")
    return value


def check_array(
    name: str, value: Any, shape: tuple[int | None, ...], *, finite: bool = True
) -> np.ndarray:
    """Return `value` as a C-contiguous float32 or float64 array of the given shape.

    Parameters
    ----------
    shape
        Expected sizes; None matches any size.
    finite
        Also refuse NaN and infinity.

    Raises
    ------
    ValueError
        If dtype, number of axes, a size or a value is not allowed.
    """
    array = np.asarray(value)
    if array.dtype not in FLOAT_TYPES:
        raise ValueError(f"{name}: got dtype {array.dtype}, allowed are float32 and float64")
    fits = array.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name}: got shape {array.shape}, allowed is {want}")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, allowed are finite numbers only")
    return np.ascontiguousarray(array)
