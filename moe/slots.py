"""Soft MoE: experts work on slots, which mix all tokens, and tokens get mixes of all slots.

It is another algorithm than a list of assignments (`moe.routed`): nothing is dispatched or dropped,
and every step is a dense product. Source: Soft MoE, arXiv 2308.00951, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import kernels
from .context import LayerContext
from .experts import apply_experts, apply_experts_backward, row_plan
from .routed import Routed, RoutedGradients
from .routers.soft import Soft
from .routing import Routing


def slots_forward(
    activation: str,
    params: Mapping[str, np.ndarray],
    x_ND: np.ndarray,
    routing: Routing,
    keep: bool,
) -> Routed:
    """Y = C f(D^T x), with D and C the routing's `dispatch_NS` and `combine_NS`."""
    assert routing.dispatch_NS is not None and routing.combine_NS is not None
    slots_SD, n_experts = kernels.matmul_tn(routing.dispatch_NS, x_ND), routing.n_experts
    plan = row_plan(np.arange(n_experts + 1) * (len(slots_SD) // n_experts))
    y_SD, h_SH, rows = apply_experts(params, activation, slots_SD, plan, keep)
    y_ND = kernels.matmul(routing.combine_NS, y_SD)
    return Routed(y_ND, plan, rows, slots_SD, np.ones(len(slots_SD), x_ND.dtype), h_SH, y_SD)


def slots_backward(
    router: Soft,
    activation: str,
    params: Mapping[str, np.ndarray],
    dy_ND: np.ndarray,
    ctx: LayerContext,
) -> RoutedGradients:
    """Gradients at x, at the logits and at the experts' parameters."""
    routing = ctx.routing
    assert routing.dispatch_NS is not None and routing.combine_NS is not None
    dy_SD = kernels.matmul_tn(routing.combine_NS, dy_ND)
    dx_SD, _, grads = apply_experts_backward(
        params, activation, dy_SD, ctx.rows_ND, ctx.h_SH, ctx.weight_S, ctx.plan
    )
    drouted_NE = router.backward_slots(
        routing,
        ddispatch_NS=kernels.matmul_nt(ctx.routed_x_ND, dx_SD),
        dcombine_NS=kernels.matmul_nt(dy_ND, ctx.y_SD),
    )
    dweight_A = np.zeros(routing.n_assignments, dy_ND.dtype)
    return RoutedGradients(kernels.matmul(routing.dispatch_NS, dx_SD), dweight_A, drouted_NE, grads)
