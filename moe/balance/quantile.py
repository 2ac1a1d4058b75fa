"""Quantile Balancing: the bias as the price in an assignment problem, without a step size."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..settings import option
from .base import Balancer, choices_per_token, scores_of


@dataclass(frozen=True)
class QuantileBalancing(Balancer):
    """One coordinate step on the dual of: maximise the chosen scores at even load.

    A token's bar alpha is its (k+1)-th best score plus bias; an expert's margins are its scores
    plus bias above the bars. Lowering its bias by its (q+1)-th largest margin, q = k N / E,
    leaves it with exactly q tokens above the bars. All bars then move, so steps repeat; they
    shrink by themselves.

    Parameters
    ----------
    rate
        rho, share of the step to take; 1 is the exact coordinate step.

    Examples
    --------
    >>> import numpy as np, moe
    >>> s_NE = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> router = moe.make_router("topk", k=1)
    >>> buffers = {"select_bias_E": np.zeros(2)}  # all four choose expert 0
    >>> moe.make_balancer("quantile").update(buffers, router.choose(np.log(s_NE)))
    >>> buffers["select_bias_E"].round(2).tolist()  # margins 0.8 0.6 0.4 0.2 and 0 0 0 0
    [-0.4, 0.0]
    >>> router.choose(np.log(s_NE) + 1e-9 * np.eye(4, 2)[::-1], **buffers).load.tolist()
    [2, 2]
    """

    name: ClassVar[str] = "quantile"
    title: ClassVar[str] = "Quantile Balancing"
    source: ClassVar[str] = (
        "Su, kexue.fm/archives/11619 (2026), used by Kimi K3; openathena.ai/blog/quantile-balancing"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\alpha_t &= (k{+}1)\text{-th largest of } s_{t,\cdot} + b \\"
        r"c_i &= (q{+}1)\text{-th largest over } t \text{ of } s_{t,i} + b_i - \alpha_t,"
        r" \quad q = \frac{k T}{E} \\"
        r"b_i &\leftarrow b_i - \rho\, c_i"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 1.0
    needs: ClassVar[str] = "select_bias_E"

    rate: float = option(1.0, low=0, high=1)

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step `select_bias_E` in place."""
        scores_NE = scores_of(routing)
        n_tokens, n_experts, k = routing.n_tokens, routing.n_experts, choices_per_token(routing)
        if n_tokens < 2 or not 0 < k < n_experts:
            return
        bias_E = buffers[self.needs]
        biased_NE = scores_NE.astype(np.float64) + bias_E
        bar_N1 = np.take_along_axis(biased_NE, kernels.topk(biased_NE, k + 1)[:, k:], axis=1)
        room = min(round(k * n_tokens / n_experts), n_tokens - 1)
        place = n_tokens - 1 - room  # of the (room + 1)-th largest, counted from the smallest
        cut_E = np.partition(biased_NE - bar_N1, place, axis=0)[place]
        bias_E -= (self.rate * cut_E).astype(bias_E.dtype)
