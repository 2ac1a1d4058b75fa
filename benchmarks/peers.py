"""Other ways to compute the same layer, each checked to give the same result and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from moe.speed.machine import Case

from .peer import NUMPY, OURS, TOLERANCE, Gradients, Peer


def ours(case: Case) -> Peer:
    """Return this layer."""
    return Peer(OURS, case.forward, case.both, lambda result: result)


def plain_numpy(case: Case) -> Peer:
    """Return the layer in plain numpy: argsort, one product per expert."""
    params, k = case.layer.params, case.layer.router.options()["k"]
    return Peer(
        NUMPY,
        lambda: numpy_forward(case.x_ND, params, k)[0],
        lambda: numpy_both(case.x_ND, case.dy_ND, params, k),
        lambda result: result,
    )


def numpy_forward(
    x_ND: np.ndarray, params: Mapping[str, np.ndarray], k: int
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Compute y, and what backward needs."""
    up_ED2F, down_EFD = params["w_gate_up_ED2F"], params["w_down_EFD"]
    logits_NE = x_ND @ params["gate_DE"]
    expert_NK = np.argpartition(-logits_NE, k - 1, axis=1)[:, :k]
    chosen_NK = np.take_along_axis(logits_NE, expert_NK, axis=1)
    weight_NK = np.exp(chosen_NK - chosen_NK.max(axis=1, keepdims=True))
    weight_NK /= weight_NK.sum(axis=1, keepdims=True)
    order_A = np.argsort(expert_NK, axis=None, kind="stable")
    ends_E = np.cumsum(np.bincount(expert_NK.ravel(), minlength=len(up_ED2F)))
    y_ND = np.zeros_like(x_ND)
    kept = []
    for e, slots in enumerate(np.split(order_A, ends_E[:-1])):
        if not slots.size:
            continue
        token = slots // k
        x_TD = x_ND[token]
        gate_TF, up_TF = np.split(x_TD @ up_ED2F[e], 2, axis=1)
        sigmoid_TF = 1 / (1 + np.exp(-gate_TF))
        a_TF = gate_TF * sigmoid_TF * up_TF
        out_TD = a_TF @ down_EFD[e]
        y_ND[token] += weight_NK.ravel()[slots, None] * out_TD  # a token is here only once
        kept.append((e, slots, token, x_TD, gate_TF, up_TF, sigmoid_TF, a_TF, out_TD))
    return y_ND, (expert_NK, weight_NK, kept)


def numpy_both(
    x_ND: np.ndarray, dy_ND: np.ndarray, params: Mapping[str, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray, Gradients]:
    """Compute y, the gradient at x and the gradients of all parameters."""
    y_ND, (expert_NK, weight_NK, kept) = numpy_forward(x_ND, params, k)
    grads = {name: np.zeros_like(array) for name, array in params.items()}
    dx_ND, dweight_A = np.zeros_like(x_ND), np.zeros(weight_NK.size, x_ND.dtype)
    for e, slots, token, x_TD, gate_TF, up_TF, sigmoid_TF, a_TF, out_TD in kept:
        dy_TD = dy_ND[token]
        dweight_A[slots] = np.einsum("td,td->t", dy_TD, out_TD)
        dout_TD = weight_NK.ravel()[slots, None] * dy_TD
        np.matmul(a_TF.T, dout_TD, out=grads["w_down_EFD"][e])
        da_TF = dout_TD @ params["w_down_EFD"][e].T
        slope_TF = sigmoid_TF * (1 + gate_TF * (1 - sigmoid_TF))
        dh_T2F = np.concatenate([da_TF * up_TF * slope_TF, da_TF * gate_TF * sigmoid_TF], axis=1)
        np.matmul(x_TD.T, dh_T2F, out=grads["w_gate_up_ED2F"][e])
        dx_ND[token] += dh_T2F @ params["w_gate_up_ED2F"][e].T
    dweight_NK = dweight_A.reshape(weight_NK.shape)
    dchosen_NK = weight_NK * (dweight_NK - (weight_NK * dweight_NK).sum(axis=1, keepdims=True))
    dlogits_NE = np.zeros((len(x_ND), params["gate_DE"].shape[1]), x_ND.dtype)
    np.put_along_axis(dlogits_NE, expert_NK, dchosen_NK, axis=1)
    grads["gate_DE"] = x_ND.T @ dlogits_NE
    return y_ND, dx_ND + dlogits_NE @ params["gate_DE"].T, grads


def difference(a: np.ndarray, true: np.ndarray, scale: float) -> float:
    """Largest difference over the largest true number; over `scale` where all are zero."""
    return float(np.abs(a - true).max()) / (float(np.abs(true).max()) or scale)


def check(peer: Peer, case: Case) -> float:
    """Largest relative difference from the layer, in y and every gradient.

    Raises
    ------
    ValueError
        If it is more than rounding explains: this peer computes something else.
    """
    y_ND, dx_ND, grads = peer.read(peer.both())
    true_y_ND, true_dx_ND, true_grads = case.both()
    pairs = {"y": (y_ND, true_y_ND), "dx": (dx_ND, true_dx_ND)}
    pairs["y alone"] = (np.asarray(peer.forward()), true_y_ND)
    pairs |= {name: (grads[name], true) for name, true in true_grads.items()}
    # With k = 1 the weight is 1 whatever the gate says: its gradient is zero.
    scale = float(np.abs(true_dx_ND).max())
    found = {name: difference(a, true, scale) for name, (a, true) in pairs.items()}
    worst = max(found, key=lambda name: found[name])
    if not found[worst] < TOLERANCE:
        raise ValueError(
            f"{peer.name}: {worst} differs from the layer's by {found[worst]:.2g}, "
            f"allowed is {TOLERANCE:g}"
        )
    return found[worst]


def candidates(case: Case) -> tuple[dict[str, Peer], list[str]]:
    """All implementations on this machine by name, ours first, and why others are left out."""
    peers, left_out = [ours(case), plain_numpy(case)], []
    try:
        from .torch_peers import torch_peers
    except ImportError as error:
        left_out.append(f"PyTorch and the reference library: {error.name} is not installed.")
    else:
        made, left_out = torch_peers(case)
        peers += made
    return {peer.name: peer for peer in peers}, left_out


def checked(case: Case) -> tuple[dict[str, Peer], list[str]]:
    """`candidates`, once each has computed what the layer does."""
    peers, left_out = candidates(case)
    for peer in peers.values():
        check(peer, case)
    return peers, left_out
