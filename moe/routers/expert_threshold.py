"""Expert Threshold: an expert takes every token above its own bar, a quantile of past tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import make_scores
from .fixed_k import ScoreRouter, bars, broken_rows, gather


@dataclass(frozen=True)
class ExpertThreshold(ScoreRouter):
    """Expert e runs where its logit is above c_e, weighted by the sigmoid of the logit.

    It is expert choice over all tokens there ever are: the balancer `cutoff_ema` keeps c_e at the
    logit that a share k / E of them exceeds, so that load is even in the mean, a token gets as many
    experts as want it, and no other token of its batch matters, in training and afterwards. Without
    that balancer all bars are 0. The authors' models have a shared expert besides, for the tokens
    that no expert wants. Their code also takes a logit that equals the bar, which the paper and
    this router do not.

    Examples
    --------
    >>> import numpy as np, moe
    >>> logits_NE = np.array([[0.5, -0.1, 0.2], [-1.0, -0.5, 0.1]])
    >>> bars_E = np.array([0, 0, 0.15])
    >>> r = moe.make_router("expert_threshold").choose(logits_NE, threshold_E=bars_E)
    >>> r.token_A.tolist(), r.expert_A.tolist(), r.weight_A.round(3).tolist()
    ([0, 0], [0, 2], [0.622, 0.55])
    """

    name: ClassVar[str] = "expert_threshold"
    title: ClassVar[str] = "Expert Threshold"
    source: ClassVar[str] = (
        "Expert Threshold Routing, arXiv 2603.11535, section 3, equation 6 and algorithm 1; "
        "MasterGodzilla/Expert-Threshold-Routing engines/common.py"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\ell &= x W \\"
        r"T &= \{ e : \ell_e > c_e \} \\"
        r"w_e &= \sigma(\ell_e), \quad e \in T"
        r"\end{aligned}"
    )
    buffers: ClassVar[tuple[str, ...]] = ("threshold_E",)

    score = "sigmoid"

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        threshold_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Take every expert above its bar (0 if not given); see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, self.score)
        # By how far they are above their bars, so that those which are stand before those which
        # are not. A token with NaN keeps it: the broken expert ranks first, its weight is NaN.
        above_NE = np.asarray(logits_NE - bars(threshold_E, logits_NE))
        expert_NE = kernels.topk(above_NE, logits_NE.shape[1])
        listed_NE = gather(above_NE, expert_NE) > 0
        listed_NE[broken_rows(logits_NE), :1] = True
        weight_NE = self.weights(logits_NE, scores_NE, expert_NE)
        more = {"listed_NK": listed_NE}
        return self._routing(logits_NE, scores_NE, self.score, expert_NE, weight_NE, **more)
