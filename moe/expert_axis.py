"""Arrays of a layer with other experts: some of them taken away, or copied."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import shown
from .layer import MoELayer

AXES = re.compile(r"\d*[A-Z]|\d+")


def expert_axes(name: str) -> tuple[int, ...]:
    """Axes of an array that count experts, by the shape in its name.

    Examples
    --------
    >>> expert_axes("gate_DE"), expert_axes("w_gate_up_ED2F"), expert_axes("residual_EE")
    ((1,), (0,), (0, 1))
    >>> expert_axes("shared_w_down_FD")
    ()
    """
    axes = AXES.findall(name.rpartition("_")[2])
    return tuple(number for number, axis in enumerate(axes) if axis == "E")


def with_experts(layer: MoELayer, expert_M: np.ndarray) -> MoELayer:
    """A copy of the layer with these of its experts, in this order; some may come twice.

    Parameters
    ----------
    layer
        It is copied: experts, the gate's columns, and what balancers steer.
    expert_M
        Numbers of experts, (M,).

    Raises
    ------
    ValueError
        If a number is none of an expert; if the router does not score experts by a gate, has
        experts that compute nothing, groups or slots, or does not fit M experts; or if a buffer's
        name says E where its shape does not.
    """
    check_scored(layer)
    expert_M = np.asarray(expert_M)
    fits = expert_M.ndim == 1 and expert_M.size and expert_M.dtype.kind in "iu"
    if not fits or expert_M.min() < 0 or expert_M.max() >= layer.n_experts:
        raise ValueError(
            f"experts: got {shown(expert_M.tolist())}, allowed are one or more numbers from 0 to "
            f"{layer.n_experts - 1}"
        )
    expert_M = expert_M.astype(np.intp)
    layer.router.check(len(expert_M))
    taken = MoELayer(
        layer.router,
        layer.activation,
        _taken(layer.params, expert_M, layer.n_experts),
        _taken(layer.buffers, expert_M, layer.n_experts),
        layer.capacity,
        layer.check_finite,
    )
    taken.check()
    return taken


def check_scored(layer: MoELayer) -> None:
    """Raise ValueError unless every expert is a column of the gate and nothing more."""
    layer.check()
    router = layer.router
    options: dict[str, Any] = router.options()
    if router.specials:
        why = "has experts that compute nothing"
    elif "gate" not in router.projections or options.get("by_token"):
        why = "looks experts up in a table"
    elif options.get("n_group", 1) > 1:
        why = f"has {options['n_group']} groups of experts, which would no longer be equal"
    elif layer.params["gate_DE"].shape[1] != layer.n_experts or "slots" in options:
        why = "has slots"
    else:
        return
    raise ValueError(
        f"router: got {router.name!r}, which {why}; allowed is one that scores every expert alike"
    )


def _taken(
    arrays: Mapping[str, np.ndarray], expert_M: np.ndarray, n_experts: int
) -> dict[str, np.ndarray]:
    found = {}
    for name, array in arrays.items():
        for axis in expert_axes(name):
            if array.shape[axis : axis + 1] != (n_experts,):
                raise ValueError(
                    f"{name}: got shape {array.shape}, allowed is {n_experts} on axis {axis}, the "
                    "number of experts, as its name says"
                )
            array = np.take(array, expert_M, axis)
        found[name] = np.array(array, order="C")
    return found
