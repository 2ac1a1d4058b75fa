"""BASE layers: an assignment in which every expert gets the same number of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from .fixed_k import FixedK, broken_rows, scatter_list


@dataclass(frozen=True)
class BaseLayers(FixedK):
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

    score = "sigmoid"

    balanced: bool = True

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """One expert for each token, (N, 1): the assignment, or the best one."""
        if self.balanced:
            return kernels.balanced_assignment(_finite(logits_NE))[:, None]
        return kernels.topk(logits_NE, 1)

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Scores of these experts; the assignment does not see a broken logit, so they show it."""
        weight_NK = super().weights(logits_NE, scores_NE, expert_NK)
        weight_NK[broken_rows(logits_NE)] = np.nan
        return weight_NK

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, of the weights only: a token with a NaN weight gets NaN."""
        dchosen_A = dweight_A * routing.weight_A * (1 - routing.weight_A)
        return scatter_list(routing, dchosen_A)


def _finite(logits_NE: np.ndarray) -> np.ndarray:
    """Float64 scores, NaN and infinity replaced by the smallest number, as the authors do."""
    score_NE = logits_NE.astype(np.float64)
    good_NE = np.isfinite(score_NE)
    if not good_NE.all():
        score_NE[~good_NE] = score_NE[good_NE].min(initial=0.0)
    return np.asarray(score_NE)
