"""The two-choice gates of GShard and ST-MoE, whose second choice is not always taken."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
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

    def narrow(
        self, expert_NK: np.ndarray, weight_NK: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, Any]:
        """The first choice, and the second where it is taken; backward needs both."""
        listed_N2 = np.ones(expert_NK.shape, bool)
        listed_N2[:, 1] = self.takes_second(weight_NK[:, 1], rng)
        return {"listed_NK": listed_N2, "saved": {"expert_N2": expert_NK}}

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; the weight of a choice that was not taken has none."""
        dweight_N2 = np.zeros((routing.n_tokens, 2), dweight_A.dtype)
        dweight_N2[routing.token_A, routing.rank_A] = dweight_A
        return self._backward(routing, routing.saved["expert_N2"], dweight_N2)
