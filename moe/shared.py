"""Shared experts: one wide network for every token, weighted by a gate in some models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import kernels
from .dense import dense_backward, dense_forward
from .experts import dense_name, up_name

Arrays = dict[str, np.ndarray]
DOWN, GATE = "shared_w_down_FD", "shared_gate_D1"


def shared_name(name: str) -> str:
    """`w_down_EFD` to `shared_w_down_FD`."""
    return f"shared_{dense_name(name)}"


def has_shared(params: Mapping[str, np.ndarray]) -> bool:
    """Whether a layer has shared experts."""
    return DOWN in params


def shared_forward(
    params: Mapping[str, np.ndarray], activation: str, x_ND: np.ndarray, keep: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Result (N, D), first product (N, H, if kept), and the gate's weights (N,)."""
    up_DH, down_FD = _weights(params, activation)
    y_ND, h_NH, _ = dense_forward(x_ND, up_DH, down_FD, activation, keep)
    if GATE not in params:
        return y_ND, h_NH, None
    weight_N = np.asarray(kernels.sigmoid(kernels.matmul(x_ND, params[GATE]))).reshape(-1)
    return weight_N[:, None] * y_ND, h_NH, weight_N


def shared_backward(
    params: Mapping[str, np.ndarray],
    activation: str,
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    h_NH: np.ndarray,
    weight_N: np.ndarray | None,
) -> tuple[np.ndarray, Arrays]:
    """Gradients at x and at the parameters, by name."""
    up_DH, down_FD = _weights(params, activation)
    dx_ND, dup_DH, ddown_FD, dweight_N = dense_backward(
        dy_ND, x_ND, h_NH, up_DH, down_FD, activation, weight_N
    )
    grads = {shared_name(up_name(activation)): dup_DH, DOWN: ddown_FD}
    if weight_N is not None:
        dlogits_N1 = (dweight_N * weight_N * (1 - weight_N))[:, None]
        grads[GATE] = kernels.matmul_tn(x_ND, dlogits_N1)
        dx_ND += kernels.matmul_nt(dlogits_N1, params[GATE])
    return dx_ND, grads


def _weights(params: Mapping[str, np.ndarray], activation: str) -> tuple[np.ndarray, np.ndarray]:
    return params[shared_name(up_name(activation))], params[DOWN]
