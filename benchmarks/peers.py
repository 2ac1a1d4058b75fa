"""Other ways to compute the same layer, each checked to give the same result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moe import MoELayer, kernels

Call = Callable[[], object]


def numpy_layer(layer: MoELayer, x_ND: np.ndarray) -> np.ndarray:
    """Compute the forward pass in plain numpy: argsort dispatch, one product per expert."""
    k = layer.router.options()["k"]
    logits_NE = x_ND @ layer.params["gate_DE"]
    expert_NK = np.argpartition(-logits_NE, k - 1, axis=1)[:, :k]
    chosen_NK = np.take_along_axis(logits_NE, expert_NK, axis=1)
    weight_NK = np.exp(chosen_NK - chosen_NK.max(axis=1, keepdims=True))
    weight_NK /= weight_NK.sum(axis=1, keepdims=True)
    expert_A = expert_NK.reshape(-1)
    order_A = np.argsort(expert_A, kind="stable")
    ends_E = np.searchsorted(expert_A[order_A], np.arange(layer.n_experts + 1))
    y_ND = np.zeros_like(x_ND)
    for e in range(layer.n_experts):
        slots = order_A[ends_E[e] : ends_E[e + 1]]
        if not slots.size:
            continue
        token = slots // k
        h_TH = x_ND[token] @ layer.params["w_gate_up_ED2F"][e]
        gate_TF, up_TF = np.split(h_TH, 2, axis=1)
        out_TD = (gate_TF / (1 + np.exp(-gate_TF)) * up_TF) @ layer.params["w_down_EFD"][e]
        np.add.at(y_ND, token, weight_NK.reshape(-1)[slots, None] * out_TD)
    return y_ND


def all_experts(layer: MoELayer, x_ND: np.ndarray) -> np.ndarray:
    """Compute every expert for every token, then mask: what sparse code must never do."""
    y_ND = np.zeros_like(x_ND)
    weight_NE = layer.route(x_ND).combine()
    for e in range(layer.n_experts):
        gate_NF, up_NF = np.split(x_ND @ layer.params["w_gate_up_ED2F"][e], 2, axis=1)
        a_NF = gate_NF / (1 + np.exp(-gate_NF)) * up_NF
        y_ND += weight_NE[:, e, None] * (a_NF @ layer.params["w_down_EFD"][e])
    return y_ND


def calls(layer: MoELayer, x_ND: np.ndarray) -> dict[str, Call]:
    """Name to call, for `time_in_turn`; every one is first checked against the layer."""

    def oracle() -> np.ndarray:
        with kernels.using("numpy"):
            return layer(x_ND)

    made: dict[str, Call] = {
        "moescope": lambda: layer(x_ND),
        "moescope, numpy backend": oracle,
        "plain numpy": lambda: numpy_layer(layer, x_ND),
        "all experts, masked": lambda: all_experts(layer, x_ND),
    }
    truth_ND = layer(x_ND)
    for name, call in made.items():
        error = np.abs(np.asarray(call()) - truth_ND).max()
        if error > 1e-3 * max(1.0, float(np.abs(truth_ND).max())):
            raise AssertionError(f"{name} differs from the layer by {error:.2g}")
    return made
