"""The device-level loss: devices, not experts, shall have even load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer
from .device_map import contiguous_devices
from .scope import count_per_sequence, product_loss


@dataclass(frozen=True)
class DeviceLoss(Balancer):
    """coefficient * sum over devices of f'_d P'_d: mean f and summed P of the device's experts.

    f_i = E c_i / (k T). Experts on one device may differ in load as they like. At uniform load
    it is worth the coefficient.

    Parameters
    ----------
    coefficient
        Strength; 0.05 in DeepSeekMoE 145B and DeepSeek-V2.
    n_devices
        D, at most one per expert: 4 in DeepSeekMoE 145B, 8 in DeepSeek-V2.
    sequence_length
        Tokens of a sequence; the loss is the mean over sequences (DeepSeek-V2). 0: the batch.
        `loss` takes `length_S` where they are not equally long.

    Examples
    --------
    >>> import numpy as np, moe
    >>> p_NE = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1]])
    >>> routing = moe.make_router("topk", k=2).choose(np.log(p_NE))  # f = 1, 2, 1, 0
    >>> balancer = moe.make_balancer("device", coefficient=1.0, n_devices=2)
    >>> round(balancer.loss(routing).value, 4)  # f' = 1.5, 0.5; P' = 0.7, 0.3
    1.2
    """

    name: ClassVar[str] = "device"
    title: ClassVar[str] = "Device-level loss"
    source: ClassVar[str] = (
        "DeepSeekMoE, arXiv 2401.06066, equations 15-17; DeepSeek-V2, arXiv 2405.04434, 26-28"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= \alpha_2 \sum_{d=1}^{D} f'_d P'_d \\"
        r"f'_d &= \frac1{|\mathcal E_d|} \sum_{i \in \mathcal E_d} \frac{E}{k T} c_i,"
        r" \quad P'_d = \sum_{i \in \mathcal E_d} P_i"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.05

    coefficient: float = option(0.05, low=0)
    n_devices: int = option(4, low=1)
    sequence_length: int = option(0, low=0)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss and gradient; f' is a count and has none."""
        count_SE = count_per_sequence(
            routing.token_A, routing.expert_A, routing.n_experts, length_S
        )
        f_SE = routing.n_experts * count_SE / np.maximum(count_SE.sum(axis=1, keepdims=True), 1)
        device_E = contiguous_devices(routing.n_experts, self.n_devices)
        mean_ED = (device_E[:, None] == np.arange(device_E[-1] + 1)).astype(np.float64)
        mean_ED /= mean_ED.sum(axis=0)
        return product_loss(routing, self.coefficient * (f_SE @ mean_ED)[:, device_E], length_S)
