"""Argument checks and exceptions: messages name the argument, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

FLOATS = ("float32", "float64")
FLOAT_TYPES = tuple(np.dtype(name) for name in FLOATS)


class GateWarning(UserWarning):
    """Warns of training in which the gate gets no gradient from the task's loss."""


class CheckpointError(ValueError):
    """A checkpoint folder, trace or uploaded file is missing, broken or not of its format."""


def shown(value: Any) -> str:
    """Text of a value for a message, cut if it is long, so that the rest stays in sight."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:180]}...{text[-1]}"


@contextmanager
def writing(name: str, path: str | Path) -> Iterator[None]:
    """Turn the failure to write a file into a ValueError that names the option and the place.

    Raises
    ------
    ValueError
        If the body cannot open, fill or close the file.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{name}: got {shown(str(path))} ({error.strerror}), allowed is a place to write"
        ) from error


def check_int(name: str, value: Any, low: int, high: int | None = None, why: str = "") -> int:
    """Return `value` as an int in [low, high].

    Raises
    ------
    ValueError
        If it is not a whole number in the range; `why` explains the bound.
    """
    allowed = f"a whole number >= {low}" if high is None else f"a whole number in {low}..{high}"
    # True is an int in Python, but given as a number it is a mistake.
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise ValueError(f"{name}: got {shown(value)}, allowed is {allowed}{why and f' ({why})'}")
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
        raise ValueError(f"{name}: got {shown(value)}, allowed is a number {bound}{upper}")
    return float(value)


def exactly(number: float) -> Fraction:
    """The decimal that a number is written as, 11/10 for 1.1, instead of its binary neighbour.

    A product that is rounded up needs it: 1.1 in binary is a little more than 11/10, so that 1.1
    times 100 would become 111.
    """
    return Fraction(str(number))


def check_choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return `value` if it is one of the allowed words.

    Raises
    ------
    ValueError
        If it is not; the message lists the allowed words.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: got {shown(value)}, allowed is one of {', '.join(allowed)}")
    return value


def check_dtype(dtype: Any) -> str:
    """Return 'float32' or 'float64' for anything that numpy accepts as one of them.

    Raises
    ------
    ValueError
        If it is anything else, such as a dtype of PyTorch or None.
    """
    try:
        name = str(dtype) if dtype is None else np.dtype(dtype).name
    except (TypeError, ValueError):
        name = str(dtype)
    return check_choice("dtype", name, FLOATS)


def check_array(
    name: str, value: Any, shape: tuple[int | None, ...], *, finite: bool = True
) -> np.ndarray:
    """Return `value` as a C-contiguous, aligned float32 or float64 array of the given shape.

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
    array = value if type(value) is np.ndarray else _as_array(name, value)
    if array.dtype not in FLOAT_TYPES:
        raise ValueError(f"{name}: got dtype {array.dtype}, allowed are float32 and float64")
    if array.shape != shape and not _fits(array.shape, shape):
        want = ", ".join("any" if n is None else str(n) for n in shape)
        want = f"({want},)" if len(shape) == 1 else f"({want})"
        hint = ""
        if array.ndim == 3 and len(shape) == 2 and shape[1] == array.shape[2]:
            hint = f": {name}.reshape(-1, {shape[1]}) puts the tokens of all sequences in one list"
        raise ValueError(f"{name}: got shape {array.shape}, allowed is {want}{hint}")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, allowed are finite numbers only")
    return array if array.flags.carray else np.require(array, requirements=["C", "A"])


def check_mask(mask_N: Any, n_tokens: int) -> np.ndarray:
    """Return a mask of tokens, (N,) bool: True for those that count.

    Raises
    ------
    ValueError
        If its type or its length differs.
    """
    mask_N = _as_array("mask_N", mask_N)
    if mask_N.dtype != np.bool_ or mask_N.shape != (n_tokens,):
        raise ValueError(
            f"mask_N: got {mask_N.dtype} of shape {mask_N.shape}, allowed is bool of shape "
            f"({n_tokens},), True for the tokens that count"
        )
    return mask_N


def check_lengths(length_S: Any, n_tokens: int) -> np.ndarray:
    """Return the lengths of the sequences, (S,) int64; together they hold all tokens of the batch.

    Raises
    ------
    ValueError
        If they are not whole numbers >= 0 that sum to the number of tokens.
    """
    length_S = _as_array("length_S", length_S)
    length_S = length_S.astype(np.int64) if not length_S.size else length_S
    if length_S.ndim != 1 or length_S.dtype.kind not in "iu" or (length_S < 0).any():
        raise ValueError(
            f"length_S: got {shown(length_S)}, allowed are whole numbers >= 0, one per sequence"
        )
    if (total := int(length_S.sum())) != n_tokens:
        raise ValueError(
            f"length_S: got sequences of {total} tokens together, allowed are all {n_tokens} of "
            "the batch"
        )
    return length_S.astype(np.int64)


def _fits(given: tuple[int, ...], allowed: tuple[int | None, ...]) -> bool:
    if len(given) != len(allowed):
        return False
    return False not in [m is None or n == m for n, m in zip(given, allowed, strict=True)]


def _as_array(name: str, value: Any) -> np.ndarray:
    """Convert to an array; for a tensor that numpy cannot read, the error says what to do."""
    if getattr(value, "requires_grad", False) is True:
        raise ValueError(
            f"{name}: got a tensor that needs a gradient, allowed is an array: pass "
            f"{name}.detach(), since gradients come from backward, not from PyTorch"
        )
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        raise ValueError(
            f"{name}: got dtype torch.bfloat16, which numpy does not have, allowed are float32 "
            f"and float64: pass {name}.float()"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name}: got a {type(value).__name__} that numpy cannot read ({error}), allowed is "
            "an array of float32 or float64"
        ) from error
