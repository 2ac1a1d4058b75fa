"""A layer's parameters before training: drawn from one generator, in one order."""

from __future__ import annotations

import numpy as np

from .errors import check_choice
from .experts import init_experts
from .latent_experts import init_latent
from .routers import Router
from .shared import shared_name
from .specials import init_specials

GATE_INITS = ("normal", "equal", "orthonormal")  # what `gate_init` may be


def start_gate(drawn_DE: np.ndarray, kind: str) -> np.ndarray:
    """A gate to start from, made of one whose entries are drawn with variance 1 / D.

    Parameters
    ----------
    kind
        'normal': as it is drawn. 'equal': every column at length 1, which is what it is on
        average, so that no expert begins with larger logits than others (Qwen3-Next says of itself
        that it normalises the router's parameters at initialisation, and not how). 'orthonormal':
        the columns also at right angles (Saxe et al., arXiv 1312.6120, as SimBal starts).

    Raises
    ------
    ValueError
        If the kind is unknown, or there are more columns than fit at right angles.
    """
    check_choice("gate_init", kind, GATE_INITS)
    if kind == "normal":
        return drawn_DE
    d_model, n_columns = drawn_DE.shape
    if kind == "orthonormal" and n_columns > d_model:
        raise ValueError(
            f"gate_init: got 'orthonormal' with {n_columns} columns of {d_model} numbers, allowed "
            "is another one, or a d_model of no less than the gate has columns"
        )
    gate_ED = drawn_DE.T.copy()
    for e, own_D in enumerate(gate_ED):
        # Gram and Schmidt, twice: what rounding leaves of the others after once is off again.
        for _ in range(2 if kind == "orthonormal" else 0):
            along_E1 = (gate_ED[:e] * own_D).sum(axis=1, keepdims=True)
            own_D -= (gate_ED[:e] * along_E1).sum(axis=0)
        own_D /= np.sqrt((own_D**2).sum())
    return np.ascontiguousarray(gate_ED.T)


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
    gate_init: str,
    d_latent: int,
) -> dict[str, np.ndarray]:
    """Arrays by name for checked arguments of `MoELayer.init`, all of type `dtype`."""
    rng = np.random.default_rng(seed)
    n_computing = n_experts - len(router.specials)
    small = router.init_params(d_model, n_experts, rng)
    check_choice("gate_init", gate_init, GATE_INITS)
    if "gate_DE" in small:
        small["gate_DE"] = gate_scale * start_gate(small["gate_DE"], gate_init)
    small |= init_specials(router.specials, d_model, rng)
    params = {name: array.astype(dtype) for name, array in small.items()}
    params |= init_experts(rng, n_computing, d_latent or d_model, d_expert, activation, dtype)
    if n_shared:
        shared = init_experts(rng, 1, d_model, d_expert * n_shared, activation, dtype)
        params |= {shared_name(name): array[0] for name, array in shared.items()}
    if d_latent:
        params |= init_latent(rng, d_model, d_latent, dtype)
    return params
