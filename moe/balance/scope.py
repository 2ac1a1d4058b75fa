"""Over which tokens a loss counts and averages: one batch, or each sequence by itself."""

from __future__ import annotations

import numpy as np

from ..routing import Routing
from .base import BalanceLoss, affinity, affinity_backward


def starts(length_S: np.ndarray) -> np.ndarray:
    """First token of each sequence, (S,)."""
    return np.asarray(np.cumsum(length_S) - length_S)


def count_per_sequence(
    token_A: np.ndarray, expert_A: np.ndarray, n_experts: int, length_S: np.ndarray
) -> np.ndarray:
    """Assignments of each expert in each sequence, (S, E) int64."""
    sequence_A = np.searchsorted(starts(length_S), token_A, side="right") - 1
    count = np.bincount(sequence_A * n_experts + expert_A, minlength=len(length_S) * n_experts)
    return count.reshape(len(length_S), n_experts)


def product_loss(routing: Routing, f_SE: np.ndarray, length_S: np.ndarray) -> BalanceLoss:
    """Mean over sequences of sum_i f_i P_i, with P the sequence's mean affinities.

    f is a count and has no gradient. The form that all auxiliary losses share.
    """
    p_NE = affinity(routing)
    factor_SE = f_SE / (len(length_S) * length_S[:, None])
    p_SE = np.add.reduceat(p_NE, starts(length_S), axis=0, dtype=np.float64)
    dp_NE = np.repeat(factor_SE.astype(p_NE.dtype), length_S, axis=0)
    return BalanceLoss(float((factor_SE * p_SE).sum()), affinity_backward(routing, dp_NE))
