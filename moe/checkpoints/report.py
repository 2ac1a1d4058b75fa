"""What a published checkpoint's MoE layers are made of, from its configuration alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .files import open_checkpoint
from .layer_spec import layer_spec, layers_in


def layer_rows(folder: str | Path) -> list[dict[str, Any]]:
    """One row per MoE layer: router, experts, widths and parameters.

    Raises
    ------
    CheckpointError
        If the folder is no checkpoint of a known `model_type`, or its configuration is wrong.
    """
    with open_checkpoint(folder) as checkpoint:
        rows = []
        for layer in layers_in(checkpoint.config):
            spec = layer_spec(checkpoint.config, layer)
            rows.append(
                {
                    "layer": layer,
                    "model_type": spec.model_type,
                    "router": spec.router.name,
                    "experts": spec.sizes.n_experts,
                    "k": spec.router.options().get("k", 2),  # SparseMixer always takes two
                    "d_model": spec.sizes.d_model,
                    "d_expert": spec.sizes.d_expert,
                    "d_shared": spec.sizes.d_shared,
                    "params": sum(math.prod(shape) for shape in spec.array_shapes().values()),
                }
            )
    return rows
