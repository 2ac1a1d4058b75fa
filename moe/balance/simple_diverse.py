"""DynMoE's loss on the gate itself: expert vectors shall differ, and stay short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..settings import option
from .gate_loss import GateLoss

EPS = 1e-12  # least length that is divided by, as in the authors' normalize


@dataclass(frozen=True)
class SimpleDiverse(GateLoss):
    """coefficient * (||U^T U - I|| + mean length of w_i), with U the gate's columns at length 1.

    The first part is the Frobenius norm, not squared, of what the cosines between expert
    vectors have beside the diagonal; the second keeps the vectors short. No token takes part.

    Parameters
    ----------
    coefficient
        Strength; 0.01 in the authors' runs.

    Examples
    --------
    >>> import numpy as np, moe
    >>> gate_DE = np.array([[2.0, 1.0], [0.0, 1.0]])  # cosine 0.7071; lengths 2 and 1.4142
    >>> balancer = moe.make_balancer("simple_diverse", coefficient=1.0)
    >>> value, grads = balancer.param_loss({"gate_DE": gate_DE})
    >>> round(value, 4)  # 0.7071 * sqrt(2) + 1.7071
    2.7071
    """

    name: ClassVar[str] = "simple_diverse"
    title: ClassVar[str] = "Simple and diverse gate (DynMoE)"
    source: ClassVar[str] = (
        "DynMoE, arXiv 2405.14297, section 3.3; its code's diverse_and_simple_gate_loss"
    )
    formula: ClassVar[str] = (
        r"\mathcal L = \alpha \left( \Big\| \hat W^\top \hat W - I \Big\|_F"
        r" + \frac1E \sum_{i=1}^{E} \|w_i\|_2 \right), \quad \hat w_i = \frac{w_i}{\|w_i\|_2}"
    )
    short_run_rate: ClassVar[float] = 0.1

    coefficient: float = option(0.01, low=0)

    def of_gate(self, gate_DE: np.ndarray) -> tuple[float, np.ndarray]:
        """Norm of the cosines plus mean length, and the gradient; see `GateLoss.of_gate`."""
        length_E = np.maximum(np.sqrt((gate_DE * gate_DE).sum(axis=0)), EPS)
        unit_DE = gate_DE / length_E
        off_EE = unit_DE.T @ unit_DE - np.eye(gate_DE.shape[1], dtype=gate_DE.dtype)
        norm = float(np.sqrt((off_EE * off_EE).sum()))
        dunit_DE = unit_DE @ off_EE * gate_DE.dtype.type(2 / max(norm, EPS))
        along_E = (dunit_DE * unit_DE).sum(axis=0)
        dgate_DE = (dunit_DE - unit_DE * along_E) / length_E + unit_DE / len(length_E)
        return norm + float(length_E.mean()), dgate_DE
