"""What an expert-parallel step must send, from routing and placement alone."""

from __future__ import annotations

import numpy as np

from ..routing import Routing
from .topology import Cluster
from .traffic import traffic

INDEX_BYTES = 4  # an assignment's expert and its row, int32 each


def predicted_bytes(
    routing: Routing,
    home_N: np.ndarray,
    device_E: np.ndarray,
    cluster: Cluster,
    copies: str,
    d_row: int,
    value_bytes: int,
) -> np.ndarray:
    """Bytes from rank i to another rank j, (P, P) int64, of one forward and one backward pass.

    Rows are those of `traffic`: dispatched, and a result for each comes back, in both passes. An
    assignment travels with its expert, row and weight, and the weight's gradient comes back. What
    is relayed counts at each hop.

    Parameters
    ----------
    routing
        Of the whole batch.
    home_N, device_E
        Rank of each token and of each expert.
    cluster
        Nodes, and ranks of a node.
    copies
        'expert', 'gpu' or 'node'; see `traffic`.
    d_row, value_bytes
        Numbers in a row, D or, of latent experts, L; and bytes of each.
    """
    row = float(d_row * value_bytes)
    rows = traffic(
        routing, device_E, cluster, home_N,
        copies=copies, dispatch_row_bytes=row, combine_row_bytes=row,
    )  # fmt: skip
    kept_A, per_node = routing.kept_A, cluster.gpus_per_node
    home_A, device_A = home_N[routing.token_A[kept_A]], device_E[routing.expert_A[kept_A]]
    relay_A = device_A // per_node * per_node + home_A % per_node
    legs = [(home_A, relay_A), (relay_A, device_A)] if copies == "node" else [(home_A, device_A)]
    listed_PP = np.zeros((cluster.n_gpus, cluster.n_gpus), np.int64)
    for from_A, to_A in legs:
        np.add.at(listed_PP, (from_A, to_A), 1)
    np.fill_diagonal(listed_PP, 0)
    passes = 2 * (rows.dispatch_bytes_GG + rows.combine_bytes_GG).astype(np.int64)
    return passes + (2 * INDEX_BYTES + value_bytes) * listed_PP + value_bytes * listed_PP.T
