"""Values as JSON, between a stranger's process and the one that judges it.

An array is an object of its kind, its shape and its bytes in base64; tuples become lists. What
comes out of the stranger's process is checked like any file of a stranger.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np

KINDS = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|b1"}
MAX_AXES = 8
MAX_DEPTH = 8


def pack(value: Any, depth: int = 0) -> Any:
    """Return a value as what `json.dumps` takes.

    Raises
    ------
    TypeError
        If it holds anything but arrays, numbers, texts, None, and lists or tuples of those.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)) and depth < MAX_DEPTH:
        return [pack(one, depth + 1) for one in value]
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in KINDS:
        kind = KINDS[value.dtype.kind]
        raw = np.ascontiguousarray(value, kind).tobytes()
        return {
            "kind": kind,
            "shape": list(np.shape(value)),
            "bytes": base64.b64encode(raw).decode("ascii"),
        }
    raise TypeError(f"a {type(value).__name__}")


def unpack(value: Any) -> Any:
    """Return the value that `pack` made this of; lists stay lists.

    Raises
    ------
    ValueError
        If it is nothing that `pack` makes.
    """
    if isinstance(value, list):
        return [unpack(one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"kind", "shape", "bytes"}:
        raise ValueError("got an object that is no array")
    kind, shape, text = value["kind"], value["shape"], value["bytes"]
    if kind not in KINDS.values() or not isinstance(text, str):
        raise ValueError("got an array of an unknown kind")
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise ValueError("got an array without a shape")
    if not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise ValueError("got an array of an impossible shape")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("got an array whose bytes are no base64") from error
    if len(raw) != math.prod(shape) * np.dtype(kind).itemsize:
        raise ValueError("got an array whose shape and bytes differ")
    return np.frombuffer(raw, kind).reshape(shape).copy()
