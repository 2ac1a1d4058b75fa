"""A layer in a few lines of numpy, in which mistakes can be turned on, and the library's answer.

The right answer comes from the library (`routed_forward`, `MoELayer`); what stands here in numpy is
what the mistakes need, and `tests/lessons` compares it with the library's without a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...layer import MoELayer
from ...routed import Routed, routed_forward
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
        names = ("x_ND", "dy_ND", "expert_NK", "weight_NK")
        return Sample(**vars(self) | {name: vars(self)[name][:n_tokens] for name in names})


def sample(n_tokens: int = 6, n_experts: int = 4, seed: int = 0) -> Sample:
    """A layer of width 4 with experts of width 3; some expert gets no token if there are many."""
    rng = np.random.default_rng(seed)
    shapes = ((n_tokens, 4), (n_tokens, 4), (4, n_experts), (n_experts, 4, 6), (n_experts, 3, 4))
    x_ND, dy_ND, gate_DE, up_ED2F, down_EFD = (rng.standard_normal(shape) for shape in shapes)
    bias_E = 0.3 * rng.standard_normal(n_experts)
    routing = make_router("topk", k=K).choose(x_ND @ gate_DE)
    expert_NK = routing.expert_A.reshape(-1, K).astype(np.int64)
    weight_NK = routing.weight_A.reshape(-1, K)
    return Sample(x_ND, dy_ND, gate_DE, bias_E, up_ED2F, down_EFD, expert_NK, weight_NK)


def _params(up_ED2F: np.ndarray, down_EFD: np.ndarray) -> dict[str, np.ndarray]:
    return {"w_gate_up_ED2F": up_ED2F, "w_down_EFD": down_EFD}


def run_experts(
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
) -> tuple[Routing, Routed]:
    """The library's own forward pass of the experts, for given choices and weights."""
    routing = Routing.from_choices(expert_NK, weight_NK, len(up_ED2F))
    params = _params(up_ED2F, down_EFD)
    router = make_router("topk", k=expert_NK.shape[1])
    return routing, routed_forward(router, "swiglu", params, x_ND, routing, keep=True)


def whole_layer(
    gate_DE: np.ndarray, up_ED2F: np.ndarray, down_EFD: np.ndarray, k: int, bias_E: Any = None
) -> MoELayer:
    """The library's own layer of these arrays; with a bias, one whose bias only selects."""
    router = make_router("topk", k=k)
    params = {"gate_DE": gate_DE} | _params(up_ED2F, down_EFD)
    buffers = {"select_bias_E": np.zeros(len(up_ED2F)) if bias_E is None else bias_E}
    return MoELayer(
        router, "swiglu", params, {n: b for n, b in buffers.items() if n in router.buffers}
    )


def silu(z: np.ndarray) -> np.ndarray:
    """Z times its sigmoid."""
    return np.asarray(z / (1 + np.exp(-z)))


@dataclass(frozen=True)
class Slips:
    """Which mistakes the plain layer makes.

    Attributes
    ----------
    overwrites
        A later result or gradient replaces an earlier one in place of being added.
    unweighted, first_only, halves_swapped, no_silu
        Of the forward pass.
    """

    overwrites: bool = False
    unweighted: bool = False
    first_only: bool = False
    halves_swapped: bool = False
    no_silu: bool = False


def forward(
    x_ND: np.ndarray,
    expert_NK: np.ndarray,
    weight_NK: np.ndarray,
    up_ED2F: np.ndarray,
    down_EFD: np.ndarray,
    slips: Slips = Slips(),
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
            active_F = gate_F if slips.no_silu else silu(gate_F)
            y_D = (active_F * value_F) @ down_EFD[e]
            y_D = y_D if slips.unweighted else weight_NK[n, rank] * y_D
            y_ND[n] = y_D if slips.overwrites else y_ND[n] + y_D
    return y_ND
