"""What an expert-parallel step must send, from routing and placement alone."""

from __future__ import annotations

import numpy as np

INDEX_BYTES = 4  # an assignment's expert and its row, int32 each


def predicted_bytes(
    token_A: np.ndarray,
    expert_A: np.ndarray,
    home_N: np.ndarray,
    device_E: np.ndarray,
    ranks_per_node: int,
    copies: str,
    d_model: int,
    value_bytes: int,
    n_ranks: int,
) -> np.ndarray:
    """Bytes from rank i to rank j, (P, P) int64, of one forward and one backward pass.

    A row is dispatched and its result comes back, in both passes; an assignment travels with its
    expert, row and weight, and the weight's gradient comes back. A relayed row counts at each hop.
    The diagonal holds what stays on its rank.

    Parameters
    ----------
    token_A, expert_A
        The assignments.
    home_N, device_E
        Rank of each token and of each expert.
    copies
        'expert', 'gpu' or 'node'; see `moe.cluster.spread.SpreadLayer`.
    """
    home_A, device_A = home_N[token_A], device_E[expert_A]
    relay_A = device_A // ranks_per_node * ranks_per_node + home_A % ranks_per_node
    rows_PP = np.zeros((n_ranks, n_ranks), np.int64)
    listed_PP = np.zeros_like(rows_PP)
    legs = [(home_A, relay_A), (relay_A, device_A)] if copies == "node" else [(home_A, device_A)]
    for from_A, to_A in legs:
        np.add.at(listed_PP, (from_A, to_A), 1)
        ways = np.stack([token_A, from_A, to_A], axis=1)
        _, start, stop = (ways if copies == "expert" else np.unique(ways, axis=0)).T
        np.add.at(rows_PP, (start, stop), 1)
    row, back = d_model * value_bytes, value_bytes
    return 2 * row * (rows_PP + rows_PP.T) + (
        (2 * INDEX_BYTES + value_bytes) * listed_PP + back * listed_PP.T
    )
