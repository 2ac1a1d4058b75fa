"""BASE layers: an assignment in which every expert gets the same number of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import make_scores
from .base import Router
from .choice import broken_rows, choices, gather, scatter


@dataclass(frozen=True)
class BaseLayers(Router):
    """Maximise the sum of scores with N / E tokens per expert; weight sigmoid(l); k = 1.

    The assignment has no gradient; the weight has. It looks at the whole batch, which the authors
    shuffle over their workers first. If E does not divide N, N mod E experts may take one token
    more. Published gates start orthogonal, with columns of length 0.1.

    Parameters
    ----------
    balanced
        True while training; False takes each token's best expert, as at test time.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("base").choose(np.array([[3.0, 0.0], [2.0, 0.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1], [0.9526, 0.5])
    """

    name: ClassVar[str] = "base"
    title: ClassVar[str] = "BASE layers"
    source: ClassVar[str] = "BASE layers, arXiv 2103.16716, section 3.1; fairseq base_layer.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\ell &= x W \\"
        r"a &= \operatorname*{arg\,max}_{a} \sum_t \ell_{t, a_t} \\"
        r"&\phantom{=} \text{with } N / E \text{ tokens per expert} \\"
        r"w_{a_t} &= \sigma(\ell_{t, a_t})"
        r"\end{aligned}"
    )
    causal: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False

    balanced: bool = True

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Assign each token to one expert; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        if self.balanced:
            expert_N1 = kernels.balanced_assignment(_finite(logits_NE))[:, None]
        else:
            expert_N1 = kernels.topk(logits_NE, 1)
        scores_NE = make_scores(logits_NE, "sigmoid")
        weight_N1 = gather(scores_NE, expert_N1)
        weight_N1[broken_rows(logits_NE)] = np.nan
        return Routing.from_choices(
            expert_N1,
            weight_N1,
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score="sigmoid",
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, of the weights only."""
        weight_N1 = routing.weight_A[:, None]
        dchosen_N1 = dweight_A[:, None] * weight_N1 * (1 - weight_N1)
        return scatter(dchosen_N1, choices(routing), routing.n_experts)


def _finite(logits_NE: np.ndarray) -> np.ndarray:
    """Float64 scores, NaN and infinity replaced by the smallest number, as the authors do."""
    score_NE = logits_NE.astype(np.float64)
    good_NE = np.isfinite(score_NE)
    if not good_NE.all():
        score_NE[~good_NE] = score_NE[good_NE].min(initial=0.0)
    return np.asarray(score_NE)
