"""Top-k token choice: each token goes to the k experts that score highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_choice, check_float, check_int
from ..routing import Routing
from ..scores import make_scores, scores_backward
from .base import Router, check_k, check_score
from .choice import (
    biased,
    choices,
    gather,
    normalize,
    normalize_backward,
    scatter,
    steers,
)


@dataclass(frozen=True)
class TopK(Router):
    """Top-k of softmax or sigmoid scores (Mixtral, Qwen, OLMoE, gpt-oss).

    Parameters
    ----------
    k
        Experts per token.
    score
        'softmax' over experts, or 'sigmoid' of each logit.
    renormalize
        Divide the chosen scores by their sum (Mixtral, Qwen3: yes; OLMoE, DeepSeekMoE: no).
        With k = 1 the weight is then always 1 and the gate gets no gradient: see `gate_learns`.
    softmax_order
        'before' selection, over all experts; or 'after', over the chosen logits (gpt-oss). With
        `renormalize` both are the same algebra.
    bias
        The gate has a learned bias (gpt-oss).
    scale
        Factor on all weights.
    norm_min
        Least sum that `renormalize` divides by (ERNIE 4.5).
    weigh_input
        The weight multiplies the expert's input and not its result (Llama 4, whose weights are
        sigmoids that are not renormalised).

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("topk", k=2).choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 1], [0.6667, 0.3333])
    """

    name: ClassVar[str] = "topk"
    title: ClassVar[str] = "Top-k token choice"
    source: ClassVar[str] = "Mixtral, arXiv 2401.04088, section 2.1"
    reroutable: ClassVar[bool] = True
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}(x W) \\"
        r"T &= \operatorname{top}_k(p) \\"
        r"w_e &= p_e \Big/ \sum_{j \in T} p_j, \quad e \in T"
        r"\end{aligned}"
    )
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    k: int = 2
    score: str = "softmax"
    renormalize: bool = True
    softmax_order: str = "before"
    bias: bool = False
    scale: float = 1.0
    norm_min: float = 0.0
    weigh_input: bool = False

    def __post_init__(self) -> None:
        check_int("k", self.k, 1)
        check_score(self.score)
        check_choice("softmax_order", self.softmax_order, ("before", "after"))
        check_float("scale", self.scale, 0.0, open_low=True)
        check_float("norm_min", self.norm_min, 0.0)

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless 1 <= k <= n_experts."""
        super().check(n_experts)
        check_k(self.k, n_experts)

    @property
    def has_gate_bias(self) -> bool:
        """Whether the gate has a learned bias."""
        return self.bias

    @property
    def gate_learns(self) -> bool:
        """Not with one renormalised choice; `norm_min` leaves a score below it as it is."""
        return not (self.k == 1 and self.renormalize and self.norm_min == 0)

    @property
    def weighs_input(self) -> bool:
        """Whether experts get w x; see `Router.weighs_input`."""
        return self.weigh_input

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        select_bias_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select the k best experts of each token; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        select_factor_E = state.get("select_factor_E")
        if self._over_chosen() and not steers(select_bias_E, select_factor_E):
            expert_NK, weight_NK, scores_NE = kernels.softmax_topk(logits_NE, self.k)
            if self.scale != 1:
                weight_NK *= weight_NK.dtype.type(self.scale)
        else:
            scores_NE = make_scores(logits_NE, self.score)
            selection_NE = biased(scores_NE, select_bias_E, select_factor_E)
            # Scores rise with logits, and logits still differ where scores round to 0 or 1.
            expert_NK = kernels.topk(
                logits_NE if selection_NE is scores_NE else selection_NE, self.k
            )
            weight_NK = self._weights(logits_NE, scores_NE, expert_NK)
        return Routing.from_choices(
            expert_NK,
            weight_NK,
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=self.score,
        )

    def _over_chosen(self) -> bool:
        return self.score == "softmax" and (
            self.softmax_order == "after" or (self.renormalize and self.norm_min == 0)
        )

    def _weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        if self._over_chosen():
            # Softmax over the chosen logits equals renormalised scores and never divides 0 by 0.
            weight_NK = np.asarray(kernels.softmax(gather(logits_NE, expert_NK)))
        else:
            weight_NK = gather(scores_NE, expert_NK)
            weight_NK = normalize(weight_NK, self.norm_min) if self.renormalize else weight_NK
        return weight_NK * weight_NK.dtype.type(self.scale)

    def weigh(self, routing: Routing) -> np.ndarray:
        """Weights of the experts that assignments went to; see `Router.weigh`."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        weight_NK = self._weights(routing.logits_NE, routing.scores_NE, choices(routing))
        return weight_NK.reshape(-1)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        expert_NK = choices(routing)
        dweight_NK = dweight_A.reshape(expert_NK.shape)
        if self.scale != 1:
            dweight_NK = dweight_NK * dweight_A.dtype.type(self.scale)
        assert routing.logits_NE is not None and routing.scores_NE is not None
        if self._over_chosen():
            weight_NK = routing.weight_A.reshape(expert_NK.shape)
            if self.scale != 1:
                weight_NK = weight_NK / weight_NK.dtype.type(self.scale)
            weight_NK = weight_NK.astype(dweight_A.dtype, copy=False)
            return np.asarray(
                kernels.softmax_topk_backward(expert_NK, weight_NK, dweight_NK, routing.n_experts)
            )
        chosen_NK = gather(routing.scores_NE, expert_NK)
        if self.renormalize:
            dweight_NK = normalize_backward(chosen_NK, dweight_NK, self.norm_min)
        dscores_NE = scatter(dweight_NK, expert_NK, routing.n_experts)
        return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, self.score)
