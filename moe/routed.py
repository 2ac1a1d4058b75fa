"""A list of assignments, carried out: dispatch tokens, apply experts, combine results; and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from . import kernels
from .context import LayerContext
from .experts import apply_experts, apply_experts_backward, row_plan
from .routers import Router
from .routing import Routing
from .specials import specials_backward, specials_forward


class Routed(NamedTuple):
    """Result (N, D) of the routed experts, and what `LayerContext` keeps of the way there."""

    y_ND: np.ndarray
    plan: kernels.Plan
    rows: int
    rows_ND: np.ndarray
    weight_S: np.ndarray
    h_SH: np.ndarray | None
    y_SD: np.ndarray


class RoutedGradients(NamedTuple):
    """Gradients at x, at the weights, at the logits, and at the experts' parameters, by name."""

    dx_ND: np.ndarray
    dweight_A: np.ndarray
    drouted_NE: np.ndarray
    grads: dict[str, np.ndarray]


def routed_forward(
    router: Router,
    activation: str,
    params: Mapping[str, np.ndarray],
    x_ND: np.ndarray,
    routing: Routing,
    keep: bool,
) -> Routed:
    """Sum of the chosen experts' results, weighted; with `keep`, also what backward needs."""
    plan = _plan_of(routing, len(params["w_down_EFD"]))
    weight_S = routing.weight_A[plan.assignment_S]
    if router.weigh_input:
        rows_ND, run = weight_S[:, None] * x_ND[plan.token_S], row_plan(plan.expert_start_E1)
        y_SD, h_SH, rows = apply_experts(params, activation, rows_ND, run, keep)
        y_ND = kernels.combine(y_SD, np.ones_like(weight_S), plan)
    else:
        rows_ND = x_ND
        y_SD, h_SH, rows = apply_experts(params, activation, rows_ND, plan, keep)
        y_ND = kernels.combine(y_SD, weight_S, plan)
    if kinds := router.specials:
        y_ND += specials_forward(x_ND, routing, kinds, params)
    if len(plan.token_S) < routing.n_assignments or rows_ND is not x_ND:
        # Some weights multiplied no result, and NaN among them has to reach y all the same.
        y_ND[routing.broken_tokens] = np.nan
    return Routed(y_ND, plan, rows, rows_ND, weight_S, h_SH, y_SD)


def routed_backward(
    router: Router,
    activation: str,
    params: Mapping[str, np.ndarray],
    dy_ND: np.ndarray,
    ctx: LayerContext,
    added_weight_A: np.ndarray | None,
) -> RoutedGradients:
    """Gradients of `routed_forward`; `added_weight_A` reaches the weights from elsewhere."""
    plan, routing = ctx.plan, ctx.routing
    if router.weigh_input:
        rows_ND, run = dy_ND[plan.token_S], row_plan(plan.expert_start_E1)
        dx_SD, _, grads = apply_experts_backward(
            params, activation, rows_ND, ctx.rows_ND, ctx.h_SH, np.ones_like(ctx.weight_S), run
        )
        dweight_S = (dx_SD * ctx.routed_x_ND[plan.token_S]).sum(axis=1)
        dx_ND = kernels.combine(dx_SD, ctx.weight_S, plan)
    else:
        dx_SD, dweight_S, grads = apply_experts_backward(
            params, activation, dy_ND, ctx.rows_ND, ctx.h_SH, ctx.weight_S, plan
        )
        dx_ND = kernels.combine(dx_SD, np.ones_like(dweight_S), plan)
    dweight_A = np.zeros(routing.n_assignments, dy_ND.dtype)
    dweight_A[plan.assignment_S] = dweight_S
    if kinds := router.specials:
        dspecial_ND, special_grads = specials_backward(
            dy_ND, ctx.routed_x_ND, routing, kinds, params, dweight_A
        )
        dx_ND += dspecial_ND
        grads |= special_grads
    if added_weight_A is not None:
        dweight_A += added_weight_A
    return RoutedGradients(dx_ND, dweight_A, router.backward(routing, dweight_A), grads)


def _plan_of(routing: Routing, n_computing: int) -> kernels.Plan:
    """Slots of the kept assignments to experts that compute, the first of the pool."""
    kept_A = routing.kept_A
    if n_computing < routing.n_experts:
        kept_A = kept_A & (routing.expert_A < n_computing)
    return kernels.dispatch_plan(
        routing.token_A, routing.expert_A, kept_A, routing.n_tokens, n_computing
    )
