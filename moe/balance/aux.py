"""The auxiliary load-balancing loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import check_choice, check_float
from ..routing import Routing
from .base import BalanceLoss, Balancer, affinity, affinity_backward

SCALES = ("switch", "megatron")


@dataclass(frozen=True)
class AuxLoss(Balancer):
    """coefficient * E * sum_i f_i P_i: f counts assignments, P averages the affinities.

    The scale is part of the definition, and libraries differ. `switch` counts every choice per
    token, f_i = c_i / N, and is worth k * coefficient at uniform load (its own paper has k = 1);
    `megatron` counts per assignment, f_i = c_i / (k N), and is worth the coefficient at uniform
    load for any k. Uniform load is not a lower bound: f and P may be anti-correlated.

    Parameters
    ----------
    coefficient
        Strength.
    scale
        'megatron' or 'switch'.
    """

    name: ClassVar[str] = "aux"
    title: ClassVar[str] = "Auxiliary loss"
    source: ClassVar[str] = (
        "Switch Transformers, arXiv 2101.03961, equations 4-6; Megatron-Core moe_utils.py"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 1e-2

    coefficient: float = 1e-2
    scale: str = "megatron"

    def __post_init__(self) -> None:
        check_float("coefficient", self.coefficient, 0.0)
        check_choice("scale", self.scale, SCALES)

    def loss(self, routing: Routing, state: Mapping[str, np.ndarray] | None = None) -> BalanceLoss:
        """Loss and gradient; f is a count and has none."""
        p_NE = affinity(routing)
        count = routing.n_tokens if self.scale == "switch" else routing.n_assignments
        if not count:
            return BalanceLoss(0.0, None)
        f_E = routing.proposed_load / count
        factor = self.coefficient * routing.n_experts
        value = factor * float(f_E @ p_NE.mean(axis=0, dtype=np.float64))
        dp_E = (factor / routing.n_tokens * f_E).astype(p_NE.dtype)
        dp_NE = np.ascontiguousarray(np.broadcast_to(dp_E, p_NE.shape))
        return BalanceLoss(value, affinity_backward(routing, dp_NE))
