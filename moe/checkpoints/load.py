"""`load_layer`: one layer of a published checkpoint as a `MoELayer`; nothing else is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..layer import MoELayer
from .dequantise import MX_BLOCK, from_fp8_blocks, from_mxfp4
from .family import PUBLISHED
from .files import Checkpoint, open_checkpoint, read_config
from .find import BLOCKS, SCALES, find_layer
from .guard import SCALE, check_accounted
from .layer_spec import LayerSpec, layer_spec, layers_in
from .layouts import Slot
from .quantisation import explained, fp8_block
from .strict_json import quoted

FLOATS = ("F16", "BF16", "F32", "F64")
FP8 = "F8_E4M3"


@dataclass(frozen=True)
class Origin:
    """Origin of a layer, which exporting and saving need.

    Attributes
    ----------
    config
        Content of config.json.
    layer
        Number of the layer in the model.
    prefix
        Text in front of each tensor's name, up to "layers.N.".
    dtypes
        Element type of each tensor in the file; for quantised ones, a type that holds their values.
    layout
        Name of the layout that the file has, of those in `Family.layouts`.
    """

    config: Mapping[str, Any]
    layer: int
    prefix: str
    dtypes: Mapping[str, str]
    layout: str = PUBLISHED


def load_layer(folder: str | Path, layer: int, prefix: str | None = None) -> MoELayer:
    """Load one MoE layer of a published checkpoint.

    Every family is read in its published layout and in the one that transformers 5 has in memory
    and writes with `save_original_format=False`; the names of the tensors tell which it is.
    float16 and bfloat16 become float32, float64 stays float64, and FP8 blocks and MXFP4 become the
    float32 values that they represent. Tensors of other layers are not read.

    Parameters
    ----------
    folder
        Folder with config.json and *.safetensors, one file or shards with their index.
    layer
        Number of the layer in the model, from 0.
    prefix
        What stands before `layers.N.` in the tensors' names, for example
        `base_model.model.model.`; None tries the usual ones.

    Raises
    ------
    CheckpointError
        If the `model_type` is not in the table, the layer is dense or out of range, a tensor is
        missing (the message names the nearest one), has another shape or holds NaN or infinity, or
        a file is broken.
    """
    with open_checkpoint(folder) as checkpoint:
        return read_layer(checkpoint, layer, prefix)


def moe_layers(folder: str | Path) -> list[int]:
    """Numbers of a checkpoint's MoE layers, for `load_layer`; only config.json is read.

    Raises
    ------
    CheckpointError
        If the folder has no readable config.json, or its `model_type` is not in the table.
    """
    return list(layers_in(read_config(folder)))


def read_layer(checkpoint: Checkpoint, layer: int, prefix: str | None = None) -> MoELayer:
    """Do what `load_layer` does for an open checkpoint, for example an unpacked upload."""
    block = fp8_block(checkpoint.config)
    spec = layer_spec(checkpoint.config, layer)  # whatever is wrong with it is no quantisation's
    try:
        spec, prefix = find_layer(checkpoint, layer, prefix)
        slots, dtypes = _check_tensors(checkpoint, spec, prefix, block)
    except CheckpointError as error:
        raise explained(checkpoint.config, error) from error
    dtype = np.float64 if "F64" in dtypes.values() else np.float32
    # Nothing is allocated before the headers have shown that the file holds as many numbers.
    params = {name: np.empty(shape, dtype) for name, shape in spec.array_shapes().items()}
    buffers = {name: np.zeros(spec.sizes.pool, dtype) for name in spec.router.buffers}
    arrays = params | buffers
    for slot in slots:
        _fill(checkpoint, prefix + slot.name, slot, arrays[slot.array], block)
        slot.scale(arrays[slot.array])
        check_finite(prefix + slot.name, slot.view(arrays[slot.array]))
    return MoELayer(
        spec.router,
        spec.activation,
        params,
        buffers,
        origin=Origin(checkpoint.config, int(layer), prefix, dtypes, spec.layout),
    )


def _check_tensors(
    checkpoint: Checkpoint, spec: LayerSpec, prefix: str, block: tuple[int, int]
) -> tuple[list[Slot], dict[str, str]]:
    """Check the headers of all of a layer's tensors; return their slots and types."""
    slots, dtypes = [], {}
    for slot in spec.slots():
        dtypes[slot.name] = _check_tensor(checkpoint, prefix + slot.name, slot.shape, block)
        slots.append(slot)
    check_accounted(checkpoint, prefix, spec, dtypes)
    return slots, dtypes


def _check_tensor(
    checkpoint: Checkpoint, name: str, shape: tuple[int, ...], block: tuple[int, int]
) -> str:
    """Check that the tensor is stored in some form; return the type that holds its values."""
    if name not in checkpoint and name + BLOCKS in checkpoint and len(shape) == 3:
        n_experts, width_in, width_out = shape
        packed = (n_experts, width_out, width_in // MX_BLOCK)
        if width_in % MX_BLOCK:
            raise CheckpointError(
                f"tensor {quoted(name)}: got MXFP4 of width {width_in}, "
                f"allowed are multiples of {MX_BLOCK}"
            )
        check_stored(checkpoint, name + BLOCKS, (*packed, 16), ("U8",))
        check_stored(checkpoint, name + SCALES, packed, ("U8",))
        return "BF16"
    dtype = check_stored(checkpoint, name, shape, (*FLOATS, FP8) if len(shape) > 1 else FLOATS)
    if dtype != FP8:
        return dtype
    grid = (-(-shape[-2] // block[0]), -(-shape[-1] // block[1]))
    check_stored(checkpoint, name + SCALE, (*shape[:-2], *grid), FLOATS)
    return "F32"


def check_stored(
    checkpoint: Checkpoint, name: str, shape: tuple[int, ...], allowed: tuple[str, ...]
) -> str:
    """Return a tensor's type, of those that are allowed; its header alone is read.

    Raises
    ------
    CheckpointError
        If it is missing, or has another shape or type.
    """
    stored, dtype = checkpoint.shape(name), checkpoint.dtype(name)
    if stored != shape:
        raise CheckpointError(
            f"tensor {quoted(name)}: got shape {stored}, config.json says {shape}"
        )
    if dtype not in allowed:
        raise CheckpointError(
            f"tensor {quoted(name)}: got dtype {dtype}, allowed are {', '.join(allowed)}"
        )
    return dtype


def check_finite(name: str, values: np.ndarray) -> None:
    """Refuse NaN and infinity: a damaged gate or expert would show in some tokens only, or none."""
    for part in values if values.ndim > 2 else (values,):  # by expert, to need little memory
        if not np.isfinite(part).all():
            raise CheckpointError(
                f"tensor {quoted(name)}: got NaN or infinity, allowed are finite numbers only"
            )


def _fill(
    checkpoint: Checkpoint, name: str, slot: Slot, array: np.ndarray, block: tuple[int, int]
) -> None:
    """Write a tensor into its part of an array; of one with all experts, an expert at a time."""
    part = slot.view(array)
    if name not in checkpoint:
        blocks, scales = checkpoint.read(name + BLOCKS), checkpoint.read(name + SCALES)
        for expert, packed, exponents in zip(part, blocks, scales, strict=True):
            expert[...] = from_mxfp4(packed, exponents).T.reshape(expert.shape)
    elif len(slot.shape) == 3:
        for place, expert in enumerate(part):
            expert[...] = _read(checkpoint, name, block, place).reshape(expert.shape)
    else:
        part[...] = _read(checkpoint, name, block).reshape(part.shape)


def _read(
    checkpoint: Checkpoint, name: str, block: tuple[int, int], place: int | None = None
) -> np.ndarray:
    """The values of a tensor, or of one entry of its first axis."""
    values = checkpoint.read(name, place)
    if checkpoint.dtype(name) != FP8:
        return values
    return from_fp8_blocks(values, checkpoint.read(name + SCALE, place), block)
