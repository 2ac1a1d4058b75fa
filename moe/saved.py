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

# Keys of the content: more or fewer mean a file of another version.
WORDS = {"format", "router", "options", "activation", "capacity", "params", "buffers"}
# What options and arrays raise if a broken or hostile file gave them; all become CheckpointError.
REFUSALS = (ValueError, TypeError, OverflowError, MemoryError, RecursionError)


def load(path: str | Path) -> MoELayer:
    """Read a layer that `MoELayer.save` wrote.

    Parameters
    ----------
    path
        The file. A router that is not built in has to be registered before, with
        `moe.register_router`.

    Returns
    -------
    MoELayer
        Equal to the layer that was saved: it has the same options and the same bits.

    Raises
    ------
    CheckpointError
        If the file is missing, broken or not that of a layer, or its arrays and options do not fit.
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
    content = parse_object(header.metadata[KEY].encode("utf-8", "replace"), f"{what}: {KEY}")
    if set(content) != WORDS or content["format"] != FORMAT or type(content["format"]) is not int:
        raise CheckpointError(
            f"{what}: got {quoted(content)}, allowed are {', '.join(sorted(WORDS))}"
        )
    for kind in ("params", "buffers"):
        names = content[kind]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(
                f"{what}: {kind}: got {quoted(names)}, allowed is a list of names"
            )
    names = [f"{kind}.{name}" for kind in ("params", "buffers") for name in content[kind]]
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
        router, capacity = router_of(content), capacity_of(content)
        with Checkpoint(target.parent, {}, dict.fromkeys(names, target.name), {}) as file:
            params, buffers = (
                {name: np.array(file.read(f"{kind}.{name}")) for name in content[kind]}
                for kind in ("params", "buffers")
            )
        layer = MoELayer(router, content["activation"], params, buffers, capacity)
        layer.check()
    except CheckpointError:
        raise
    except REFUSALS as error:
        raise CheckpointError(f"{what}: {error}") from error
    return layer
