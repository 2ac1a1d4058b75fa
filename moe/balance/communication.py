"""The communication loss: every device shall receive equally many tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer
from .device_map import contiguous_devices, tokens_sent
from .scope import product_loss


@dataclass(frozen=True)
class CommunicationLoss(Balancer):
    """coefficient * sum over devices of f''_d P''_d: f'' counts tokens sent to the device.

    f''_d = D / (M T) * (tokens sent to d), once per token whichever of its experts are there;
    P''_d is the summed P of the device's experts. If every token reaches M devices, all equally
    often, it is worth the coefficient.

    Parameters
    ----------
    coefficient
        Strength; 0.02 in DeepSeek-V2.
    n_devices, reach
        D, at most one per expert, and M, the devices that a token may reach: 8 and 3 in
        DeepSeek-V2. That limit itself is the router's (`deepseek_v2`).
    sequence_length
        Tokens of a sequence; the loss is the mean over sequences (DeepSeek-V2). 0: the batch.
        `loss` takes `length_S` where they are not equally long.

    Examples
    --------
    >>> import numpy as np, moe
    >>> p_NE = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1]])
    >>> routing = moe.make_router("topk", k=2).choose(np.log(p_NE))  # to experts 0, 1 and 1, 2
    >>> balancer = moe.make_balancer("communication", coefficient=1.0, n_devices=2, reach=2)
    >>> round(balancer.loss(routing).value, 4)  # sent 2, 1; f'' = 1, 0.5; P'' = 0.7, 0.3
    0.85
    """

    name: ClassVar[str] = "communication"
    title: ClassVar[str] = "Communication loss"
    source: ClassVar[str] = "DeepSeek-V2, arXiv 2405.04434, equations 29-31"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= \alpha_3 \sum_{d=1}^{D} f''_d P''_d \\"
        r"f''_d &= \frac{D}{M T} \#\{t : t \text{ is sent to device } d\},"
        r" \quad P''_d = \sum_{i \in \mathcal E_d} P_i"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.02

    coefficient: float = option(0.02, low=0)
    n_devices: int = option(8, low=1)
    reach: int = option(3, low=1, high="n_devices")
    sequence_length: int = option(0, low=0)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient; f'' is a count and has none."""
        device_E = contiguous_devices(routing.n_experts, self.n_devices)
        n_devices = int(device_E[-1]) + 1
        reach = min(self.reach, n_devices)
        f_SD = n_devices / (reach * length_S[:, None]) * tokens_sent(routing, device_E, length_S)
        return product_loss(routing, self.coefficient * f_SD[:, device_E], length_S)
