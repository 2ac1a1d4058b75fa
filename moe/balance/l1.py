"""ReMoE's adaptive L1 penalty: it steers how many experts ReLU routing uses."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..routing import Routing
from ..scores import logits_backward
from ..settings import option
from .base import Arrays, BalanceLoss, Balancer, scores_of

if TYPE_CHECKING:
    from ..routers import Router


@dataclass(frozen=True)
class AdaptiveL1(Balancer):
    """lambda * mean over tokens of sum_i f_i R_i; lambda follows the sparsity.

    After each batch lambda is multiplied by `growth` if fewer gates are zero than wanted,
    1 - k / E, and divided by it if more are. With f_i = E c_i / (k T) a busy expert pays more,
    which balances load as well; else f_i = 1. The paper averages over layers too; this is one.

    Parameters
    ----------
    strength
        lambda at first (ReMoE: 1e-8).
    growth
        alpha, the factor per batch (ReMoE: 1.2).
    k
        Experts per token to reach on average.
    balanced
        Weigh by load, as the authors' code does.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("relu").choose(np.array([[1.0, 2.0, -1.0], [1.0, -1.0, -1.0]]))
    >>> balancer = moe.make_balancer("l1", strength=1.0, k=1)
    >>> state = balancer.init_state(3)
    >>> balancer.loss(routing, state).value  # f = 3, 1.5, 0; mean R = 1, 1, 0
    4.5
    >>> balancer.update(state, routing)  # half of the gates are zero, 2/3 wanted
    >>> state["l1_strength_1"].tolist()
    [1.2]
    """

    name: ClassVar[str] = "l1"
    title: ClassVar[str] = "Adaptive L1 (ReMoE)"
    source: ClassVar[str] = "ReMoE, arXiv 2412.14711, section 3.3-3.4; thu-ml/ReMoE router.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= \frac{\lambda_n}{T} \sum_{t=1}^{T} \sum_{i=1}^{E} f_i R_{t,i},"
        r" \quad f_i = \frac{E}{k T} \#\{t : R_{t,i} > 0\} \\"
        r"\lambda_{n+1} &= \lambda_n\, \alpha^{\mathrm{sign}(S^* - S_n)},"
        r" \quad S^* = 1 - \frac{k}{E}"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "strength"
    short_run_rate: ClassVar[float] = 1e-3

    strength: float = option(1e-8, low=0)
    growth: float = option(1.2, low=1)
    k: int = option(2, low=1)
    balanced: bool = True

    def fits(self, router: Router) -> bool:
        """Whether the router's scores are ReLU's."""
        return router.name == "relu"

    def init_state(self, n_experts: int) -> Arrays:
        """Lambda."""
        return {"l1_strength_1": np.array([self.strength])}

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient; f is a count and has none."""
        scores_NE = scores_of(routing)
        now = state if state is not None and "l1_strength_1" in state else self.init_state(0)
        factor_E = np.full(routing.n_experts, float(now["l1_strength_1"][0]) / routing.n_tokens)
        if self.balanced:
            factor_E *= routing.n_experts / (self.k * routing.n_tokens) * routing.proposed_load
        value = float(factor_E @ scores_NE.sum(axis=0, dtype=np.float64))
        dscores_NE = np.broadcast_to(factor_E.astype(scores_NE.dtype), scores_NE.shape)
        return BalanceLoss(value, logits_backward(routing, dscores_NE))

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step lambda in place."""
        if not routing.n_tokens:
            return
        sparsity = 1 - routing.n_assignments / (routing.n_tokens * routing.n_experts)
        strength_1 = self._kept("l1_strength_1", buffers, routing.n_experts)
        strength_1 *= self.growth ** np.sign(1 - self.k / routing.n_experts - sparsity)
