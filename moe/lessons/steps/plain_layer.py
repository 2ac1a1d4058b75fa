"""A layer in a few lines of numpy, in which mistakes can be turned on.

Right answers come from the library; what stands here is what the mistakes need, and
`tests/lessons` compares it with the library's without a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...context import LayerContext
from ...layer import MoELayer
from ...routed import routed_backward, routed_forward
from ...routers import make_router
from ...routing import Routing

K = 2


@dataclass(frozen=True)
class Sample:
    """A small layer and some tokens with their choices, from which cases are made.

    Attributes
    ----------
    x_ND, dy_ND
        Tokens, and a gradient at the layer's result.
    gate_DE, bias_E, up_ED2F, down_EFD
        The layer.
    expert_NK, weight_NK
        What it chooses for the tokens without the bias.
    """

    x_ND: np.ndarray
    dy_ND: np.ndarray
    gate_DE: np.ndarray
    bias_E: np.ndarray
    up_ED2F: np.ndarray
    down_EFD: np.ndarray
    expert_NK: np.ndarray
    weight_NK: np.ndarray

    def first(self, n_tokens: int) -> Sample:
        """The same layer with the first tokens only."""
        return replace(
            self,
            x_ND=self.x_ND[:n_tokens],
            dy_ND=self.dy_ND[:n_tokens],
            expert_NK=self.expert_NK[:n_tokens],
            weight_NK=self.weight_NK[:n_tokens],
        )


def sample(n_tokens: int = 6, n_experts: int = 5, seed: int = 0) -> Sample:
    """A layer of width 4 with experts of width 3."""
    rng = np.random.default_rng(seed)
    shapes = ((n_tokens, 4), (n_tokens, 4), (4, n_experts), (n_experts, 4, 6), (n_experts, 3, 4))
    x_ND, dy_ND, gate_DE, up_ED2F, down_EFD = (rng.standard_normal(shape) for shape in shapes)
    bias_E = 0.3 * rng.standard_normal(n_experts)
    routing = make_router("topk", k=K).choose(x_ND @ gate_DE)
    expert_NK = routing.expert_A.reshape(-1, K).astype(np.int64)
    weight_NK = routing.weight_A.reshape(-1, K)
    return Sample(x_ND, dy_ND, gate_DE, bias_E, up_ED2F, down_EFD, expert_NK, weight_NK)


# The library's own answers ---------------------------------------------------------------------


def library_forward(
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
) -> tuple[np.ndarray, LayerContext]:
    """The layer's forward pass with given choices and weights."""
    routing = Routing.from_choices(expert_NK, weight_NK, len(up_ED2F))
    params = {"w_gate_up_ED2F": up_ED2F, "w_down_EFD": down_EFD}
    ran = routed_forward(make_router("topk", k=K), "swiglu", params, x_ND, routing, keep=True)
    return ran.y_ND, LayerContext(
        routing, ran.plan, ran.rows, 0, x_ND, x_ND, None, ran.rows_ND, ran.weight_S, ran.h_SH,
        ran.y_SD, None, None,
    )  # fmt: skip


def library_backward(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The layer's gradients at the experts' two arrays, with given choices and weights."""
    _, context = library_forward(x_ND, expert_NK, weight_NK, up_ED2F, down_EFD)
    params = {"w_gate_up_ED2F": up_ED2F, "w_down_EFD": down_EFD}
    router = make_router("topk", k=expert_NK.shape[1])
    grads = routed_backward(router, "swiglu", params, dy_ND, context, None).grads
    return grads["w_gate_up_ED2F"], grads["w_down_EFD"]


def library_layer(
    gate_DE: np.ndarray, bias_E: np.ndarray, up_ED2F: np.ndarray, down_EFD: np.ndarray, k: int
) -> MoELayer:
    """The layer of these arrays, whose bias only selects."""
    params = {"gate_DE": gate_DE, "w_gate_up_ED2F": up_ED2F, "w_down_EFD": down_EFD}
    buffers = {"select_bias_E": bias_E}
    return MoELayer(make_router("topk", k=k), "swiglu", params, buffers)


# The same in numpy -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Slips:
    """Which mistakes the plain layer makes.

    Attributes
    ----------
    overwrites
        A later result or gradient replaces an earlier one in place of being added.
    unweighted, first_only, halves_swapped, no_silu
        As they say; of the forward pass and of the gradients.
    unweighted_up
        The weight is missing in the gradient at the first product only.
    silu_is_sigmoid, silu_is_one
        What is taken for silu's derivative.
    mean
        Gradients are divided by the number of tokens.
    no_up_gradient
        The second half of the first product gets no gradient.
    """

    overwrites: bool = False
    unweighted: bool = False
    first_only: bool = False
    halves_swapped: bool = False
    no_silu: bool = False
    unweighted_up: bool = False
    silu_is_sigmoid: bool = False
    silu_is_one: bool = False
    mean: bool = False
    no_up_gradient: bool = False


RIGHT = Slips()


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z))."""
    return np.asarray(1 / (1 + np.exp(-z)))


def forward(
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
    slips: Slips = RIGHT,
) -> np.ndarray:
    """The experts' weighted sum, token by token, (N, D)."""
    y_ND = np.zeros_like(x_ND)
    for n, x_D in enumerate(x_ND):
        for rank, e in enumerate(expert_NK[n]):
            if slips.first_only and rank:
                break
            gate_F, value_F = np.split(x_D @ up_ED2F[e], 2)
            if slips.halves_swapped:
                gate_F, value_F = value_F, gate_F
            active_F = gate_F if slips.no_silu else gate_F * sigmoid(gate_F)
            y_D = (active_F * value_F) @ down_EFD[e]
            y_D = y_D if slips.unweighted else weight_NK[n, rank] * y_D
            y_ND[n] = y_D if slips.overwrites else y_ND[n] + y_D
    return y_ND


@dataclass(frozen=True)
class Gradients:
    """Gradients at x through the experts alone, at the weights, and at the experts' arrays."""

    dx_ND: np.ndarray
    dweight_NK: np.ndarray
    dup_ED2F: np.ndarray
    ddown_EFD: np.ndarray


def backward(
    dy_ND: np.ndarray,
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
    slips: Slips = RIGHT,
) -> Gradients:
    """Gradients of `forward`, token by token."""
    dx_ND, dweight_NK = np.zeros_like(x_ND), np.zeros_like(weight_NK)
    dup_ED2F, ddown_EFD = np.zeros_like(up_ED2F), np.zeros_like(down_EFD)
    for n, x_D in enumerate(x_ND):
        for rank, e in enumerate(expert_NK[n]):
            if slips.first_only and rank:
                break
            weight = 1.0 if slips.unweighted else weight_NK[n, rank]
            gate_F, value_F = np.split(x_D @ up_ED2F[e], 2)
            s_F = sigmoid(gate_F)
            a_F = gate_F * s_F * value_F
            da_F = down_EFD[e] @ dy_ND[n]
            dweight_NK[n, rank] = a_F @ da_F
            da_F = da_F if slips.unweighted_up else weight * da_F
            slope_F = s_F + gate_F * s_F * (1 - s_F)
            if slips.silu_is_sigmoid:
                slope_F = s_F
            if slips.silu_is_one:
                slope_F = np.ones_like(s_F)
            halves = [da_F * value_F * slope_F, da_F * gate_F * s_F]
            if slips.no_up_gradient:
                halves[1] = np.zeros_like(halves[1])
            dh_2F = np.concatenate(halves[::-1] if slips.halves_swapped else halves)
            dx_ND[n] += up_ED2F[e] @ dh_2F
            kept = 0 if slips.overwrites else 1
            dup_ED2F[e] = kept * dup_ED2F[e] + np.outer(x_D, dh_2F)
            ddown_EFD[e] = kept * ddown_EFD[e] + np.outer(a_F, weight * dy_ND[n])
    if slips.mean:
        dup_ED2F, ddown_EFD = dup_ED2F / len(x_ND), ddown_EFD / len(x_ND)
    return Gradients(dx_ND, dweight_NK, dup_ED2F, ddown_EFD)
