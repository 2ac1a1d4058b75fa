"""LongCat-Flash's bias control: a set share of the choices shall compute."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import Balancer


@dataclass(frozen=True)
class ZeroComputationControl(Balancer):
    """After each batch: b_i += rate * (K_e / K / N - share of the choices that i got).

    Only the N computing experts' biases move; those of the experts that compute nothing stay. So
    each computing expert tends to the same share of the choices, K_e of a token's K together.

    Parameters
    ----------
    rate
        mu. Not published, but that it decays; errors are of the size of 1 / N.
    computing
        K_e / K, the share of the choices that compute (LongCat-Flash: 8 of 12).

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("longcat", k=2, n_identity=2)
    >>> routing = router.choose(np.log([[0.4, 0.3, 0.2, 0.1], [0.4, 0.1, 0.3, 0.2]]))
    >>> buffers = {"select_bias_E": np.zeros(4)}  # of 4 choices, experts 0 and 1 got 2 and 1
    >>> moe.make_balancer("zero_computation", rate=1.0, computing=0.5).update(buffers, routing)
    >>> buffers["select_bias_E"].tolist()  # wanted: a quarter each
    [-0.25, 0.0, 0.0, 0.0]
    """

    name: ClassVar[str] = "zero_computation"
    title: ClassVar[str] = "Zero-computation control (LongCat)"
    source: ClassVar[str] = "LongCat-Flash, arXiv 2509.01322, section 2.1"
    formula: ClassVar[str] = (
        r"\Delta b_i = \begin{cases}"
        r"\mu \left(\frac{K_e}{K} \frac1N - \frac{T_i}{K\, T_{all}}\right) & i \text{ computes} \\"
        r"0 & \text{else} \end{cases}"
    )
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 0.05
    needs: ClassVar[str] = "select_bias_E"
    needs_specials: ClassVar[bool] = True

    rate: float = option(1e-2, low=0)
    computing: float = option(8 / 12, low=0, high=1)

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the computing experts' part of `select_bias_E` in place."""
        n_computing = routing.n_experts - routing.n_special
        if not routing.n_assignments:
            return
        share_C = routing.proposed_load[:n_computing] / routing.n_assignments
        bias_C = buffers[self.needs][:n_computing]
        bias_C += (self.rate * (self.computing / n_computing - share_C)).astype(bias_C.dtype)
