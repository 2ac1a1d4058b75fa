"""Counted cost of a feed-forward layer, dense or mixture of experts; formulas, no measuring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import check_choice, check_float, check_int
from ..experts import expert_flops, n_matrices
from .shape import MOST


def expected_experts(n_experts: int, k: int, n_tokens: int) -> float:
    """Experts that a batch touches if each token picks k of E at random: E (1 - (1 - k/E)^N)."""
    check_int("n_experts", n_experts, 1)
    check_int("k", k, 1, n_experts, f"n_experts is {n_experts}")
    check_int("n_tokens", n_tokens, 0, MOST)
    return float(n_experts * (1 - (1 - k / n_experts) ** n_tokens))


@dataclass(frozen=True)
class FeedForward:
    """Shape of a feed-forward layer; a dense layer is one expert of its width, always chosen.

    Parameters
    ----------
    d_model, d_expert, n_experts, k, n_shared
        D, F, E, K and the number of shared experts of width F.
    activation
        'swiglu' (three matrices an expert), 'gelu' or 'relu' (two).
    gated
        Whether there is a router; false for dense layers.
    """

    d_model: int
    d_expert: int
    n_experts: int = 1
    k: int = 1
    n_shared: int = 0
    activation: str = "swiglu"
    gated: bool = True

    def __post_init__(self) -> None:
        check_int("d_model", self.d_model, 1)
        check_int("d_expert", self.d_expert, 1)
        check_int("n_experts", self.n_experts, 1)
        check_int("k", self.k, 1, self.n_experts, f"n_experts is {self.n_experts}")
        check_int("n_shared", self.n_shared, 0)

    @property
    def expert_params(self) -> int:
        """Weights of one expert."""
        return n_matrices(self.activation) * self.d_model * self.d_expert

    @property
    def router_params(self) -> int:
        """Weights of the gate, D * E."""
        return self.d_model * self.n_experts if self.gated else 0

    @property
    def total_params(self) -> int:
        """Weights that must be stored."""
        return (self.n_experts + self.n_shared) * self.expert_params + self.router_params

    @property
    def active_params(self) -> int:
        """Weights that one token uses."""
        return (self.k + self.n_shared) * self.expert_params + self.router_params

    @property
    def flops_per_token(self) -> int:
        """Forward floating-point operations of one token, 2 per multiply-add, gate included."""
        experts = self.k + self.n_shared
        return experts * expert_flops(self.d_model, self.d_expert, self.activation) + (
            2 * self.router_params
        )

    def weight_bytes(self, n_tokens: int, bytes_per_weight: int = 4) -> float:
        """Bytes of weights that a batch must read, expected under uniform routing."""
        touched = expected_experts(self.n_experts, self.k, n_tokens) + self.n_shared
        return bytes_per_weight * (touched * self.expert_params + self.router_params)

    def dense(self, parameters: str) -> FeedForward:
        """Return the dense layer with as many 'total' or 'active' expert weights."""
        check_choice("parameters", parameters, ("total", "active"))
        experts = self.n_shared + (self.n_experts if parameters == "total" else self.k)
        return replace(
            self, d_expert=experts * self.d_expert, n_experts=1, k=1, n_shared=0, gated=False
        )

    def seconds(self, n_tokens: int, flops_per_s: float, bytes_per_s: float) -> float:
        """Roofline time of a batch: arithmetic or reading weights, whichever takes longer."""
        return max(
            n_tokens * self.flops_per_token / flops_per_s, self.weight_bytes(n_tokens) / bytes_per_s
        )

    def all_read_batch(self, share: float = 0.9) -> int:
        """Smallest batch that touches at least this share of the experts, in expectation.

        Raises
        ------
        ValueError
            If the share is not in (0, 1].
        """
        least = check_float("share", share, 0.0, 1.0, open_low=True) * self.n_experts
        return _smallest(lambda n: expected_experts(self.n_experts, self.k, n) >= least)

    def break_even_batch(self, flops_per_s: float, bytes_per_s: float) -> int:
        """Smallest batch whose arithmetic takes as long as reading its weights.

        Below it the layer waits for weights that few tokens share, and fewer operations save no
        time; from it on, time follows the operations. By the roofline of `seconds`; larger
        batches only help, as bytes per token fall.

        Raises
        ------
        ValueError
            If a speed is not a finite number > 0.
        """
        check_float("flops_per_s", flops_per_s, 0.0, open_low=True)
        check_float("bytes_per_s", bytes_per_s, 0.0, open_low=True)

        def hidden(n_tokens: int) -> bool:
            reading = self.weight_bytes(n_tokens) / bytes_per_s
            return n_tokens * self.flops_per_token / flops_per_s >= reading

        return _smallest(hidden)


def _smallest(holds: Callable[[int], bool]) -> int:
    """The smallest batch for which something holds that then holds for all larger ones."""
    low, high = 0, 1
    while not holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
