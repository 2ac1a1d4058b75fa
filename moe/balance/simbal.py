"""SimBal: a gate whose columns are orthonormal keeps alike what is alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from .gate_loss import GateLoss


@dataclass(frozen=True)
class SimBal(GateLoss):
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
    short_run_rate: ClassVar[float] = 0.01

    def of_gate(self, gate_DE: np.ndarray) -> tuple[float, np.ndarray]:
        """Sum of the absolute entries, and its gradient; see `GateLoss.of_gate`."""
        off_EE = kernels.matmul_tn(gate_DE, gate_DE) - np.eye(gate_DE.shape[1], dtype=gate_DE.dtype)
        value = float(np.abs(off_EE).sum(dtype=np.float64))
        return value, 2 * kernels.matmul(gate_DE, np.sign(off_EE))  # each entry is on both sides
