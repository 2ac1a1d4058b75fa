"""Top-p: as many experts as it takes to hold a share p of the probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import logits_backward, make_scores
from ..settings import option
from .base import Router
from .fixed_k import gather, scatter_list


@dataclass(frozen=True)
class TopP(Router):
    """The smallest set of experts whose probabilities reach p; weights are the probabilities.

    Unsure tokens get more experts, sure ones fewer.

    Parameters
    ----------
    p
        Share of the probability to reach (published: 0.4).

    Examples
    --------
    >>> import numpy as np, moe
    >>> logits_NE = np.log([[0.7, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2]])
    >>> r = moe.make_router("top_p", p=0.5).choose(logits_NE)
    >>> r.token_A.tolist(), r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1, 1], [0, 0, 1], [0.7, 0.3, 0.3])
    """

    name: ClassVar[str] = "top_p"
    title: ClassVar[str] = "Top-p (dynamic number)"
    source: ClassVar[str] = "Harder tasks need more experts, arXiv 2403.07652, section 3.1"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}(x W), \quad p_{(1)} \ge p_{(2)} \ge \dots \\"
        r"t &= \min \Big\{ t : \sum_{i \le t} p_{(i)} \ge P \Big\} \\"
        r"w_e &= p_e \ \text{ for the } t \text{ largest}"
        r"\end{aligned}"
    )

    p: float = option(0.4, low=0, high=1, open_low=True)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Take experts until their share is reached; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, "softmax")
        expert_NE = kernels.topk(logits_NE, logits_NE.shape[1])
        weight_NE = gather(scores_NE, expert_NE)
        # An expert is taken while those before it hold less than p; the first one always is.
        listed_NE = np.ones(expert_NE.shape, bool)
        listed_NE[:, 1:] = np.cumsum(weight_NE, axis=1)[:, :-1] < self.p
        return self._routing(
            logits_NE, scores_NE, "softmax", expert_NE, weight_NE, listed_NK=listed_NE
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        return logits_backward(routing, scatter_list(routing, dweight_A))
