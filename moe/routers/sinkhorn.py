"""Sinkhorn: selection from a nearly doubly balanced matrix, weights from the plain logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..settings import option
from .fixed_k import FixedK, broken_rows


def sinkhorn(logits_NE: np.ndarray, tolerance: float, max_steps: int) -> np.ndarray:
    """Logs of a balanced plan's entries, up to a constant of each token's own, (N, E) float64.

    The plan is exp(logits) scaled until every token gives 1 / N and every expert gets 1 / E. It
    stops once the experts' factors d1 change by no more than `tolerance` on average, as in
    Megatron-Core. Each token's largest logit is subtracted, which leaves d1 the same; Megatron's
    exp overflows for large logits, and its 1e-8 in both denominators has no use here. Tokens whose
    logits are not numbers have no part in the plan.
    """
    cost_NE = logits_NE.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cost_NE = np.exp(cost_NE - cost_NE.max(axis=1, keepdims=True, initial=-np.inf))
    cost_NE = cost_NE[~broken_rows(cost_NE)]
    n_tokens, n_experts = cost_NE.shape
    d1_E = np.ones(n_experts)
    if n_tokens:
        cost_NE = np.maximum(cost_NE, 1e-300)
        for _ in range(max_steps):
            before_E = d1_E
            d0_N = 1 / (n_tokens * (cost_NE @ d1_E))
            d1_E = 1 / (n_experts * (d0_N @ cost_NE))
            if np.abs(d1_E - before_E).mean() <= tolerance:
                break
    return np.asarray(logits_NE + np.log(d1_E))


@dataclass(frozen=True)
class Sinkhorn(FixedK):
    """Top-k of a balanced transport plan; weights sigmoid(l) for k = 1, softmax(l) else.

    The plan only selects and has no gradient. It looks at the whole batch, so a later token can
    change an earlier one's experts.

    Parameters
    ----------
    k
        Experts per token.
    balanced
        True while training; False takes each token's best experts, as at test time.
    tolerance, max_steps
        When the scaling stops; Megatron-Core has no limit on steps.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("sinkhorn", k=1).choose(np.array([[3.0, 0.0], [2.0, 0.0]]))
    >>> # both like expert 0; the one that likes it less goes elsewhere, with weight sigmoid(0)
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1], [0.9526, 0.5])
    """

    name: ClassVar[str] = "sinkhorn"
    title: ClassVar[str] = "Sinkhorn (S-BASE)"
    source: ClassVar[str] = "Unified scaling laws, arXiv 2202.01169; Megatron-Core moe_utils.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\Pi &= \operatorname{diag}(d_0) \exp(X W) \operatorname{diag}(d_1) \\"
        r"\Pi \mathbf{1} &= \tfrac{1}{N}, \quad \Pi^\top \mathbf{1} = \tfrac{1}{E} \\"
        r"T &= \operatorname{top}_k(\Pi_t) \\"
        r"w_e &= \sigma(\ell_e) \text{ if } k = 1, \text{ else } \operatorname{softmax}(\ell)_e"
        r"\end{aligned}"
    )
    causal: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False

    k: int = 2
    balanced: bool = True
    tolerance: float = option(1e-4, low=0)
    max_steps: int = option(1000, low=1)

    @property
    def score(self) -> str:  # type: ignore[override]  # of the value that depends on k
        """'sigmoid' for one choice, else 'softmax'."""
        return "sigmoid" if self.k == 1 else "softmax"

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Experts with the largest entries of the balanced plan, (N, K)."""
        wanted_NE = logits_NE
        if self.balanced:
            # Entries that differ by rounding only are a tie: a single token's plan is even.
            wanted_NE = sinkhorn(logits_NE, self.tolerance, self.max_steps).round(9)
        return kernels.topk(wanted_NE, self.k)
