"""`moe.load`: a layer from the file that `layer.save` wrote, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .checkpoints.files import Checkpoint
from .checkpoints.header import read_header
from .checkpoints.strict_json import parse_object, quoted
from .errors import CheckpointError
from .layer import MoELayer
from .layer_file import FORMAT, KEY, STORED, capacity_of, router_of

WORDS = {"format", "router", "options", "activation", "capacity", "params", "buffers"}
REFUSALS = (ValueError, TypeError, OverflowError, MemoryError, RecursionError)


def load(path: str | Path) -> MoELayer:
    """Read a layer that `MoELayer.save` wrote.

    Parameters
    ----------
    path
        The file. A router of your own has to be registered before (`moe.register_router`).

    Returns
    -------
    MoELayer
        Equal to the one that was saved: same options, same bits.

    Raises
    ------
    CheckpointError
        If the file is missing, broken, or no layer's, or its arrays and options do not fit.
    """
    try:
        target = Path(path).resolve()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise CheckpointError(f"path: got {quoted(path)}, allowed is the path of a file") from error
    what = quoted(target.name)
    header = read_header(target, what)
    if KEY not in header.metadata:
        raise CheckpointError(
            f"{what}: got a file that layer.save did not write; load_layer reads published ones"
        )
    says = parse_object(header.metadata[KEY].encode("utf-8", "replace"), f"{what}: {KEY}")
    if set(says) != WORDS or says["format"] != FORMAT or type(says["format"]) is not int:
        raise CheckpointError(f"{what}: got {quoted(says)}, allowed are {', '.join(sorted(WORDS))}")
    for kind in ("params", "buffers"):
        names = says[kind]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(
                f"{what}: {kind}: got {quoted(names)}, allowed is a list of names"
            )
    names = [f"{kind}.{name}" for kind in ("params", "buffers") for name in says[kind]]
    if sorted(names) != sorted(header.tensors):
        raise CheckpointError(
            f"{what}: got other tensors than its list of params and buffers names"
        )
    for name, info in header.tensors.items():
        if info.dtype not in STORED.values():
            raise CheckpointError(
                f"{what}: tensor {quoted(name)}: got dtype {info.dtype}, allowed are F32 and F64"
            )
    try:
        router, capacity = router_of(says), capacity_of(says)
        with Checkpoint(target.parent, {}, dict.fromkeys(names, target.name), {}) as file:
            params, buffers = (
                {name: np.array(file.read(f"{kind}.{name}")) for name in says[kind]}
                for kind in ("params", "buffers")
            )
        layer = MoELayer(router, says["activation"], params, buffers, capacity)
        layer.check()
    except CheckpointError:
        raise
    except REFUSALS as error:
        raise CheckpointError(f"{what}: {error}") from error
    return layer
