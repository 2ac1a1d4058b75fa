"""Who goes where: the gate, the router's choice and the capacity, each result checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import kernels
from .arrays import Contract
from .errors import check_array
from .router_check import check_made, check_routing
from .routing import Routing

if TYPE_CHECKING:
    from .layer import MoELayer


def route(
    layer: MoELayer,
    contract: Contract,
    x_ND: np.ndarray,
    token_ids: np.ndarray | None,
    rng: np.random.Generator | None,
    previous_NE: np.ndarray | None = None,
) -> tuple[Routing, np.ndarray, np.ndarray | None]:
    """Routing of checked tokens, what the gate saw, and the factors that made it of x, if any.

    Raises
    ------
    ValueError
        If an argument has another shape, or the router returned what it may not.
    """
    router, n_tokens, n_experts = layer.router, len(x_ND), contract.n_experts
    if token_ids is not None:
        token_ids = np.asarray(token_ids)
        if token_ids.shape != (n_tokens,) or token_ids.dtype.kind not in "iu":
            raise ValueError(
                f"token_ids: got {token_ids.dtype} of shape {token_ids.shape}, "
                f"allowed are integers of shape ({n_tokens},)"
            )
    by, x_gate_ND = contract.by, x_ND
    perturb_ND = router.perturb(x_ND, rng)
    if perturb_ND is not None:
        x_gate_ND = x_ND * check_array(f"{by}: perturb", perturb_ND, x_ND.shape, finite=False)
        x_gate_ND = x_gate_ND.astype(contract.dtype, copy=False)
    made = router.project(x_gate_ND, layer.params, n_experts)
    made = check_made(made, n_tokens, contract.widths["logits_NE"], by)
    logits_NE = made.pop("logits_NE")
    state = made | layer.buffers
    for name in router.choice_params:
        state[name] = layer.params[name]
    if previous_NE is not None:
        state["previous_NE"] = check_array(
            "previous_NE", previous_NE, (n_tokens, n_experts), finite=False
        )
    chosen = router.choose(logits_NE, rng=rng, token_ids=token_ids, **state)
    chosen = check_routing(chosen, n_tokens, n_experts, contract.dtype, by)
    if chosen.dispatch_NS is not None and router.specials:
        raise ValueError(f"{by}: got slots for experts that compute nothing, allowed are weights")
    routing = layer.capacity.apply(chosen, rng, router)
    if routing is not chosen:
        routing = check_routing(routing, n_tokens, n_experts, contract.dtype, "capacity")
    return routing, x_gate_ND, perturb_ND


def plan_of(routing: Routing, n_computing: int) -> kernels.Plan:
    """Slots of the kept assignments to experts that compute, the first of the pool."""
    kept_A = routing.kept_A
    if n_computing < routing.n_experts:
        kept_A = kept_A & (routing.expert_A < n_computing)
    return kernels.dispatch_plan(
        routing.token_A, routing.expert_A, kept_A, routing.n_tokens, n_computing
    )
