"""What losses on the gate itself share: a strength, and the gate that they look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import check_array
from ..settings import option
from .base import Arrays, Balancer

if TYPE_CHECKING:
    from ..routers import Router


@dataclass(frozen=True)
class GateLoss(Balancer, ABC):
    """coefficient * a function of the gate's columns; no token takes part.

    Subclasses state the function with its gradient.
    """

    rate_name: ClassVar[str] = "coefficient"

    coefficient: float = option(1.0, low=0)

    def fits(self, router: Router) -> bool:
        """Whether the router has a gate."""
        return "gate" in router.projections

    @abstractmethod
    def of_gate(self, gate_DE: np.ndarray) -> tuple[float, np.ndarray]:
        """The function's value and its gradient at the gate, (D, E)."""

    def param_loss(self, params: Mapping[str, np.ndarray]) -> tuple[float, Arrays]:
        """Loss on `gate_DE` and its gradient.

        Raises
        ------
        ValueError
            If there is no gate, or it is no array of floats.
        """
        gate_DE = check_array("gate_DE", params.get("gate_DE"), (None, None), finite=False)
        value, dgate_DE = self.of_gate(gate_DE)
        factor = gate_DE.dtype.type(self.coefficient)
        return self.coefficient * value, {"gate_DE": factor * dgate_DE}
