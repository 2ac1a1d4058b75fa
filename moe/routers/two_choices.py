"""What GShard's and ST-MoE's gates share: two choices, the second one not always taken."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import make_scores, scores_backward
from .base import Router
from .choice import gather, normalize, normalize_backward, scatter


@dataclass(frozen=True)
class TwoChoices(Router):
    """Top-2 with weights p1 / (p1 + p2) and p2 / (p1 + p2); subclasses say when p2 is taken."""

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless there are two experts to choose."""
        super().check(n_experts)
        if n_experts < 2:
            raise ValueError(f"n_experts: got {n_experts}, allowed is a whole number >= 2")

    @abstractmethod
    def takes_second(self, weight_N: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Say for which tokens the second choice, of this normalised weight, is taken."""

    def pick(self, logits_NE: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """First and second choice of each token, (N, 2)."""
        return np.asarray(kernels.topk(logits_NE, 2))

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select one or two experts per token; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, "softmax")
        expert_N2 = self.pick(logits_NE, rng)
        chosen_N2 = gather(scores_NE, expert_N2)
        weight_N2 = normalize(chosen_N2)
        listed_N2 = np.ones(expert_N2.shape, bool)
        listed_N2[:, 1] = self.takes_second(weight_N2[:, 1], rng)
        return Routing.from_choices(
            expert_N2,
            weight_N2,
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score="softmax",
            saved={"expert_N2": expert_N2, "chosen_N2": chosen_N2},
            listed_NK=listed_N2,
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; a choice not taken has none of its own."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        dweight_N2 = np.zeros((routing.n_tokens, 2), dweight_A.dtype)
        dweight_N2[routing.token_A, routing.rank_A] = dweight_A
        dchosen_N2 = normalize_backward(routing.saved["chosen_N2"], dweight_N2)
        dscores_NE = scatter(dchosen_N2, routing.saved["expert_N2"], routing.n_experts)
        return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, "softmax")
