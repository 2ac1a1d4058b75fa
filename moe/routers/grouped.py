"""What DeepSeek's gates share: groups that a token may reach, scaled weights, a selection bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_float, check_int
from ..routing import Routing
from ..scores import make_scores, scores_backward
from .base import Router, check_k
from .choice import biased, choices, gather, normalize, normalize_backward, scatter


@dataclass(frozen=True)
class GroupLimited(Router):
    """Top-k inside the best groups of experts; subclasses name the score.

    Class attributes
    ----------------
    score
        Score function.
    group_score_of
        A group's score is the sum of this many of its largest selection scores.
    """

    score: ClassVar[str]
    group_score_of: ClassVar[int]
    reroutable: ClassVar[bool] = True
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    k: int = 2
    n_group: int = 1
    topk_group: int = 1
    renormalize: bool = True
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_int("k", self.k, 1)
        check_int("n_group", self.n_group, 1)
        check_int("topk_group", self.topk_group, 1, self.n_group, f"n_group is {self.n_group}")
        check_float("scale", self.scale, 0.0, open_low=True)

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless the groups divide E and the reachable ones hold k experts."""
        super().check(n_experts)
        check_k(self.k, n_experts)
        if n_experts % self.n_group:
            raise ValueError(
                f"n_group: got {self.n_group}, allowed is a divisor of n_experts ({n_experts})"
            )
        reach = self.topk_group * (n_experts // self.n_group)
        check_int("k", self.k, 1, reach, f"{self.topk_group} groups reach {reach} experts")

    @property
    def gate_learns(self) -> bool:
        """Not with one renormalised choice."""
        return not (self.k == 1 and self.renormalize)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        select_bias_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select k experts inside the best groups; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, self.score)
        selection_NE = biased(scores_NE, select_bias_E, state.get("select_factor_E"))
        expert_NK = self.select(selection_NE, token_ids)
        return Routing.from_choices(
            expert_NK,
            self._weights(scores_NE, expert_NK),
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=self.score,
            n_special=len(self.specials),
        )

    def _weights(self, scores_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
        chosen_NK = gather(scores_NE, expert_NK)
        weight_NK = normalize(chosen_NK) if self.renormalize else chosen_NK
        return weight_NK * weight_NK.dtype.type(self.scale)

    def weigh(self, routing: Routing) -> np.ndarray:
        """Weights of the experts that assignments went to; see `Router.weigh`."""
        assert routing.scores_NE is not None
        return self._weights(routing.scores_NE, choices(routing)).reshape(-1)

    def select(self, selection_NE: np.ndarray, token_ids: np.ndarray | None) -> np.ndarray:
        """Chosen experts, (N, K): the best selection scores inside the best groups."""
        if self.topk_group < self.n_group:
            selection_NE = kernels.mask_groups(
                selection_NE, self.n_group, self.topk_group, self.group_score_of
            )
        return np.asarray(kernels.topk(selection_NE, self.k))

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        expert_NK = choices(routing)
        dchosen_NK = dweight_A.reshape(expert_NK.shape) * dweight_A.dtype.type(self.scale)
        if self.renormalize:
            dchosen_NK = normalize_backward(gather(routing.scores_NE, expert_NK), dchosen_NK)
        dscores_NE = scatter(dchosen_NK, expert_NK, routing.n_experts)
        return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, self.score)
