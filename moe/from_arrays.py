"""A user's weights as the arrays of a layer: copied, and transposed from their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import expert_shapes, shared_shapes
from .checkpoints.layouts import ORDERS, Sizes, Slot, gate_slots, latent_slots, shared_slots
from .errors import check_choice
from .experts import n_matrices
from .latent_experts import DOWN, UP
from .routers import Router

Arrays = dict[str, np.ndarray]

LAYER_ORDER = "moe"
READ = ("float16", "float32", "float64")


def arrays_from(
    arrays: Mapping[str, Any], order: str, router: Router, activation: str, dtype: str | None
) -> tuple[Arrays, Arrays]:
    """Return copies as params and buffers; see `MoELayer.from_arrays`.

    Raises
    ------
    ValueError
        If an array is missing or unknown, cannot be read, or does not fit the sizes of the others.
    """
    check_choice("order", order, (LAYER_ORDER, *ORDERS))
    if not isinstance(arrays, Mapping):
        raise ValueError(f"arrays: got a {type(arrays).__name__}, allowed are arrays by name")
    given = {name: _read(str(name), value) for name, value in arrays.items()}
    if dtype is None:
        wide = any(array.dtype == np.float64 for array in given.values())
        dtype = "float64" if wide else "float32"
    params = given if order == LAYER_ORDER else _transposed(given, order, activation, dtype)
    params = {name: np.array(array, dtype, order="C") for name, array in params.items()}
    buffers = {name: params.pop(name) for name in router.buffers if name in params}
    if "w_down_EFD" in params and params["w_down_EFD"].ndim == 3:
        n_experts = len(params["w_down_EFD"]) + len(router.specials)
        for name in router.buffers:
            buffers.setdefault(name, np.zeros(n_experts, dtype))
    return params, buffers


def _transposed(given: Arrays, order: str, activation: str, dtype: str) -> Arrays:
    """The arrays under the layer's names; arrays that the order does not name keep theirs."""
    kind, gated = ORDERS[order], n_matrices(activation) == 3
    if kind.gated_only and not gated:
        raise ValueError(f"order: got {order!r} with {activation}, allowed are 'moe' and 'torch'")
    down = given.get("down_proj")
    if down is None or down.ndim != 3:
        got = "no down_proj" if down is None else f"down_proj of shape {down.shape}"
        raise ValueError(f"arrays: got {got}, allowed in order {order!r} are {kind.title}")
    size = dict(zip(kind.down_axes, down.shape, strict=True))
    d, f, e = size["D"], size["F"], size["E"]
    slots = list(kind.slots(Sizes(d, f, e), gated))
    shapes = expert_shapes(activation, d, f, e)
    if latent := {"latent_down_proj", "latent_up_proj"} & given.keys():
        if len(latent) == 1:
            raise ValueError(
                f"arrays: got {latent.pop()} alone, allowed are latent_down_proj and latent_up_proj"
            )
        d_latent, d = d, np.atleast_1d(given["latent_down_proj"]).shape[-1]
        slots += latent_slots(d, d_latent)
        shapes |= {DOWN: (d, d_latent), UP: (d_latent, d)}
    if "gate" in given:
        width = len(np.atleast_1d(given["gate"]))
        slots += gate_slots(d, width)
        shapes |= {"gate_DE": (d, width), "gate_bias_E": (width,), "select_bias_E": (width,)}
    if "shared_down_proj" in given:
        width = np.atleast_1d(given["shared_down_proj"]).shape[-1]
        slots += shared_slots(d, width, gated)
        shapes |= shared_shapes(activation, d, width)
    arrays = {
        name: _filled(name, [slot for slot in slots if slot.array == name], given, shape, dtype)
        for name, shape in shapes.items()
        if any(slot.name in given for slot in slots if slot.array == name)
    }
    known = {slot.name for slot in slots}
    for name, array in given.items():
        if name in arrays:
            raise ValueError(f"arrays: got {name!r} in two orders, allowed is one")
        if name not in known:
            arrays[name] = array
    return arrays


def _filled(
    name: str, slots: list[Slot], given: Arrays, shape: tuple[int, ...], dtype: str
) -> np.ndarray:
    """One of the layer's arrays, assembled from all of its parts."""
    array = np.empty(shape, dtype)
    for slot in slots:
        if slot.name not in given:
            others = " and ".join(other.name for other in slots if other is not slot)
            raise ValueError(f"arrays: got {others} and no {slot.name}, allowed are both: {name}")
        if given[slot.name].shape != slot.shape:
            raise ValueError(
                f"{slot.name}: got shape {given[slot.name].shape}, allowed is {slot.shape}, as "
                "down_proj says"
            )
        slot.put(array, given[slot.name])
    return array


def _read(name: str, value: Any) -> np.ndarray:
    """Convert an array, a tensor, or a list with one of them per expert, to a numpy array."""
    try:
        if isinstance(value, (list, tuple)):
            array = np.stack([_plain(item) for item in value])
        else:
            array = _plain(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name}: got a {type(value).__name__} that numpy cannot read ({error}), allowed are "
            "arrays and tensors, or a list of them, one per expert and all of one shape"
        ) from error
    if array.dtype.name not in READ:
        raise ValueError(
            f"{name}: got dtype {array.dtype}, allowed are {', '.join(READ)}, bfloat16"
        )
    return array


def _plain(value: Any) -> np.ndarray:
    """Convert to numpy, also a tensor that needs a gradient, is on a GPU, or is bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value)
