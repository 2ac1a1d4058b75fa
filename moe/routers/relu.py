"""ReMoE: ReLU instead of top-k, differentiable everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..routing import Routing
from .fixed_k import ScoreRouter, scatter_list


@dataclass(frozen=True)
class ReLU(ScoreRouter):
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

    score = "relu"

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """All experts by their weights: zeros are equal, which is faster to sort than logits."""
        return super().select(scores_NE, scores_NE)

    def narrow(
        self, expert_NK: np.ndarray, weight_NK: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, Any]:
        """Every expert with a positive weight, or with NaN."""
        return {"listed_NK": ~(weight_NK <= 0)}

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits: that of each positive weight."""
        return scatter_list(routing, dweight_A)
