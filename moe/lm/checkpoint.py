"""`load_model` and `save_model`: whole models in published layouts, which others read, too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.files import CONFIG, INDEX, SINGLE, Checkpoint, open_checkpoint, write_checkpoint
from ..checkpoints.find import find_layer
from ..checkpoints.layer_spec import layer_spec
from ..checkpoints.layouts import USUAL_NAMES, Slot, linear_slots
from ..checkpoints.load import FLOATS, Origin, check_finite, check_stored, read_layer
from ..checkpoints.save import NATURAL, export_layer
from ..checkpoints.strict_json import quoted
from ..dense import DenseFFN
from ..errors import CheckpointError
from ..layer import MoELayer
from .attention import Arrays, Attention
from .block import Block
from .config import LMConfig
from .expressible import published_config
from .latent import LatentAttention
from .layouts import read_lm_config
from .model import LanguageModel
from .tensors import block_shapes, block_slots, prefix_of, shapes_around, slots_around


def load_model(folder: str | Path) -> LanguageModel:
    """Load a whole model of a published checkpoint.

    The layouts are those of the reference library: `mixtral`, `olmoe`, `qwen3_moe`, `dots1`,
    `deepseek_v3`, and the dense ones `qwen3` and `llama`. float16 and bfloat16 become float32; if
    one tensor is float64, the whole model is.

    Parameters
    ----------
    folder
        Folder with config.json and *.safetensors, one file or shards with their index.

    Returns
    -------
    LanguageModel
        Without a balancer: `balance_by` adds one.

    Raises
    ------
    CheckpointError
        If the `model_type` has no layout here; a value of config.json is not supported, such as
        stretched rotary positions, sliding windows or biases of attention; a tensor is missing,
        unknown, of another shape, or holds NaN or infinity; or a file is broken.
    """
    with open_checkpoint(folder) as checkpoint:
        return read_model(checkpoint)


def read_model(checkpoint: Checkpoint) -> LanguageModel:
    """Do what `load_model` does for an open checkpoint, for example an unpacked upload."""
    config = read_lm_config(checkpoint.config)
    dtype = _check_headers(checkpoint, config)
    params = _filled(checkpoint, slots_around(config), shapes_around(config), "", dtype)
    blocks = tuple(_block(checkpoint, config, n, dtype) for n in range(config.n_layers))
    return LanguageModel(config, blocks, params)


def expected(checkpoint: Checkpoint, config: LMConfig) -> Iterator[tuple[str, Slot]]:
    """Every tensor that a model's file has, with the prefix of its name."""
    for slot in slots_around(config):
        yield "", slot
    for layer in range(config.n_layers):
        for slot in block_slots(config, not config.is_moe(layer)):
            yield prefix_of(layer), slot
        if config.is_moe(layer):
            spec, prefix = find_layer(checkpoint, layer)
            for slot in spec.slots():
                yield prefix, slot


def _check_headers(checkpoint: Checkpoint, config: LMConfig) -> np.dtype[Any]:
    """Check that the file holds just the model's tensors; return the type to compute in.

    Nothing is allocated before: config.json may claim any size.
    """
    dtypes = {}
    for prefix, slot in expected(checkpoint, config):
        name = prefix + slot.name
        dtypes[name] = check_stored(checkpoint, name, slot.shape, FLOATS)
    for name in checkpoint.names:
        # The reference library writes shared experts of width 0.
        if name not in dtypes and 0 not in checkpoint.shape(name):
            raise CheckpointError(
                f"tensor {quoted(name)}: got a tensor that config.json does not account for"
            )
    return np.dtype(np.float64 if "F64" in dtypes.values() else np.float32)


def _filled(
    checkpoint: Checkpoint,
    slots: Iterator[Slot],
    shapes: Mapping[str, tuple[int, ...]],
    prefix: str,
    dtype: np.dtype[Any],
) -> Arrays:
    """Arrays of these shapes with what the file holds for them."""
    arrays = {name: np.empty(shape, dtype) for name, shape in shapes.items()}
    for slot in slots:
        slot.put(arrays[slot.array], checkpoint.read(prefix + slot.name))
        check_finite(prefix + slot.name, slot.view(arrays[slot.array]))
    return arrays


def _block(checkpoint: Checkpoint, config: LMConfig, layer: int, dtype: np.dtype[Any]) -> Block:
    dense = not config.is_moe(layer)
    shapes = block_shapes(config, dense)
    arrays = _filled(checkpoint, block_slots(config, dense), shapes, prefix_of(layer), dtype)
    parts: dict[str, Arrays] = {"attention": {}, "ffn": {}, "": {}}
    for name, array in arrays.items():
        part, _, own = name.rpartition(".")
        parts[part][own] = array
    ffn: MoELayer | DenseFFN
    if dense:
        ffn = DenseFFN(config.activation, parts["ffn"], check_finite=False)
    else:
        ffn = read_layer(checkpoint, layer)
        ffn = ffn if ffn.dtype == dtype else ffn.astype(dtype.name)
        ffn.check_finite = False
    kind: Any = LatentAttention if config.latent else Attention
    return Block(parts[""], kind(config, parts["attention"]), ffn)


# Saving -----------------------------------------------------------------------------------------


def published(
    model: LanguageModel, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
) -> Arrays:
    """A model's arrays under their published names and in their published shapes, copies.

    Parameters
    ----------
    model
        Any that a layout can express.
    config
        From `published_config`.
    arrays
        The model's arrays by name (default), or the gradients of `LanguageModel.gradients`.
        Selection biases have no gradient and are returned only with the model's own arrays.

    Raises
    ------
    ValueError
        If an array is missing or has another shape than the model's configuration says.
    """
    own = arrays is None
    source = dict(model.arrays() if arrays is None else arrays)
    lm_config = model.config
    shapes = shapes_around(lm_config)
    found = _tensors(slots_around(lm_config), "", shapes, source, "")
    for number, block in enumerate(model.blocks):
        here, dense = f"blocks.{number}.", isinstance(block.ffn, DenseFFN)
        slots, shapes = block_slots(lm_config, dense), block_shapes(lm_config, dense)
        found |= _tensors(slots, prefix_of(number), shapes, source, here)
        if isinstance(block.ffn, MoELayer):
            layer = replace(block.ffn, origin=Origin(config, number, prefix_of(number), {}))
            start = f"{here}ffn."
            parts = {n.removeprefix(start): a for n, a in source.items() if n.startswith(start)}
            found |= export_layer(layer, None if own else parts)
    return found


def _tensors(
    slots: Iterator[Slot],
    prefix: str,
    shapes: Mapping[str, tuple[int, ...]],
    source: Mapping[str, np.ndarray],
    here: str,
) -> Arrays:
    """Tensors of a part, out of arrays whose names begin with `here`."""
    for name, shape in shapes.items():
        got = source[here + name].shape if here + name in source else None
        if got != shape:
            raise ValueError(f"{here}{name}: got the shape {got}, allowed is {shape}")
    return {prefix + slot.name: slot.get(source[here + slot.array]) for slot in slots}


def save_model(model: LanguageModel, folder: str | Path, name: str | None = None) -> None:
    """Write config.json and model.safetensors, which the reference library and `load_model` read.

    The layout follows from what the model is. With experts: `mixtral` without a norm of queries
    and keys, `olmoe` with one over the width, `qwen3_moe` with one for each head and softmax
    scores, `dots1` with that norm, sigmoid scores and a selection bias (router deepseek_v3), and
    `deepseek_v3` with latent attention. Without experts: `qwen3`, `llama`, or `deepseek_v3`. What a
    balancer remembers beside the selection bias is not kept.

    Parameters
    ----------
    model
        The model.
    folder
        A new folder, or one without a checkpoint in it. It gets both files, or none: config.json
        comes last, and a folder without it is no checkpoint.
    name
        One of the layouts above, which then has to fit.

    Raises
    ------
    ValueError
        If no layout can express the model, such as another activation, router or capacity, or a
        selection bias beside softmax scores; an array holds NaN or infinity; or the folder holds a
        checkpoint.
    """
    config = published_config(model, name)
    dtype = NATURAL[model.dtype.name]
    tensors = published(model, config) | _empty_shared(model, config)
    for tensor, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{tensor}: got NaN or infinity, allowed are finite numbers only")
    with _part_of(folder) as part:
        write_checkpoint(part, config, {name: (array, dtype) for name, array in tensors.items()})


@contextmanager
def _part_of(folder: str | Path) -> Iterator[Path]:
    """Yield a folder to write in, whose files are in their place only when all are complete."""
    try:
        target = Path(folder).absolute()
    except TypeError as error:
        raise ValueError(f"folder: got {folder!r}, allowed is the path of a folder") from error
    exists = target.exists()
    if exists and not target.is_dir():
        raise ValueError(f"folder: got {str(target)!r}, which is a file; allowed is a folder")
    if any((target / file).exists() for file in (CONFIG, SINGLE, INDEX)):
        raise ValueError(
            f"folder: got {str(target)!r}, which holds a checkpoint; allowed is a new one"
        )
    mark = f".saving-{os.getpid()}"
    part = target / mark if exists else target.with_name(f".{target.name}{mark}")
    try:
        yield part
        if exists:  # config.json last: without it a folder is no checkpoint
            for path in sorted(part.iterdir(), key=lambda path: path.name == CONFIG):
                os.replace(path, target / path.name)
        else:
            os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _empty_shared(model: LanguageModel, config: Mapping[str, Any]) -> Arrays:
    """Shared experts of width 0, where the reference library expects any and there are none."""
    found = {}
    for number, block in enumerate(model.blocks):
        if not isinstance(block.ffn, MoELayer):
            continue
        spec = layer_spec(config, number)
        if spec.family.shared and not spec.sizes.d_shared:
            prefix = f"{prefix_of(number)}{spec.family.block}.{spec.family.shared}."
            for slot in linear_slots(USUAL_NAMES, prefix, 0, spec.sizes.d_model):
                found[slot.name] = np.zeros(slot.shape, model.dtype)
    return found
