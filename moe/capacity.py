"""Which assignments get in: a limit per expert, and who is dropped when it is full."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import check_choice, check_float
from .routing import Routing

DROP_POLICIES = ("none", "order", "score")


@dataclass(frozen=True)
class Capacity:
    """Limit of ceil(A / E * factor) assignments per expert.

    Parameters
    ----------
    factor
        Room per expert over the fair share of the A assignments; 1.0-2.0 in Switch
        Transformers (arXiv 2101.03961, equation 3).
    drop
        'order': earlier tokens stay; 'score': larger weights stay (a later token may then
        displace an earlier one); 'none': nobody is dropped.
    """

    factor: float = 1.25
    drop: str = "order"

    def __post_init__(self) -> None:
        check_float("capacity_factor", self.factor, 0.0, open_low=True)
        check_choice("drop", self.drop, DROP_POLICIES)

    @property
    def causal(self) -> bool:
        """False if a future token can change what an earlier token gets.

        By order it cannot: a token's assignments are only behind earlier ones.
        """
        return self.drop != "score"

    def limit(self, routing: Routing) -> int:
        """Assignments that each expert accepts."""
        return math.ceil(routing.n_assignments / routing.n_experts * self.factor)

    def apply(self, routing: Routing, rng: np.random.Generator | None = None) -> Routing:
        """Return the routing with `kept_A` false for assignments beyond the limit."""
        if self.drop == "none":
            return routing
        if self.drop == "order":
            order = np.lexsort((routing.rank_A, routing.token_A, routing.expert_A))
        else:
            order = np.lexsort((routing.token_A, -routing.weight_A, routing.expert_A))
        expert_A = routing.expert_A[order]
        first_E = np.searchsorted(expert_A, np.arange(routing.n_experts))
        place_A = np.arange(expert_A.size) - first_E[expert_A]
        kept_A = np.empty(expert_A.size, bool)
        kept_A[order] = place_A < self.limit(routing)
        return routing.with_kept(kept_A & routing.kept_A)


NO_LIMIT = Capacity(drop="none")
