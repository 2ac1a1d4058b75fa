"""What GShard's and ST-MoE's gates share: two choices, the second one not always taken."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import kernels
from ..errors import check_int
from ..routing import Routing
from .fixed_k import FixedK


@dataclass(frozen=True)
class TwoChoices(FixedK):
    """Top-2 with weights p1 / (p1 + p2) and p2 / (p1 + p2); subclasses say when p2 is taken."""

    k = 2
    renormalize = True

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless there are two experts to choose."""
        check_int("n_experts", n_experts, 2)

    @abstractmethod
    def takes_second(self, weight_N: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """For which tokens the second choice, of this normalised weight, is taken, (N,) bool."""

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """First and second choice of each token, (N, 2); no balancer steers them."""
        return kernels.topk(logits_NE, 2)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select one or two experts per token; see `Router.choose`."""
        both = super().choose(logits_NE, rng=rng, token_ids=token_ids, **state)
        listed_A = np.ones(both.n_assignments, bool)
        listed_A[1::2] = self.takes_second(both.weight_A[1::2], rng)
        names = ("token_A", "expert_A", "weight_A", "rank_A", "kept_A")
        taken: dict[str, Any] = {name: getattr(both, name)[listed_A] for name in names}
        return replace(both, saved={"expert_N2": both.expert_A.reshape(-1, 2)}, **taken)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; a choice not taken has none of its own."""
        dweight_N2 = np.zeros((routing.n_tokens, 2), dweight_A.dtype)
        dweight_N2[routing.token_A, routing.rank_A] = dweight_A
        return self._backward(routing, routing.saved["expert_N2"], dweight_N2)
