"""Experts in groups, one for each device, as the device and communication losses see them."""

from __future__ import annotations

import numpy as np

from ..routing import Routing
from .scope import starts


def device_of_experts(n_experts: int, n_devices: int) -> np.ndarray:
    """Device of each expert, (E,): consecutive experts, sizes that differ by one at most.

    No device without an expert: there are at most E.
    """
    return np.arange(n_experts) * min(n_devices, n_experts) // n_experts


def tokens_sent(routing: Routing, device_E: np.ndarray, length_S: np.ndarray) -> np.ndarray:
    """Tokens of each sequence that each device receives, (S, D); once per token and device."""
    n_devices = int(device_E[-1]) + 1
    reached_ND = np.zeros((routing.n_tokens, n_devices))
    reached_ND[routing.token_A, device_E[routing.expert_A]] = 1
    return np.add.reduceat(reached_ND, starts(length_S), axis=0)
