"""The auxiliary load-balancing loss, in its published scales and scopes."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routers.fixed_k import steers
from ..routing import Routing
from ..settings import option
from .base import Arrays, BalanceLoss, Balancer, choices_per_token, equal_lengths
from .scope import count_per_sequence, product_loss

SCOPES = ("batch", "sequence", "global")


@dataclass(frozen=True)
class Scale:
    """How one publication counts f in coefficient * E * sum_i f_i P_i.

    Attributes
    ----------
    first_only
        Only each token's first choice counts.
    per_choice
        f_i is a share of all choices (sums to 1), not of the tokens (sums to k).
    wording
        f as its source writes it.
    source
        Where it is from.
    """

    first_only: bool
    per_choice: bool
    wording: str
    source: str

    def at_uniform(self, k: int) -> float:
        """Value at uniform load and uniform P, in units of the coefficient."""
        return 1.0 if self.first_only or self.per_choice else float(k)


SCALES: dict[str, Scale] = {
    "switch": Scale(
        True, False, r"E \sum_i f_i P_i,\ f_i = \tfrac1T \#\{\text{first choice}=i\}",
        "Switch Transformers, arXiv 2101.03961, equations 4-6 (k = 1)",
    ),
    "megatron": Scale(
        False, True, r"\tfrac{E}{k T^2} \sum_i c_i \sum_t p_{t,i}",
        "Megatron-Core moe_utils.py, switch_load_balancing_loss_func",
    ),
    "flaxformer": Scale(
        False, False, r"E^2\, \mathrm{mean}_i(f_i P_i),\ f_i = \tfrac{c_i}{T}",
        "flaxformer routing.py; transformers' load_balancing_loss_func",
    ),
    "deepspeed": Scale(
        True, False, r"E^2\, \mathrm{mean}_i(f_i P_i),\ f_i = \tfrac1T \#\{\text{first choice}=i\}",
        "DeepSpeed sharded_moe.py, top2gating",
    ),
    "deepseek": Scale(
        False, True, r"\sum_i f_i P_i,\ f_i = \tfrac{E}{k T} c_i",
        "DeepSeekMoE, arXiv 2401.06066, equations 12-14; DeepSeek-V3, arXiv 2412.19437, 17-20",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class AuxLoss(Balancer):
    """coefficient * E * sum_i f_i P_i: f counts choices, P averages the affinities.

    Publications differ in f: `switch` and `deepspeed` count first choices, `megatron` and
    `deepseek` share f out over all k choices; all four are worth the coefficient at uniform load.
    `flaxformer` (and Hugging Face) counts all choices per token and is worth k times that. So there
    are two values at uniform load and three where it is uneven, as in the example. Uniform load is
    not a lower bound: f and P may be anti-correlated. See `SCALES`.

    Where a bias steers the selection, f counts the k best unbiased scores instead (DeepSeek-V3,
    equation 18; Megatron's compute_routing_scores_for_aux_loss).

    Parameters
    ----------
    coefficient
        Strength; 1e-2 in Switch Transformers, 1e-4 for DeepSeek-V3's sequences.
    scale
        A key of `SCALES`.
    scope
        'batch'; 'sequence': the mean over sequences of `sequence_length` tokens; 'global': f
        from the last `window` batches, P from this one, as Megatron's global_aux_loss and Qiu
        et al. (arXiv 2501.11873) do across the micro-batches of one step.
    sequence_length
        Tokens of a sequence; consecutive tokens of the batch. `loss` takes `length_S` where they
        are not equally long.
    window
        Batches that f is counted over, this one included.

    Examples
    --------
    >>> import numpy as np, moe
    >>> p_NE = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1]])
    >>> routing = moe.make_router("topk", k=2).choose(np.log(p_NE))  # c = 1, 2, 1, 0
    >>> for scale in ("switch", "megatron", "flaxformer"):
    ...     loss = moe.make_balancer("aux", coefficient=1.0, scale=scale).loss(routing)
    ...     print(scale, round(loss.value, 4))
    switch 1.4
    megatron 1.25
    flaxformer 2.5
    """

    name: ClassVar[str] = "aux"
    title: ClassVar[str] = "Auxiliary loss"
    source: ClassVar[str] = (
        "Switch Transformers, arXiv 2101.03961, equations 4-6; Megatron-Core moe_utils.py"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= \alpha\, E \sum_{i=1}^{E} f_i P_i \\"
        r"f_i &= \frac{c_i}{k T}, \quad P_i = \frac1T \sum_{t=1}^{T} p_{t,i}"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.3

    coefficient: float = option(1e-2, low=0)
    scale: str = option("megatron", among=SCALES)
    scope: str = option("batch", among=SCOPES)
    sequence_length: int = option(1, low=1)
    window: int = option(8, low=1)

    @property
    def sequence_tokens(self) -> int | None:
        """`sequence_length`, with scope 'sequence'."""
        return self.sequence_length if self.scope == "sequence" else None

    def init_state(self, n_experts: int) -> Arrays:
        """Counts and tokens of the batches before this one, newest first (scope 'global')."""
        if self.scope != "global":
            return {}
        before = self.window - 1
        return {"aux_count_WE": np.zeros((before, n_experts)), "aux_tokens_W": np.zeros(before)}

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient; f is a count and has none."""
        count_SE = self._count(routing, state, length_S).astype(np.float64)
        tokens_S = length_S.astype(np.float64)
        if self.scope == "global" and state is not None and "aux_count_WE" in state:
            count_SE = count_SE + state["aux_count_WE"].sum(axis=0)
            tokens_S = tokens_S + state["aux_tokens_W"].sum()
        per_S = count_SE.sum(axis=1) if SCALES[self.scale].per_choice else tokens_S
        f_SE = count_SE / np.maximum(per_S, 1)[:, None]
        return product_loss(routing, self.coefficient * routing.n_experts * f_SE, length_S)

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Remember this batch's counts (scope 'global')."""
        if self.scope != "global" or self.window == 1:
            return
        count_WE = self._kept("aux_count_WE", buffers, routing.n_experts)
        tokens_W = self._kept("aux_tokens_W", buffers, routing.n_experts)
        count_WE[1:], tokens_W[1:] = count_WE[:-1].copy(), tokens_W[:-1].copy()
        count_WE[0] = self._count(routing, buffers, equal_lengths(routing.n_tokens)).sum(axis=0)
        tokens_W[0] = routing.n_tokens

    def _count(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> np.ndarray:
        token_A, expert_A, rank_A = routing.token_A, routing.expert_A, routing.rank_A
        if is_steered(state):
            assert routing.logits_NE is not None  # scores rise with logits
            expert_NK = kernels.topk(routing.logits_NE, choices_per_token(routing))
            expert_A = expert_NK.reshape(-1)
            rank_A = np.tile(np.arange(expert_NK.shape[1]), routing.n_tokens)
            token_A = np.repeat(np.arange(routing.n_tokens), expert_NK.shape[1])
        if SCALES[self.scale].first_only:
            token_A, expert_A = token_A[rank_A == 0], expert_A[rank_A == 0]
        return count_per_sequence(token_A, expert_A, routing.n_experts, length_S)


def is_steered(state: Mapping[str, np.ndarray] | None) -> bool:
    """Whether the layer's buffers change who is selected."""
    return state is not None and steers(state.get("select_bias_E"), state.get("select_factor_E"))
