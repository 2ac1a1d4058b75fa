"""Trinity Large's bias control: steps that shrink with the error, and a mean over past ones."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import Arrays, Balancer
from .bias import relative_error


@dataclass(frozen=True)
class SMEBU(Balancer):
    """Soft-clamped momentum expert bias update: b_i += m_i, m the running mean of soft steps.

    A step is rate * tanh(kappa * e_i) with e_i = (mean load - load_i) / mean load, less the mean
    of all steps. Far from balance it is the sign rule's step; near balance it shrinks with the
    error, where the sign rule goes on at full step and cycles. The mean over past steps takes the
    noise of single batches out.

    Parameters
    ----------
    rate
        lambda; 5e-4 for Trinity Large.
    kappa
        How soon a step is as long as it gets; 2 for Trinity Large.
    momentum
        beta, the share of the past in the mean, below 1; 0.5 for Trinity Large.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("topk", k=1).choose(np.log([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2]]))
    >>> buffers = {"select_bias_E": np.zeros(3)}  # loads 2, 0, 0: e = -2, 1, 1
    >>> balancer = moe.make_balancer("smebu", rate=0.01)
    >>> for _ in range(2):  # steps -0.0132, 0.0066, 0.0066; half of it, then three quarters more
    ...     balancer.update(buffers, routing)
    ...     print(buffers["select_bias_E"].round(4).tolist())
    [-0.0065, 0.0033, 0.0033]
    [-0.0164, 0.0082, 0.0082]
    """

    name: ClassVar[str] = "smebu"
    title: ClassVar[str] = "Bias with soft steps (SMEBU)"
    source: ClassVar[str] = "Arcee Trinity Large, arXiv 2602.17004, as its readers report it"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\Delta_i &= \lambda\, \mathrm{tanh}\left(\kappa\, \frac{\bar c - c_i}{\bar c}\right) \\"
        r"m_i &\leftarrow \beta m_i + (1 - \beta)"
        r" \left(\Delta_i - \mathrm{mean}_j\, \Delta_j\right) \\"
        r"b_i &\leftarrow b_i + m_i"
        r"\end{aligned}"
    )
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 0.01
    needs: ClassVar[str] = "select_bias_E"

    rate: float = option(5e-4, low=0)
    kappa: float = option(2.0, low=0, open_low=True)
    momentum: float = option(0.5, low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum == 1:  # the mean would stay at 0 for ever
            raise ValueError("momentum: got 1, allowed is a number >= 0 and < 1")

    def init_state(self, n_experts: int) -> Arrays:
        """The running mean of the steps, zero at first."""
        return {"smebu_momentum_E": np.zeros(n_experts)}

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the mean and `select_bias_E`, in place."""
        if not routing.n_assignments:
            return
        step_E = self.rate * np.tanh(self.kappa * relative_error(routing.proposed_load))
        mean_E = self._kept("smebu_momentum_E", buffers, routing.n_experts)
        mean_E *= self.momentum
        mean_E += (1 - self.momentum) * (step_E - step_E.mean())
        bias_E = buffers[self.needs]
        bias_E += mean_E.astype(bias_E.dtype)
