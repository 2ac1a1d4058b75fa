"""Counting in time and memory of what there is to count, not of the tables that it would fill."""

from __future__ import annotations

import numpy as np

from .routing import Routing

ROOM = 4  # cells of a table for each number that goes into it
MAX_PAIRS = 1 << 27  # of a token's experts in a layer, counted one by one: some seconds
MAX_TABLE = 4096  # experts in a table of all pairs, and tokens that fill it at a time
DENSE = 64  # products of a matrix in the time that it takes to count one pair
CHUNK = 1 << 18  # numbers counted at a time


def tally(
    key_K: np.ndarray, n_cells: int, weight_K: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that occur, ascending, and how often (or the sum of their weights).

    Time and memory go with the length of the list, however many cells there could be.

    Parameters
    ----------
    key_K
        Whole numbers from 0 below `n_cells`.
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
    """Tokens that two experts have in common, for each pair that has some.

    Parameters
    ----------
    adjacent
        Only pairs that stand next to each other in a token's ranking.

    Returns
    -------
    tuple
        The lower expert of each pair, (P,); the higher; and how many tokens chose both. Ascending.

    Raises
    ------
    ValueError
        If tokens have so many experts that counting would not end: `MAX_PAIRS`.
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
    left_A = np.repeat(np.cumsum(count_N), count_N) - np.arange(len(token_A)) - 1  # places after it
    place = np.flatnonzero(left_A >= 1)
    counted: list[tuple[np.ndarray, np.ndarray]] = []
    waiting: list[np.ndarray] = []
    n_waiting = 0
    for apart in range(1, 2 if adjacent else int(count_N.max(initial=1))):
        place = place[left_A[place] >= apart]
        one, other = expert_A[place], expert_A[place + apart]
        waiting.append(np.minimum(one, other) * n_experts + np.maximum(one, other))
        n_waiting += len(place)
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
        Row of each of C cells in each of R tables, and their column, whole numbers from 0. Cells in
        one place add up.
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
    told: list[np.ndarray] = []
    step = max(CHUNK // column_C.size, 1)
    for low in range(0, len(row_RC), step):
        own_RC = row_RC[low : low + step].astype(np.int64)
        n_tables = len(own_RC)
        own_RC += np.arange(n_tables)[:, None] * n_rows
        weight = np.broadcast_to(count_C, own_RC.shape).reshape(-1)
        sums = []
        for key, n_cells in ((own_RC, n_rows), (own_RC * n_columns + column_C, n_rows * n_columns)):
            cell, count = tally(key.reshape(-1), n_tables * n_cells, weight)
            sums.append(np.bincount(cell // n_cells, _x_log_x(count), n_tables))
        rows_R, cells_R = sums
        told.append(np.log(total) + (cells_R - rows_R - columns) / total)
    return np.maximum(np.concatenate(told), 0.0)


def _x_log_x(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * np.log(np.maximum(x, 1)))
