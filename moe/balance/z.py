"""The router z-loss: keeps logits small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer


@dataclass(frozen=True)
class ZLoss(Balancer):
    """coefficient * mean over tokens of logsumexp(logits)^2. Steadies training, balances little.

    Parameters
    ----------
    coefficient
        Strength; 1e-3 in ST-MoE.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("topk").choose(np.log([[1.0, 1.0, 2.0, 4.0]]))
    >>> round(moe.make_balancer("z", coefficient=1.0).loss(routing).value, 4)  # (ln 8)^2
    4.3241
    """

    name: ClassVar[str] = "z"
    title: ClassVar[str] = "Router z-loss"
    source: ClassVar[str] = "ST-MoE, arXiv 2202.08906, equation 5"
    formula: ClassVar[str] = (
        r"\mathcal L = \frac{\alpha}{T} \sum_{t=1}^{T}"
        r" \Big(\ln \sum_{i=1}^{E} \exp(\ell_{t,i})\Big)^2"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 1e-3

    coefficient: float = option(1e-3, low=0)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient: 2 * logsumexp * softmax / N."""
        if routing.logits_NE is None:
            raise ValueError("routing: got one without logits, allowed is a router with a gate")
        logits_NE = routing.logits_NE
        top_N1 = logits_NE.max(axis=1, keepdims=True)
        z_N1 = np.log(np.exp(logits_NE - top_N1).sum(axis=1, keepdims=True)) + top_N1
        value = self.coefficient * float((z_N1.astype(np.float64) ** 2).mean())
        factor_N1 = (2 * self.coefficient / routing.n_tokens * z_N1).astype(logits_NE.dtype)
        return BalanceLoss(value, factor_N1 * kernels.softmax(logits_NE))
