"""SimBal: a gate whose columns are orthonormal keeps alike what is alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import kernels
from ..settings import option
from .base import Arrays, Balancer

if TYPE_CHECKING:
    from ..routers import Router


@dataclass(frozen=True)
class SimBal(Balancer):
    """coefficient * sum of |W^T W - I|, over the gate's columns; no token takes part.

    Orthonormal columns keep angles between tokens, so that tokens which are alike get scores
    which are alike, and no direction of the tokens' space draws many experts at once. It says
    nothing of the load itself. The norm is the sum of the entries' absolute values, so its
    gradient does not shrink near the goal. Fewer dimensions than experts have no such columns.

    Parameters
    ----------
    coefficient
        Strength; 1 is the loss as the paper writes it.

    Examples
    --------
    >>> import numpy as np, moe
    >>> gate_DE = np.array([[1.0, 0.6], [0.0, 0.6]])  # W^T W = 1, 0.6; 0.6, 0.72
    >>> value, grads = moe.make_balancer("simbal").param_loss({"gate_DE": gate_DE})
    >>> round(value, 4)  # 0.6 + 0.6 + 0.28
    1.48
    """

    name: ClassVar[str] = "simbal"
    title: ClassVar[str] = "Orthonormal gate (SimBal)"
    source: ClassVar[str] = (
        "Load Balancing Mixture of Experts with Similarity Preserving Routers, arXiv 2506.14038, "
        "equation 4 and appendix A.3"
    )
    formula: ClassVar[str] = r"\mathcal L = \alpha\, \| W^\top W - I \|_1"
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.01

    coefficient: float = option(1.0, low=0)

    def fits(self, router: Router) -> bool:
        """Whether the router has a gate."""
        return "gate" in router.projections

    def param_loss(self, params: Mapping[str, np.ndarray]) -> tuple[float, Arrays]:
        """Loss on `gate_DE` and its gradient."""
        gate_DE = params["gate_DE"]
        off_EE = kernels.matmul_tn(gate_DE, gate_DE) - np.eye(gate_DE.shape[1], dtype=gate_DE.dtype)
        factor = gate_DE.dtype.type(2 * self.coefficient)  # each entry stands on both sides
        value = self.coefficient * float(np.abs(off_EE).sum(dtype=np.float64))
        return value, {"gate_DE": factor * kernels.matmul(gate_DE, np.sign(off_EE))}
