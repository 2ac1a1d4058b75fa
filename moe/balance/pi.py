"""Proportional-integral control of the selection bias."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import Arrays, Balancer, scores_of
from .bias import relative_error


@dataclass(frozen=True)
class PIControl(Balancer):
    """b = spread * proportional * e + integral, integral += spread * rate * e.

    e_i = (mean load - load_i) / mean load is the relative load error, clipped to [-1, 1] so
    that one overloaded expert does not throw the bias far. Spread is the standard deviation of
    the expert's scores over tokens, so that gains mean the same for softmax and sigmoid, early
    and late. Sign control goes on at full step near balance and cycles; here the steps shrink
    with the error. The load answers at once, so a large proportional gain swings.

    Parameters
    ----------
    rate
        Integral gain, per update and in spreads.
    proportional
        Proportional gain, in spreads.
    limit
        The integral stays within [-limit, limit] (anti-windup): scores lie in [0, 1], so a
        larger bias could decide no more.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("topk", k=1).choose(np.log([[0.7, 0.2, 0.1], [0.5, 0.2, 0.3]]))
    >>> buffers = {"select_bias_E": np.zeros(3)}  # loads 2, 0, 0: e = -2, 1, 1, clipped to -1
    >>> balancer = moe.make_balancer("pi", rate=0.1, proportional=0.5)  # spread .1, 0, .1
    >>> for _ in range(2):
    ...     balancer.update(buffers, routing)
    ...     print(buffers["select_bias_E"].round(3).tolist())
    [-0.06, 0.0, 0.06]
    [-0.07, 0.0, 0.07]
    """

    name: ClassVar[str] = "pi"
    title: ClassVar[str] = "Bias (PI control)"
    source: ClassVar[str] = (
        "textbook PI control of Loss-Free Balancing's bias (arXiv 2408.15664); LongCat-Flash, "
        "arXiv 2509.01322, calls its rule a PID controller"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"e_i &= \mathrm{clip}\left(\frac{\bar c - c_i}{\bar c}, -1, 1\right) \\"
        r"I_i &\leftarrow \mathrm{clip}(I_i + \sigma_i K_I e_i, -L, L) \\"
        r"b_i &= \sigma_i K_P e_i + I_i, \quad \sigma_i = \mathrm{std}_t(s_{t,i})"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 0.3
    needs: ClassVar[str] = "select_bias_E"

    rate: float = option(0.1, low=0)
    proportional: float = option(0.1, low=0)
    limit: float = option(1.0, low=0, open_low=True)

    def init_state(self, n_experts: int) -> Arrays:
        """The integral, zero at first."""
        return {"pi_integral_E": np.zeros(n_experts)}

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the integral and set `select_bias_E`, in place."""
        scores_NE = scores_of(routing)
        if not routing.n_tokens:
            return
        spread_E = scores_NE.std(axis=0, dtype=np.float64)
        error_E = spread_E * np.clip(relative_error(routing.proposed_load), -1, 1)
        integral_E = self._kept("pi_integral_E", buffers, routing.n_experts)
        integral_E[:] = np.clip(integral_E + self.rate * error_E, -self.limit, self.limit)
        buffers[self.needs][:] = integral_E + self.proportional * error_E
