"""Experts on devices: the contiguous map, and the tokens that each device receives."""

from __future__ import annotations

import numpy as np

from ..routing import Routing
from .scope import starts


def contiguous_devices(n_experts: int, n_devices: int) -> np.ndarray:
    """Device of each expert, (E,) int64: equal blocks of consecutive experts.

    Where the devices do not divide the experts, block sizes differ by one at most. With fewer
    experts than devices, the first E devices hold one expert each: used device numbers then have no
    gap, which the losses over devices need, since a mean over no expert does not exist.
    """
    return np.arange(n_experts) * min(n_devices, n_experts) // n_experts


def tokens_sent(routing: Routing, device_E: np.ndarray, length_S: np.ndarray) -> np.ndarray:
    """Tokens of each sequence that each device receives, (S, D); once per token and device."""
    n_devices = int(device_E[-1]) + 1
    reached_ND = np.zeros((routing.n_tokens, n_devices))
    reached_ND[routing.token_A, device_E[routing.expert_A]] = 1
    return np.add.reduceat(reached_ND, starts(length_S), axis=0)
