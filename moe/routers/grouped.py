"""Top-k within groups: DeepSeek's gates, in which a token reaches only its best groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..errors import check_int
from ..settings import option
from .fixed_k import FixedK, biased


@dataclass(frozen=True)
class GroupLimited(FixedK):
    """Top-k inside the best groups of experts; subclasses name the score.

    Class attributes
    ----------------
    group_score_of
        A group's score is the sum of this many of its largest selection scores.
    """

    group_score_of = 1  # without ClassVar, so that a subclass may make it an option
    reroutable: ClassVar[bool] = True
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    k: int = 2
    n_group: int = option(1, low=1)
    topk_group: int = option(1, low=1, high="n_group")
    renormalize: bool = True
    scale: float = 1.0

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless the groups divide E and the reachable ones hold k experts."""
        super().check(n_experts)
        if n_experts % self.n_group:
            raise ValueError(
                f"n_group: got {self.n_group}, allowed is a divisor of n_experts ({n_experts})"
            )
        reach = self.topk_group * (n_experts // self.n_group)
        check_int("k", self.k, 1, reach, f"{self.topk_group} groups reach {reach} experts")

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Chosen experts, (N, K): the best selection scores inside the best groups."""
        selection_NE = biased(scores_NE, given.get("select_bias_E"), given.get("select_factor_E"))
        if self.topk_group < self.n_group:
            selection_NE = kernels.mask_groups(
                selection_NE, self.n_group, self.topk_group, self.group_score_of
            )
        return kernels.topk(selection_NE, self.k)
