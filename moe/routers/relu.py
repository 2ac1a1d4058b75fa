"""ReMoE: ReLU instead of top-k, differentiable everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import make_scores
from .base import Router
from .fixed_k import gather, scatter_list


@dataclass(frozen=True)
class ReLU(Router):
    """Weight max(l, 0); experts with a positive weight run. How many is learnt.

    The balancer `l1` steers sparsity by an adaptive penalty on the sum of weights.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("relu").choose(np.array([[0.5, -1.0, 2.0, 0.0]]))
    >>> r.expert_A.tolist(), r.weight_A.tolist()
    ([2, 0], [2.0, 0.5])
    """

    name: ClassVar[str] = "relu"
    title: ClassVar[str] = "ReLU routing (ReMoE)"
    source: ClassVar[str] = "ReMoE, arXiv 2412.14711, section 3"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"w &= \max(x W, 0) \\"
        r"T &= \{ e : w_e > 0 \}"
        r"\end{aligned}"
    )

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """List every expert with a positive logit; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, "relu")
        expert_NE = kernels.topk(scores_NE, logits_NE.shape[1])
        weight_NE = gather(scores_NE, expert_NE)
        listed_NE = ~(weight_NE <= 0)  # NaN too
        return self._routing(
            logits_NE, scores_NE, "relu", expert_NE, weight_NE, listed_NK=listed_NE
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits: that of each positive weight."""
        return scatter_list(routing, dweight_A)
