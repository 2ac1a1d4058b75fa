"""Counting in time and memory of the data, not of the tables that the counts would fill.

A table of all pairs of experts, or of all experts and labels, can be far larger than the list of
assignments. So only the cells that occur are counted, unless the table is small.
"""

from __future__ import annotations

import numpy as np

from .routing import Routing

ROOM = 4  # most cells of a table for each number that is counted in it
MAX_PAIRS = 1 << 27  # pairs of a token's experts in a layer, counted in some seconds
MAX_TABLE = 4096  # most experts in a table of all pairs, and tokens that are added at a time
DENSE = 64  # multiplications in a matrix product in the time of counting one pair
CHUNK = 1 << 18  # numbers counted at a time


def tally(
    key_K: np.ndarray, n_cells: int, weight_K: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that occur, ascending, and the count of each or the sum of its weights.

    Time and memory grow with the length of the list, not with the number of cells.

    Parameters
    ----------
    key_K
        Whole numbers in 0..n_cells - 1.
    """
    if n_cells <= ROOM * len(key_K):
        count_C = np.bincount(key_K, weight_K, n_cells)
        cell = np.flatnonzero(count_C)
        return cell, count_C[cell]
    if weight_K is None:
        return np.unique(key_K, return_counts=True)
    order_K = np.argsort(key_K, kind="stable")
    sorted_K = key_K[order_K]
    start = np.flatnonzero(np.diff(sorted_K, prepend=-1))
    if not len(start):
        return key_K[:0], np.zeros(0)
    return sorted_K[start], np.add.reduceat(weight_K[order_K], start)


def pair_counts(
    routing: Routing, adjacent: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of tokens that two experts have in common, for each pair that has any.

    Parameters
    ----------
    adjacent
        Count only pairs that are neighbours in a token's ranking.

    Returns
    -------
    tuple
        The lower expert of each pair, (P,), the higher one, (P,), and the number of tokens that
        chose both, (P,); pairs are in ascending order.

    Raises
    ------
    ValueError
        If tokens have so many experts that counting would take too long: `MAX_PAIRS`.
    """
    n_experts, n_tokens = routing.n_experts, routing.n_tokens
    order_A = np.lexsort((routing.rank_A, routing.token_A))
    token_A, expert_A = routing.token_A[order_A], routing.expert_A[order_A].astype(np.int64)
    count_N = np.bincount(token_A, minlength=n_tokens)
    n_pairs = int((count_N * (count_N - 1) // 2).sum())
    if not adjacent and n_experts <= MAX_TABLE and n_tokens * n_experts**2 <= DENSE * n_pairs:
        pairs_EE = np.zeros((n_experts, n_experts))
        for low in range(0, n_tokens, MAX_TABLE):
            here = slice(*np.searchsorted(token_A, (low, low + MAX_TABLE)))
            chosen_TE = np.zeros((min(MAX_TABLE, n_tokens - low), n_experts), np.float32)
            chosen_TE[token_A[here] - low, expert_A[here]] = 1
            pairs_EE += chosen_TE.T @ chosen_TE
        expert_P, other_P = np.nonzero(np.triu(pairs_EE, 1))
        return expert_P, other_P, pairs_EE[expert_P, other_P].astype(np.int64)
    if not adjacent and n_pairs > MAX_PAIRS:
        raise ValueError(
            f"routing: got {n_pairs} pairs of a token's experts, allowed are {MAX_PAIRS}"
        )
    # Number of the token's assignments after each one.
    left_A = np.repeat(np.cumsum(count_N), count_N) - np.arange(len(token_A)) - 1
    place = np.flatnonzero(left_A >= 1)
    counted: list[tuple[np.ndarray, np.ndarray]] = []
    waiting: list[np.ndarray] = []
    n_waiting = 0
    for apart in range(1, 2 if adjacent else int(count_N.max(initial=1))):
        place = place[left_A[place] >= apart]
        left, right = expert_A[place], expert_A[place + apart]
        waiting.append(np.minimum(left, right) * n_experts + np.maximum(left, right))
        n_waiting += len(place)
        # Merge only when at least as many pairs wait as cells are known: each merge then costs no
        # more than the pairs it adds, and memory stays bounded.
        if n_waiting > max([CHUNK, *(len(key) for key, _ in counted)]):
            counted = [_merged([*counted, tally(np.concatenate(waiting), n_experts**2)])]
            waiting, n_waiting = [], 0
    if waiting:
        counted.append(tally(np.concatenate(waiting), n_experts**2))
    key_P, count_P = _merged(counted)
    return key_P // n_experts, key_P % n_experts, count_P


def _merged(counted: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if len(counted) < 2:
        return counted[0] if counted else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    key, at = np.unique(np.concatenate([key for key, _ in counted]), return_inverse=True)
    return key, np.bincount(at, np.concatenate([count for _, count in counted])).astype(np.int64)


def cells_information(
    row_RC: np.ndarray, column_C: np.ndarray, count_C: np.ndarray | None = None
) -> np.ndarray:
    """Mutual information of row and column in a table of counts, in nats, for R sets of labels.

    Parameters
    ----------
    row_RC, column_C
        Row of each of C cells in each of R tables, and column of each cell, whole numbers from 0.
        Counts of cells with the same row and column are added.
    count_C
        Count in each cell; 1 by default.

    Returns
    -------
    numpy.ndarray
        (R,); 0 for an empty table.
    """
    row_RC, column_C = np.asarray(row_RC), np.asarray(column_C, np.int64)
    count_C = np.ones(column_C.shape) if count_C is None else np.asarray(count_C, np.float64)
    total = count_C.sum()
    if not total:
        return np.zeros(len(row_RC))
    n_rows, n_columns = int(row_RC.max()) + 1, int(column_C.max()) + 1
    columns = _x_log_x(np.bincount(column_C, count_C)).sum()
    information: list[np.ndarray] = []
    step = max(CHUNK // column_C.size, 1)
    for low in range(0, len(row_RC), step):
        block_RC = row_RC[low : low + step].astype(np.int64)
        n_tables = len(block_RC)
        block_RC += np.arange(n_tables)[:, None] * n_rows
        weight = np.broadcast_to(count_C, block_RC.shape).reshape(-1)
        sums = []
        pair_RC = block_RC * n_columns + column_C
        for key, n_cells in ((block_RC, n_rows), (pair_RC, n_rows * n_columns)):
            cell, count = tally(key.reshape(-1), n_tables * n_cells, weight)
            sums.append(np.bincount(cell // n_cells, _x_log_x(count), n_tables))
        rows_R, cells_R = sums
        # I = sum n_ij ln(n_ij n / (n_i n_j)) / n, split into sums of x ln x.
        information.append(np.log(total) + (cells_R - rows_R - columns) / total)
    return np.maximum(np.concatenate(information), 0.0)


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * np.log(np.maximum(x, 1)))
