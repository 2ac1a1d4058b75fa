"""`export_layer` and `save_layer`: a loaded layer, or its gradients, in the published form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..capacity import NO_LIMIT
from ..layer import MoELayer
from .dtypes import from_bfloat16, to_bfloat16
from .files import write_checkpoint
from .layer_spec import LayerSpec, layer_spec
from .load import Origin
from .quantisation import without_quantisation

NATURAL = {"float32": "F32", "float64": "F64"}


def export_layer(
    layer: MoELayer, arrays: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a loaded layer with the names and shapes of its checkpoint.

    Parameters
    ----------
    layer
        A layer that `load_layer` returned; it may have been trained since.
    arrays
        The layer's params (default), or the gradients that `layer.backward` returned. Selection
        biases have no gradient and are exported only with the params.

    Returns
    -------
    dict
        {published name: array of the published shape}, copies, in the dtype of the layer.
        Quantised tensors have the name and shape of their plain form in the reference library.

    Raises
    ------
    ValueError
        If the layer was not loaded, or an array is missing or has another shape.
    """
    origin, spec = _origin(layer)
    source: dict[str, np.ndarray] = dict(layer.params if arrays is None else arrays)
    gradients = arrays is not None and arrays is not layer.params
    if not gradients:
        source |= layer.buffers
    for name, shape in spec.array_shapes().items():
        if name not in source:
            raise ValueError(f"arrays: got no {name}, allowed are the names of layer.params")
        if source[name].shape != shape:
            raise ValueError(
                f"arrays: got {name} of shape {source[name].shape}, allowed is {shape}"
            )
    return {
        origin.prefix + slot.name: slot.get(source[slot.array], gradients)
        for slot in spec.slots()
        if slot.array in source
    }


def save_layer(layer: MoELayer, out_dir: str | Path) -> None:
    """Write a folder that `load_layer` reads back bit for bit, under the same layer number.

    The folder holds the whole config.json and this layer's tensors. Each tensor keeps the element
    type of the file that it came from if that type holds it exactly, and otherwise gets the
    layer's. Quantised tensors are written plain.

    Raises
    ------
    ValueError
        If the layer was not loaded, the folder holds a checkpoint already, or the layer has become
        one that its configuration cannot express: another router, activation or capacity, an
        array that the family does not have or of another shape, NaN or infinity, or a selection
        bias that it cannot store and that is not zero. `layer.save` keeps any layer, in this
        library's format.
    """
    origin, spec = _origin(layer)
    layer.check()
    _check_unchanged(layer, spec)
    stored = {slot.array for slot in spec.slots()}
    for name, values in layer.buffers.items():
        if name not in stored and values.any():
            raise ValueError(f"layer: got a {name} that is not 0; {spec.model_type} stores none")
    # A layer that was cast must come back as it is: its type decides, not the file's.
    cast = (layer.dtype == np.float64) != ("F64" in origin.dtypes.values())
    natural = NATURAL[layer.dtype.name]
    tensors = {}
    for name, array in export_layer(layer).items():
        if not np.isfinite(array).all():
            raise ValueError(f"layer: got NaN or infinity in {name}, allowed are finite numbers")
        dtype = origin.dtypes[name.removeprefix(origin.prefix)]
        if cast and "F64" in (natural, dtype):
            dtype = natural
        tensors[name] = _as_stored(array, dtype) or (array, natural)
    write_checkpoint(out_dir, without_quantisation(origin.config), tensors)


def _check_unchanged(layer: MoELayer, spec: LayerSpec) -> None:
    """Check that the layer still is the one that config.json describes."""
    for name, given, stored in (
        ("router", layer.router, spec.router),
        ("activation", layer.activation, spec.activation),
        ("capacity", layer.capacity, NO_LIMIT),
    ):
        if given != stored:
            raise ValueError(
                f"layer: got the {name} {given!r}, allowed is {stored!r}, which the configuration "
                "says; layer.save keeps others"
            )
    for name in layer.params:
        if name not in spec.array_shapes():
            raise ValueError(
                f"layer: got {name}, which {spec.model_type} does not have; layer.save keeps it"
            )


def _origin(layer: MoELayer) -> tuple[Origin, LayerSpec]:
    if not isinstance(layer.origin, Origin):
        raise ValueError(
            "layer: got one that was not loaded from a checkpoint, allowed is what load_layer "
            "returns: published names belong to a model family"
        )
    origin = layer.origin
    return origin, layer_spec(origin.config, origin.layer, origin.layout)


def _as_stored(array: np.ndarray, dtype: str) -> tuple[np.ndarray, str] | None:
    """Return the array ready to be written as `dtype`, or None if that would lose a bit."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "BF16":
            ready: np.ndarray[Any, Any] = from_bfloat16(to_bfloat16(array))
        else:
            ready = array.astype({"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype])
        back = ready.astype(array.dtype)
    same = back.tobytes() == np.ascontiguousarray(array).tobytes()
    return (ready, dtype) if same else None
