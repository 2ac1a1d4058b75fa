"""Auxiliary-loss-free balancing: a bias on the selection, stepped by a simple controller."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import check_float
from ..routing import Routing
from .base import Balancer


@dataclass(frozen=True)
class BiasControl(Balancer):
    """After each batch: b_i += rate * sign(mean load - load_i). No gradient, no loss.

    The bias changes who is selected, never the weights, and is stepped from the batch just
    finished, so that no token sees the future.

    Parameters
    ----------
    rate
        Step u; 1e-3 in DeepSeek-V3's run of 14.8 trillion tokens.
    """

    name: ClassVar[str] = "bias"
    title: ClassVar[str] = "Bias (auxiliary-loss-free)"
    source: ClassVar[str] = "Loss-Free Balancing, arXiv 2408.15664, algorithm 1"
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 1e-2
    needs: ClassVar[str] = "select_bias_E"

    rate: float = 1e-3

    def __post_init__(self) -> None:
        check_float("rate", self.rate, 0.0)

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step `select_bias_E` in place."""
        load_E = routing.proposed_load
        bias_E = buffers[self.needs]
        bias_E += (self.rate * np.sign(load_E.mean() - load_E)).astype(bias_E.dtype)
