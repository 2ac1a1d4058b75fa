"""The feed-forward experts: which activations there are, their sizes and their arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import kernels
from .errors import check_choice
from .kernels.activation_text import CODES, GATED, parse

ACTIVATIONS = tuple(CODES)


def check_activation(activation: str) -> str:
    """Return the text if it names an activation (with options, if it takes any)."""
    try:
        parse(activation)
    except TypeError:  # not even a text, nor a key
        check_choice("activation", activation, ACTIVATIONS)
    return activation


def n_matrices(activation: str) -> int:
    """Matrices of one expert: 3 (gate, up, down) for gated ones, else 2 (up, down)."""
    return 3 if parse(activation).name in GATED else 2


def expert_flops(d_model: int, d_expert: int, activation: str) -> int:
    """Floating-point operations of one token through one expert: 2 per multiply-add."""
    return 2 * n_matrices(activation) * d_model * d_expert


def up_name(activation: str) -> str:
    """Parameter name of the first product: gate and up share one array in gated experts."""
    return "w_gate_up_ED2F" if parse(activation).name in GATED else "w_up_EDF"


def up_bias_name(activation: str) -> str:
    """Parameter name of the first product's biases, where experts have them."""
    return "b_gate_up_E2F" if parse(activation).name in GATED else "b_up_EF"


def dense_name(name: str) -> str:
    """`w_down_EFD` to `w_down_FD`: the same matrix of one network, without the expert axis."""
    stem, shape = name.rsplit("_", 1)
    return f"{stem}_{shape.removeprefix('E')}"


def init_experts(
    rng: np.random.Generator,
    n_experts: int,
    d_model: int,
    d_expert: int,
    activation: str,
    dtype: str,
) -> dict[str, np.ndarray]:
    """Fresh weights, normal with variance 1 / fan-in: arrays (E, D, H) and (E, F, D)."""
    width = d_expert * (n_matrices(activation) - 1)
    up_EDH = rng.standard_normal((n_experts, d_model, width)) / np.sqrt(d_model)
    down_EFD = rng.standard_normal((n_experts, d_expert, d_model)) / np.sqrt(d_expert)
    return {up_name(activation): up_EDH.astype(dtype), "w_down_EFD": down_EFD.astype(dtype)}


def row_plan(expert_start_E1: np.ndarray) -> kernels.Plan:
    """Slots that take row s in slot s, and no token's; expert e owns start[e]..start[e + 1]."""
    slots = np.arange(expert_start_E1[-1])
    return kernels.Plan(slots, slots, expert_start_E1, slots, np.arange(slots.size + 1))


def apply_experts(
    params: Mapping[str, np.ndarray],
    activation: str,
    rows_ND: np.ndarray,
    plan: kernels.Plan,
    keep: bool = True,
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Results (S, D) and first products (S, H, if kept) of all slots, and rows executed."""
    up_EDH, down_EFD = params[up_name(activation)], params["w_down_EFD"]
    b_up_EH, b_down_ED = params.get(up_bias_name(activation)), params.get("b_down_ED")
    y_SD, h_SH, rows = kernels.experts_forward(
        rows_ND, plan, up_EDH, down_EFD, activation, keep, b_up_EH
    )
    if b_down_ED is not None:
        y_SD += np.repeat(b_down_ED, np.diff(plan.expert_start_E1), axis=0)
    return y_SD, h_SH, rows


def apply_experts_backward(
    params: Mapping[str, np.ndarray],
    activation: str,
    dy_ND: np.ndarray,
    rows_ND: np.ndarray,
    h_SH: np.ndarray | None,
    weight_S: np.ndarray,
    plan: kernels.Plan,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Gradients at each slot's row (S, D), at its weight (S,), and at the parameters, by name."""
    up_EDH, down_EFD = params[up_name(activation)], params["w_down_EFD"]
    b_up_EH, b_down_ED = params.get(up_bias_name(activation)), params.get("b_down_ED")
    db_up_EH = None if b_up_EH is None else np.zeros_like(b_up_EH)
    dx_SD, dweight_S, dup_EDH, ddown_EFD = kernels.experts_backward(
        dy_ND, rows_ND, h_SH, weight_S, plan, up_EDH, down_EFD, activation, db_up_EH
    )
    grads = {up_name(activation): dup_EDH, "w_down_EFD": ddown_EFD}
    if db_up_EH is not None:
        grads[up_bias_name(activation)] = db_up_EH
    if b_down_ED is not None:
        db_down_ED = grads["b_down_ED"] = np.zeros_like(b_down_ED)
        starts = plan.expert_start_E1
        for e in np.flatnonzero(np.diff(starts)):
            slots = slice(starts[e], starts[e + 1])
            dy_TD = dy_ND[plan.token_S[slots]]
            dweight_S[slots] += (dy_TD * b_down_ED[e]).sum(axis=1)
            db_down_ED[e] = (weight_S[slots, None] * dy_TD).sum(axis=0)
    return dx_SD, dweight_S, grads
