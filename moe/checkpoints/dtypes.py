"""Element types of safetensors: their names, their sizes, and the dtypes of arrays read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Stored(NamedTuple):
    """One element type in a file.

    Attributes
    ----------
    bits
        Size of an element.
    stored
        Dtype of the bytes in the file, or None if numpy has no such type.
    read
        Dtype of the array that a reader gets.
    writer
        Name of the type in the safetensors package; empty if it cannot be written.
    """

    bits: int
    stored: str | None
    read: str | None
    writer: str = ""


# https://github.com/huggingface/safetensors, safetensors/src/tensor.rs, enum Dtype
DTYPES = {
    "BOOL": Stored(8, "|b1", "bool", "bool"),
    "U8": Stored(8, "|u1", "uint8", "uint8"),
    "I8": Stored(8, "|i1", "int8", "int8"),
    "F8_E4M3": Stored(8, "|u1", "uint8", "float8_e4m3fn"),
    "F8_E5M2": Stored(8, "|u1", "uint8", "float8_e5m2"),
    "F8_E8M0": Stored(8, "|u1", "uint8", "float8_e8m0fnu"),
    "F8_E4M3FNUZ": Stored(8, "|u1", "uint8", "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": Stored(8, "|u1", "uint8", "float8_e5m2fnuz"),
    "U16": Stored(16, "<u2", "uint16", "uint16"),
    "I16": Stored(16, "<i2", "int16", "int16"),
    "F16": Stored(16, "<f2", "float16", "float16"),
    "BF16": Stored(16, "<u2", "float32", "bfloat16"),
    "U32": Stored(32, "<u4", "uint32", "uint32"),
    "I32": Stored(32, "<i4", "int32", "int32"),
    "F32": Stored(32, "<f4", "float32", "float32"),
    "U64": Stored(64, "<u8", "uint64", "uint64"),
    "I64": Stored(64, "<i8", "int64", "int64"),
    "F64": Stored(64, "<f8", "float64", "float64"),
    "C64": Stored(64, None, None),
    "F4": Stored(4, None, None),
    "F6_E2M3": Stored(6, None, None),
    "F6_E3M2": Stored(6, None, None),
}


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 bits (uint16) as float32, exactly: they are the upper half of its bits."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Return the bits (uint16) of the nearest bfloat16 values; ties are rounded to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    upper = bits >> np.uint32(16)
    rounded = (bits + np.uint32(0x7FFF) + (upper & np.uint32(1))) >> np.uint32(16)
    # Rounding up could turn a NaN into infinity: keep its upper half, with the quiet bit set.
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, upper | np.uint32(0x40), rounded).astype(np.uint16)
