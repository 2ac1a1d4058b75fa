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
            plan = layer_spec(checkpoint.config, layer)
            rows.append(
                {
                    "layer": layer,
                    "model_type": plan.model_type,
                    "router": plan.router.name,
                    "experts": plan.sizes.n_experts,
                    "k": plan.router.options().get("k", 2),  # SparseMixer always takes two
                    "d_model": plan.sizes.d_model,
                    "d_expert": plan.sizes.d_expert,
                    "d_shared": plan.sizes.d_shared,
                    "params": sum(math.prod(shape) for shape in plan.array_shapes().values()),
                }
            )
    return rows
