"""numpy's .npz and .npy files from strangers, read without pickle and without evaluation.

Memory is allocated only after the sizes that a header claims are found to fit the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ..errors import CheckpointError
from .archives import CHUNK, Limits, open_source, open_zip, pieces, plain_errors
from .header import MAX_AXES, MAX_BYTES
from .strict_json import quoted

NPZ_LIMITS = Limits(unpacked_bytes=128 * 2**20, ratio=100)
MAX_EMPTY = 1 << 20  # a billion empty rows take no bytes in a file, but fill the memory as lists
MAX_HEADER = 4096

# The header as numpy writes it, up to spaces. numpy itself would evaluate it as a Python literal.
_HEADER = re.compile(
    rb"\{'descr': *'([<>|=]?)([A-Za-z])(\d{0,5})', *'fortran_order': *(True|False), *"
    rb"'shape': *\(([0-9, ]*)\),? *\}[ \n]*"
)
_VERSIONS = (b"\x01\x00", b"\x02\x00", b"\x03\x00")
_NUMBERS = {"b1", "f2", "f4", "f8", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))}


def read_npz(source: bytes | str | Path, limits: Limits = NPZ_LIMITS) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz file: numbers, truth values and text.

    Parameters
    ----------
    source
        Path or content of a file that `numpy.savez` or `numpy.savez_compressed` wrote.
    limits
        Sizes beyond which the file is refused; 128 MB unpacked by default.

    Raises
    ------
    CheckpointError
        If the file is broken or too large, or holds pickled objects or anything but arrays.
    """
    what = "npz file"
    with (
        plain_errors(what),
        open_source(source, limits, what) as (file, size),
        open_zip(file, size, limits, what) as (archive, entries),
    ):
        arrays = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename:
                raise CheckpointError(f"{what}: got {quoted(name)}, allowed are .npy arrays")
            where = f"{what}: array {quoted(name)}"
            arrays[name] = _read_array(pieces(archive, entry, where), entry.file_size, where)
        return arrays


def read_npy(source: bytes | str | Path, limits: Limits = NPZ_LIMITS) -> np.ndarray:
    """Read the array of a .npy file that `numpy.save` wrote: numbers, truth values or text.

    Raises
    ------
    CheckpointError
        If the file is broken, larger than `limits.packed_bytes`, or holds something else.
    """
    what = "npy file"
    with plain_errors(what), open_source(source, limits, what) as (file, size):
        return _read_array(iter(partial(file.read, CHUNK), b""), size, what)


def _read_array(content: Iterator[bytes], size: int, where: str) -> np.ndarray:
    piece = next(content, b"")
    if len(piece) < 12 or piece[:6] != b"\x93NUMPY" or piece[6:8] not in _VERSIONS:
        raise CheckpointError(f"{where}: got something that is not in numpy's format")
    begin = 10 if piece[6] == 1 else 12
    length = int.from_bytes(piece[8:begin], "little")
    if length > MAX_HEADER:
        raise CheckpointError(f"{where}: got a header of {length} bytes, allowed are {MAX_HEADER}")
    dtype, in_c_order, shape = _parse(piece[begin : begin + length], where)
    n_bytes = math.prod(shape) * dtype.itemsize
    if begin + length + n_bytes != size:
        raise CheckpointError(
            f"{where}: got {size} bytes, which do not fit {dtype} of {quoted(shape)}"
        )
    body = np.empty(n_bytes, np.uint8)
    filled = 0
    for part in chain([piece[begin + length :]], content):
        body[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    array = body.view(dtype)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    _check_values(array, where)
    return array.reshape(shape, order="C" if in_c_order else "F")


def _parse(header: bytes, where: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    match = _HEADER.fullmatch(header)
    if match is None:
        raise CheckpointError(f"{where}: got a header that numpy.savez does not write")
    order, kind, size, fortran, sizes = (part.decode("ascii") for part in match.groups())
    if kind == "O":
        raise CheckpointError(f"{where}: got pickled objects, allowed are numbers and text")
    if kind + size not in _NUMBERS and not (kind in "US" and size.strip("0")):
        raise CheckpointError(
            f"{where}: got dtype {quoted(order + kind + size)}, allowed are numbers and text"
        )
    try:
        shape = tuple(int(part) for part in sizes.removesuffix(",").split(",") if sizes)
    except ValueError as error:
        raise CheckpointError(f"{where}: got the shape {quoted(sizes)}") from error
    dtype = np.dtype(order + kind + size)
    if len(shape) > MAX_AXES or math.prod(n or 1 for n in shape) * dtype.itemsize > MAX_BYTES:
        raise CheckpointError(f"{where}: got shape {quoted(shape)}, more than any file can hold")
    if 0 in shape and math.prod(n or 1 for n in shape) > MAX_EMPTY:
        raise CheckpointError(f"{where}: got shape {quoted(shape)} of an array without numbers")
    return dtype, fortran == "False", shape


def _check_values(array: np.ndarray, where: str) -> None:
    """Refuse bytes that are no value of their dtype, which would only raise errors later."""
    if array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise CheckpointError(f"{where}: got truth values other than 0 and 1")
    if array.dtype.kind == "U":
        codes = array.view(np.uint32)
        if codes.max(initial=0) > 0x10FFFF or ((codes >= 0xD800) & (codes < 0xE000)).any():
            raise CheckpointError(f"{where}: got text that is no Unicode")
