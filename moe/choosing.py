"""Which tokens go to which experts: gate, router's choice and capacity; and their gradients.

Anybody may write a router, so what one returns is checked here before a kernel follows it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .arrays import Contract
from .context import LayerContext
from .errors import check_array
from .router_check import check_gradients, check_projections, check_routing
from .routers.soft import Soft
from .routing import Routing

Arrays = dict[str, np.ndarray]


def route(
    contract: Contract,
    params: Mapping[str, np.ndarray],
    buffers: Arrays,
    x_ND: np.ndarray,
    token_ids: np.ndarray | None,
    rng: np.random.Generator | None,
    previous_NE: np.ndarray | None = None,
) -> tuple[Routing, np.ndarray, np.ndarray | None]:
    """Routing of checked tokens, the gate's input, and the noise factors in it, if there are any.

    Raises
    ------
    ValueError
        If an argument has another shape, or the router returned what it may not.
    """
    router, n_tokens, n_experts = contract.router, len(x_ND), contract.n_experts
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
    outputs = router.project(x_gate_ND, params, n_experts)
    outputs = check_projections(outputs, n_tokens, contract.widths["logits_NE"], by)
    logits_NE = outputs.pop("logits_NE")
    state = outputs | buffers
    for name in router.choice_params:
        state[name] = params[name]
    if previous_NE is not None:
        state["previous_NE"] = check_array(
            "previous_NE", previous_NE, (n_tokens, n_experts), finite=False
        )
    chosen = router.choose(logits_NE, rng=rng, token_ids=token_ids, **state)
    chosen = check_routing(chosen, n_tokens, n_experts, contract.dtype, by)
    if chosen.dispatch_NS is not None and (router.specials or not isinstance(router, Soft)):
        what = "for experts that compute nothing" if router.specials else "from no subclass of Soft"
        raise ValueError(f"{by}: got slots {what}, allowed are weights")
    routing = contract.capacity.apply(chosen, rng, router)
    if routing.asked_A is not None:
        # The router has weighed anew. Else capacity wrote no more than `kept_A`.
        routing = check_routing(routing, n_tokens, n_experts, contract.dtype, "capacity")
    return routing, x_gate_ND, perturb_ND


def route_backward(
    contract: Contract,
    params: Mapping[str, np.ndarray],
    ctx: LayerContext,
    dweight_A: np.ndarray,
    drouted_NE: np.ndarray,
    added: Mapping[str, np.ndarray],
    sizes: Mapping[str, tuple[int, ...]],
) -> tuple[np.ndarray, Arrays, Arrays]:
    """Gradients at x by way of the gate, at the router's parameters, and at further inputs.

    Parameters
    ----------
    dweight_A, drouted_NE
        Gradients at the weights, and what the router's `backward` returned for them.
    added
        Gradients from elsewhere, by name: at the logits and at other projections.
    sizes
        Shapes of these, by name.

    Raises
    ------
    ValueError
        If the router returned a gradient of another shape, or none.
    """
    router, by, dtype = contract.router, contract.by, contract.dtype
    logits = {"logits_NE": sizes["logits_NE"]}
    dmade = check_gradients({"logits_NE": drouted_NE}, logits, dtype, by)
    drouted_NE = dlogits_NE = dmade["logits_NE"]
    if "logits_NE" in added:
        dmade["logits_NE"] = dlogits_NE = drouted_NE + added["logits_NE"]
    dstate = router.backward_state(ctx.routing, dweight_A, drouted_NE, dlogits_NE)
    others = {name: size for name, size in sizes.items() if name != "logits_NE"}
    for name, gradient in check_gradients(dstate, others, dtype, by).items():
        dmade[name] = gradient + added[name] if name in added else gradient
    dgate_ND, grads = router.project_backward(ctx.x_gate_ND, params, dmade)
    dgate_ND = check_array(f"{by}: gradient of x_ND", dgate_ND, ctx.x_ND.shape, finite=False)
    if ctx.perturb_ND is not None:
        dgate_ND = dgate_ND * ctx.perturb_ND
    inputs: Arrays = {}
    for name in dstate.keys() - others.keys():
        (grads if name in params else inputs)[name] = dstate[name]
    return dgate_ND, grads, inputs
