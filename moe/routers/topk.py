"""Top-k token choice: each token goes to the k experts that score highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..settings import option
from .base import Arrays
from .fixed_k import FixedK, gather, steers


@dataclass(frozen=True)
class TopK(FixedK):
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
    norm_eps
        What `renormalize` adds to the sum (LFM2: 1e-6).
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
    softmax_order: str = option("before", among=("before", "after"))
    bias: bool = False
    scale: float = 1.0
    norm_min: float = 0.0
    norm_eps: float = 0.0
    weigh_input: bool = False

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Gate, and its bias if it has one, zero at first."""
        params = super().init_params(d_model, n_experts, rng)
        return params | {"gate_bias_E": np.zeros(n_experts)} if self.bias else params

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select the k best experts of each token; see `Router.choose`."""
        steered = steers(state.get("select_bias_E"), state.get("select_factor_E"))
        if steered or not self._over_chosen():
            return super().choose(logits_NE, rng=rng, token_ids=token_ids, **state)
        # The commonest gate has a kernel of its own, which reads the logits once.
        logits_NE = self._check_logits(logits_NE)
        expert_NK, weight_NK, scores_NE = kernels.softmax_topk(logits_NE, self.k)
        if self.scale != 1:
            weight_NK *= weight_NK.dtype.type(self.scale)
        return self._routing(logits_NE, scores_NE, self.score, expert_NK, weight_NK)

    def _over_chosen(self) -> bool:
        """Whether weights are the softmax over the chosen logits.

        It equals renormalised softmax scores, and never divides 0 by 0.
        """
        return self.score == "softmax" and (
            self.softmax_order == "after"
            or (self.renormalize and self.norm_min == self.norm_eps == 0)
        )

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Weights of these experts, (N, K); see `FixedK.weights`."""
        if not self._over_chosen():
            return super().weights(logits_NE, scores_NE, expert_NK)
        weight_NK = kernels.softmax(gather(logits_NE, expert_NK))
        return weight_NK * weight_NK.dtype.type(self.scale)

    def _backward(
        self, routing: Routing, expert_NK: np.ndarray, dweight_NK: np.ndarray
    ) -> np.ndarray:
        if not self._over_chosen():
            return super()._backward(routing, expert_NK, dweight_NK)
        weight_NK = routing.weight_A.reshape(expert_NK.shape)
        if self.scale != 1:
            dweight_NK = dweight_NK * dweight_NK.dtype.type(self.scale)
            weight_NK = weight_NK / weight_NK.dtype.type(self.scale)
        weight_NK = weight_NK.astype(dweight_NK.dtype, copy=False)
        return kernels.softmax_topk_backward(expert_NK, weight_NK, dweight_NK, routing.n_experts)
