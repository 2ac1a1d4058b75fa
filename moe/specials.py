"""Experts that compute (nearly) nothing: zero, copy and constant.

They are the last of the pool, so that gates treat them like all others. Source: MoE++,
arXiv 2410.07348, section 3.1; LongCat-Flash (arXiv 2509.01322) has identity experts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .kernels import count_flops, matmul, matmul_nt, matmul_tn, softmax, softmax_backward
from .routing import Routing

KINDS = ("zero", "copy", "constant")
Arrays = dict[str, np.ndarray]


def init_specials(kinds: Sequence[str], d_model: int, rng: np.random.Generator) -> Arrays:
    """Fresh parameters of the constant experts: vectors v (Z, D), mixing maps (Z, D, 2).

    v is N(0, 1), as in the authors' moe_plus_plus_layer.py.
    """
    n_constant = list(kinds).count("constant")
    if not n_constant:
        return {}
    return {
        "constant_ZD": rng.standard_normal((n_constant, d_model)),
        "constant_mix_ZD2": rng.standard_normal((n_constant, d_model, 2)) / np.sqrt(d_model),
    }


def _rows(routing: Routing, expert: int) -> np.ndarray:
    """Kept assignments of one expert; no token occurs twice among them."""
    return np.flatnonzero((routing.expert_A == expert) & routing.kept_A)


def specials_forward(
    x_ND: np.ndarray, routing: Routing, kinds: Sequence[str], params: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Weighted sum of these experts' results for each token, (N, D).

    zero gives 0, copy gives x, constant gives a_1 x + a_2 v with a = softmax(W x).
    """
    y_ND, z = np.zeros_like(x_ND), 0
    for place, kind in enumerate(kinds):
        rows = _rows(routing, routing.n_experts - len(kinds) + place)
        token, weight_T1 = routing.token_A[rows], routing.weight_A[rows, None]
        if kind == "copy":
            y_ND[token] += weight_T1 * x_ND[token]
        elif kind == "constant":
            mix_T2 = softmax(matmul(x_ND[token], params["constant_mix_ZD2"][z]))
            result_TD = mix_T2[:, :1] * x_ND[token] + mix_T2[:, 1:] * params["constant_ZD"][z]
            y_ND[token] += weight_T1 * result_TD
            count_flops(3 * result_TD.size)  # two products and a sum, beside the map's
            z += 1
    return y_ND


def specials_backward(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    routing: Routing,
    kinds: Sequence[str],
    params: Mapping[str, np.ndarray],
    dweight_A: np.ndarray,
) -> tuple[np.ndarray, Arrays]:
    """Gradients at x and at the parameters; those at the weights go into `dweight_A`."""
    dx_ND, z = np.zeros_like(x_ND), 0
    grads = {
        n: np.zeros_like(params[n]) for n in ("constant_ZD", "constant_mix_ZD2") if n in params
    }
    for place, kind in enumerate(kinds):
        rows = _rows(routing, routing.n_experts - len(kinds) + place)
        token, weight_T1 = routing.token_A[rows], routing.weight_A[rows, None]
        x_TD, dy_TD = x_ND[token], dy_ND[token]
        if kind == "copy":
            dweight_A[rows] = (dy_TD * x_TD).sum(axis=1)
            dx_ND[token] += weight_T1 * dy_TD
        elif kind == "constant":
            v_D, map_D2 = params["constant_ZD"][z], params["constant_mix_ZD2"][z]
            mix_T2 = softmax(matmul(x_TD, map_D2))
            along_v_T1 = matmul(dy_TD, v_D[:, None])
            along_T2 = np.hstack([(dy_TD * x_TD).sum(axis=1, keepdims=True), along_v_T1])
            dweight_A[rows] = (mix_T2 * along_T2).sum(axis=1)
            dlogits_T2 = softmax_backward(mix_T2, weight_T1 * along_T2)
            dx_ND[token] += weight_T1 * mix_T2[:, :1] * dy_TD + matmul_nt(dlogits_T2, map_D2)
            grads["constant_ZD"][z] = (weight_T1 * mix_T2[:, 1:] * dy_TD).sum(axis=0)
            grads["constant_mix_ZD2"][z] = matmul_tn(x_TD, dlogits_T2)
            z += 1
    return dx_ND, grads
