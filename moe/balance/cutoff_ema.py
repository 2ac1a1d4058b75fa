"""Expert Threshold's bars: a running mean of the logit that an expert's fair share exceeds."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import check_int
from ..routing import Routing
from ..settings import option
from .base import Arrays, Balancer


@dataclass(frozen=True)
class CutoffEMA(Balancer):
    """After each batch: c_i += rate * (q-th largest logit of expert i - c_i), q = k T / E.

    The tokens from a batch's own q-th logit up are those that expert choice would take; the mean
    over batches makes it the bar of all tokens. As in the authors' code q is rounded down, and the
    mean is divided by 1 - (1 - rate)^n after n batches, so that it is not drawn towards its start
    at 0.

    The authors let experts choose from the batch in the first 4,000 steps, since bars that lag
    behind logits in motion starve experts. Here bars hold from the first step: until then they
    are 0.

    Parameters
    ----------
    rate
        1 - beta. 0.001 in the paper's runs, 0.01 by default in its code.
    k
        Experts per token to reach on average, at most E; 1 in the paper's runs, of 16.

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("expert_threshold")
    >>> logits_NE = np.array([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    >>> buffers = {"threshold_E": np.zeros(2)}  # all eight logits are above 0
    >>> balancer = moe.make_balancer("cutoff_ema", k=1, rate=0.5)
    >>> balancer.update(buffers, router.choose(logits_NE, **buffers))
    >>> buffers["threshold_E"].tolist()  # the second largest of each, and no trace of the 0
    [3.0, 3.0]
    >>> balancer.update(buffers, router.choose(logits_NE + 3, **buffers))
    >>> buffers["threshold_E"].tolist()  # (3 / 2 + 6) / 2 over 1 - 1 / 4
    [5.0, 5.0]
    """

    name: ClassVar[str] = "cutoff_ema"
    title: ClassVar[str] = "Running quantile"
    source: ClassVar[str] = (
        "Expert Threshold Routing, arXiv 2603.11535, algorithm 1 and section 4.2; "
        "MasterGodzilla/Expert-Threshold-Routing engines/common.py"
    )
    formula: ClassVar[str] = (
        r"c_i \leftarrow \beta c_i + (1 - \beta)\, q\text{-th largest over } t \text{ of }"
        r" \ell_{t,i}, \quad q = \frac{k T}{E}"
    )
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 0.3
    needs: ClassVar[str] = "threshold_E"

    rate: float = option(1e-3, low=0, high=1)
    k: int = option(1, low=1)

    def init_state(self, n_experts: int) -> Arrays:
        """The running mean as it is summed up, and the number of batches in it.

        Raises
        ------
        ValueError
            If k is more than the number of experts.
        """
        check_int("k", self.k, 1, n_experts, f"n_experts is {n_experts}")
        return {"cutoff_mean_E": np.zeros(n_experts), "cutoff_updates_1": np.zeros(1)}

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the running mean and set `threshold_E`, in place."""
        n_tokens, n_experts = routing.n_tokens, routing.n_experts
        if not n_tokens or 1 - self.rate == 1:  # also a rate too small to divide by
            return
        if routing.logits_NE is None:
            raise ValueError("routing: got one without logits, allowed is a router that has some")
        mean_E = self._kept("cutoff_mean_E", buffers, n_experts)
        updates_1 = self._kept("cutoff_updates_1", buffers, n_experts)
        place = n_tokens - max(self.k * n_tokens // n_experts, 1)  # counted from the smallest
        cut_E = np.partition(routing.logits_NE, place, axis=0)[place].astype(np.float64)
        mean_E += self.rate * (cut_E - mean_E)
        updates_1 += 1
        buffers[self.needs][:] = mean_E / (1 - (1 - self.rate) ** updates_1[0])
