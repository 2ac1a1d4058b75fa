"""Tables with one row per layer and token: which rows belong together, and what layers repeat."""

from __future__ import annotations

import numpy as np

from ..errors import CheckpointError
from .trace import check_layers


def layer_rows(layer_R: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Layers of a table, ascending, and the row of each of their tokens, (L, N).

    Rows may come by layer or by token; within a layer they are in the order of the tokens.

    Raises
    ------
    CheckpointError
        If these cannot be a trace's layers, or they have different numbers of rows.
    """
    layers, n_rows = np.unique(layer_R, return_counts=True)
    check_layers(layers.tolist())
    if len(set(n_rows.tolist())) != 1:
        raise CheckpointError("layer: got different numbers of rows, allowed is one per token each")
    return layers.tolist(), np.argsort(layer_R, kind="stable").reshape(len(layers), -1)


def same_in_layers(name: str, value_LN: np.ndarray) -> np.ndarray:
    """Values of the first layer, (N,), which the other layers have to repeat.

    Raises
    ------
    CheckpointError
        If they do not.
    """
    if (value_LN != value_LN[0]).any():
        raise CheckpointError(f"{name}: got different ones by layer, allowed is the same")
    return np.asarray(value_LN[0])
