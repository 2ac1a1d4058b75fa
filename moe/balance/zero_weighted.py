"""MoE++'s loss: choosing an expert that computes nothing costs less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer
from .scope import product_loss


@dataclass(frozen=True)
class ZeroWeightedLoss(Balancer):
    """coefficient * sum_i eta_i f_i P_i, eta = 1 for computing experts and tau for the others.

    f_i = c_i / T; there is no factor E, unlike in the auxiliary losses of others. A smaller tau
    sends more tokens to the experts that compute nothing.

    Parameters
    ----------
    coefficient
        Strength, beta; 0.01 in MoE++.
    tau
        0.1 to 1 in MoE++; 0.75 in its largest model.

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("moe_pp", k=1, n_constant=0, n_copy=1, n_zero=0)
    >>> routing = router.choose(np.log([[0.6, 0.4], [0.2, 0.8]]))  # f = .5, .5; P = .4, .6
    >>> balancer = moe.make_balancer("zero_weighted", coefficient=1.0, tau=0.5)
    >>> round(balancer.loss(routing).value, 4)
    0.35
    """

    name: ClassVar[str] = "zero_weighted"
    title: ClassVar[str] = "Zero-computation weighting (MoE++)"
    source: ClassVar[str] = "MoE++, arXiv 2410.07348, equations 7 and 9, appendix B.2"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= \beta \sum_{i=1}^{E} \eta_i f_i P_i, \quad f_i = \frac{c_i}{T} \\"
        r"\eta_i &= 1 \text{ if expert } i \text{ computes, else } \tau"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    needs_specials: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.3

    coefficient: float = option(0.01, low=0)
    tau: float = option(0.75, low=0)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient; f is a count and has none."""
        eta_E = np.ones(routing.n_experts)
        eta_E[routing.n_experts - routing.n_special :] = self.tau
        f_E = routing.proposed_load / max(routing.n_tokens, 1)
        f_1E = (self.coefficient * eta_E * f_E)[None]
        return product_loss(routing, f_1E, length_S)
