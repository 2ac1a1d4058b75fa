"""Entropy of the scores: top-p's reason to be sure, and so to use few experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer, affinity, affinity_backward


@dataclass(frozen=True)
class EntropyLoss(Balancer):
    """coefficient * mean over tokens of the entropy of its affinities, in nats.

    Top-p takes as many experts as it needs; undecided tokens would take nearly all. This makes
    them decide. It does not balance load: join it with `aux`, as its paper does.

    Parameters
    ----------
    coefficient
        Strength; 1e-4 in the paper, beside an auxiliary loss of 1e-2.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("top_p").choose(np.log([[0.5, 0.25, 0.25]]))
    >>> round(moe.make_balancer("entropy", coefficient=1.0).loss(routing).value, 4)  # 1.5 ln 2
    1.0397
    """

    name: ClassVar[str] = "entropy"
    title: ClassVar[str] = "Entropy of the scores"
    source: ClassVar[str] = "Harder tasks need more experts, arXiv 2403.07652, section 3.2"
    formula: ClassVar[str] = (
        r"\mathcal L = -\frac{\beta}{T} \sum_{t=1}^{T} \sum_{i=1}^{E} p_{t,i} \ln p_{t,i}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 1e-2

    coefficient: float = option(1e-4, low=0)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient."""
        p_NE = affinity(routing)
        log_NE = np.log(np.maximum(p_NE, np.finfo(p_NE.dtype).tiny))
        factor = self.coefficient / routing.n_tokens
        value = -factor * float((p_NE * log_NE).sum(dtype=np.float64))
        dp_NE = p_NE.dtype.type(-factor) * (log_NE + 1)
        return BalanceLoss(value, affinity_backward(routing, dp_NE))
