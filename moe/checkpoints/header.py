"""The header of a safetensors file, checked completely before any tensor is read by it."""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import CheckpointError, check_int
from .dtypes import DTYPES
from .strict_json import parse_object, quoted

MAX_HEADER = 16 * 2**20  # the format allows 100 MB; published ones stay below 2 MB
MAX_NAME = 512
MAX_AXES = 16
MAX_BYTES = 2**62  # of one tensor, its empty axes left out: numpy counts bytes in 64 bits


class TensorInfo(NamedTuple):
    """Place of a tensor; `start` is counted from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    n_bytes: int

    def entry(self, place: int) -> TensorInfo:
        """Place of one entry of the first axis."""
        check_int("place", place, 0, self.shape[0] - 1 if self.shape else -1)
        n_bytes = self.n_bytes // self.shape[0]
        return TensorInfo(self.dtype, self.shape[1:], self.start + place * n_bytes, n_bytes)


class Header(NamedTuple):
    """Content of the header of a file: the tensors, and the texts of its metadata."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


def regular_size(path: Path, what: str) -> int:
    """Size in bytes of a plain file; pipes and devices, which could block, are refused.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is something else.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{what}: got no such file, or it cannot be reached") from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{what}: got something that is not a plain file")
    return status.st_size


def read_limited(path: Path, what: str, limit: int) -> bytes:
    """Read a plain file whose size is checked before reading.

    Raises
    ------
    CheckpointError
        If there is no such file, it is larger than `limit` bytes, or it cannot be read.
    """
    size = regular_size(path, what)
    try:
        if size <= limit:
            with path.open("rb") as file:
                raw = file.read(limit + 1)  # the file may have grown since
            size = len(raw)
    except OSError as error:
        raise CheckpointError(f"{what}: cannot be read ({error.strerror})") from error
    if size > limit:
        raise CheckpointError(f"{what}: got {size} bytes, allowed are {limit}")
    return raw


def read_header(path: Path, what: str) -> Header:
    """Read and check the header of a safetensors file.

    Tensors must fill the rest of the file without holes and overlaps, as the format demands.

    Raises
    ------
    CheckpointError
        Naming the file (`what`), the tensor and what does not fit.
    """
    size = regular_size(path, what)
    if size < 10:
        raise CheckpointError(f"{what}: got {size} bytes, too few for a safetensors file")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, MAX_HEADER):
                raise CheckpointError(
                    f"{what}: got a header of {length} bytes, allowed are 2..{MAX_HEADER} "
                    f"and no more than the file's {size - 8}"
                )
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(f"{what}: cannot be read ({error.strerror})") from error
    if len(raw) != length or raw[:1] != b"{":
        raise CheckpointError(f"{what}: got a header that is cut short or does not start with {{")
    entries = parse_object(raw, f"{what}: header")
    metadata = _metadata(entries.pop("__metadata__", {}), what)
    tensors = {name: _tensor(name, entry, 8 + length, what) for name, entry in entries.items()}
    _check_no_gaps(tensors, 8 + length, size, what)
    return Header(tensors, metadata)


def _metadata(entry: object, what: str) -> dict[str, str]:
    if not isinstance(entry, dict) or not all(isinstance(text, str) for text in entry.values()):
        raise CheckpointError(f"{what}: got a __metadata__ that is not an object of texts")
    return entry


def check_name(name: object, what: str) -> str:
    """Return the name of a tensor, which has to be printable and not empty.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise CheckpointError(
            f"{what}: got the tensor name {quoted(name)}, "
            f"allowed are 1..{MAX_NAME} printable characters"
        )
    return name


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tensor(name: str, entry: object, data_start: int, what: str) -> TensorInfo:
    where = f"{what}: tensor {quoted(check_name(name, what))}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where}: got an entry without just dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(
            f"{where}: got dtype {quoted(dtype)}, allowed are {', '.join(DTYPES)}"
        )
    if not isinstance(shape, list) or len(shape) > MAX_AXES or not all(map(_whole, shape)):
        raise CheckpointError(
            f"{where}: got shape {quoted(shape)}, allowed are up to {MAX_AXES} sizes >= 0"
        )
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise CheckpointError(f"{where}: got data_offsets {quoted(offsets)}, allowed are two >= 0")
    bits = DTYPES[dtype].bits
    if math.prod(n or 1 for n in shape) * bits > 8 * MAX_BYTES:
        raise CheckpointError(f"{where}: got shape {quoted(shape)}, more than any file can hold")
    start, end = offsets
    if (end - start) * 8 != math.prod(shape) * bits:
        raise CheckpointError(
            f"{where}: got data_offsets {offsets}, which do not fit {dtype} of shape {tuple(shape)}"
        )
    return TensorInfo(dtype, tuple(shape), data_start + start, end - start)


def _check_no_gaps(tensors: Mapping[str, TensorInfo], start: int, size: int, what: str) -> None:
    expected = start
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].n_bytes)):
        if info.start != expected:
            kind = "overlaps another one" if info.start < expected else "leaves a hole before it"
            raise CheckpointError(f"{what}: tensor {quoted(name)} {kind}")
        expected += info.n_bytes
    if expected != size:
        raise CheckpointError(
            f"{what}: got a file of {size} bytes, its header says {expected}; is it cut short?"
        )
