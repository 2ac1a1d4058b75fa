"""How many numbers a checkpoint's files hold, as their own headers say; no tensor is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from .dtypes import DTYPES
from .files import INDEX, Checkpoint, open_checkpoint
from .find import BLOCKS, SCALES
from .load import FLOATS

PLAIN = {*FLOATS, *(name for name in DTYPES if name.startswith("F8"))}
FACTORS = ("_scale_inv", "_scale")  # of another tensor's blocks, rows or whole


@dataclass(frozen=True)
class Stored:
    """Numbers in the files of a checkpoint.

    Attributes
    ----------
    numbers
        How many there are, those of MXFP4 blocks unpacked and factors of blocks left out; None
        if the headers do not say.
    reason
        Why they do not, '' if they do.
    """

    numbers: int | None
    reason: str = ""


def stored_numbers(folder: str | Path) -> Stored | None:
    """Count the numbers in a folder's safetensors files; None if it has no such file.

    Headers alone are read, those of all shards. A broken or missing file, and integers into which
    numbers are packed, are reasons why there is no count.
    """
    folder = Path(folder)
    if not (folder / INDEX).exists() and not any(folder.glob("*.safetensors")):
        return None
    try:
        with open_checkpoint(folder) as checkpoint:
            return _count(checkpoint)
    except CheckpointError as error:
        return Stored(None, str(error))


def _count(checkpoint: Checkpoint) -> Stored:
    numbers = 0
    for name in checkpoint.names:
        shape, dtype = checkpoint.shape(name), checkpoint.dtype(name)
        if _is_factor(checkpoint, name):
            continue
        if dtype == "U8" and _stem(name, BLOCKS) + SCALES in checkpoint:
            numbers += 2 * math.prod(shape)
        elif dtype in PLAIN:
            numbers += math.prod(shape)
        else:
            return Stored(None, f"{dtype} numbers, into which others may be packed")
    return Stored(numbers)


def _is_factor(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a tensor scales another one."""
    of_another = any(_stem(name, ending) in checkpoint for ending in FACTORS)
    return of_another or _stem(name, SCALES) + BLOCKS in checkpoint


def _stem(name: str, ending: str) -> str:
    """The name without its ending; '' if it has another one, which is no tensor's name."""
    return name.removesuffix(ending) if name.endswith(ending) else ""
