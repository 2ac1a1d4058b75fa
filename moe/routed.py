"""The routed experts' part of a forward pass: dispatch, apply, combine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from . import kernels
from .choosing import plan_of
from .experts import experts_forward, row_plan
from .routers import Router
from .routing import Routing
from .specials import specials_forward


class Routed(NamedTuple):
    """What `routed_forward` gives: the result (N, D), and what `LayerContext` says of the rest."""

    y_ND: np.ndarray
    plan: kernels.Plan
    rows: int
    rows_ND: np.ndarray
    weight_S: np.ndarray
    h_SH: np.ndarray | None
    y_SD: np.ndarray


def routed_forward(
    router: Router,
    activation: str,
    params: Mapping[str, np.ndarray],
    x_ND: np.ndarray,
    routing: Routing,
    keep: bool,
) -> Routed:
    """Weighted sum of what the chosen experts make of each token; with `keep`, for backward too."""
    if routing.dispatch_NS is not None and routing.combine_NS is not None:
        rows_ND, n_experts = kernels.matmul_tn(routing.dispatch_NS, x_ND), routing.n_experts
        plan = row_plan(np.arange(n_experts + 1) * (len(rows_ND) // n_experts))
        y_SD, h_SH, rows = experts_forward(params, activation, rows_ND, plan, keep)
        y_ND = kernels.matmul(routing.combine_NS, y_SD)
        return Routed(y_ND, plan, rows, rows_ND, np.ones(len(rows_ND), x_ND.dtype), h_SH, y_SD)
    plan = run = plan_of(routing, len(params["w_down_EFD"]))
    rows_ND = x_ND
    weight_S = out_weight_S = routing.weight_A[plan.assignment_S]
    if router.weighs_input:
        rows_ND = weight_S[:, None] * x_ND[plan.token_S]
        run = row_plan(plan.expert_start_E1)
        out_weight_S = np.ones_like(weight_S)
    y_SD, h_SH, rows = experts_forward(params, activation, rows_ND, run, keep)
    y_ND = kernels.combine(y_SD, out_weight_S, plan)
    if kinds := router.specials:
        y_ND += specials_forward(x_ND, routing, kinds, params)
    if len(plan.token_S) < routing.n_assignments or router.weighs_input:
        y_ND[routing.broken_tokens] = np.nan  # since some weights multiplied no result
    return Routed(y_ND, plan, rows, rows_ND, weight_S, h_SH, y_SD)
