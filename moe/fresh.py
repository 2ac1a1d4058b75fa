"""A layer's parameters before training: drawn from one generator, in one order."""

from __future__ import annotations

import numpy as np

from .experts import init_experts
from .routers import Router
from .shared import shared_name
from .specials import init_specials


def fresh_params(
    router: Router,
    d_model: int,
    d_expert: int,
    n_experts: int,
    n_shared: int,
    activation: str,
    seed: int,
    dtype: str,
    gate_scale: float,
) -> dict[str, np.ndarray]:
    """Arrays by name for checked arguments of `MoELayer.init`, all of type `dtype`."""
    rng = np.random.default_rng(seed)
    n_computing = n_experts - len(router.specials)
    small = router.init_params(d_model, n_experts, rng)
    if "gate_DE" in small:
        small["gate_DE"] *= gate_scale
    small |= init_specials(router.specials, d_model, rng)
    params = {name: array.astype(dtype) for name, array in small.items()}
    params |= init_experts(rng, n_computing, d_model, d_expert, activation, dtype)
    if n_shared:
        shared = init_experts(rng, 1, d_model, d_expert * n_shared, activation, dtype)
        params |= {shared_name(name): array[0] for name, array in shared.items()}
    return params
