"""Causal attention within each of several sequences of one length.

B sequences of T positions, N = B * T rows; H query heads and G heads of keys and values, H a
multiple of G: head h looks at the keys of head h // (H / G). C numbers of a query and a key, U of
a value. Kernels get arrays as one line of numbers and the distance between rows, since heads may
be columns of a wider array: the fused product, which then need not be copied.
"""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .costs import NUMBER_NS, PRODUCT_NS
from .heads import line_of
from .memory import check_reach, room
from .panels import columns_of, fetch_rows, lined_up, pack_columns, pack_rows, place_rows, product
from .softmax_rows import softmax_row
from .threads import run_items, take_item
from .tile import ROWS
from .workspace import empty

EXP_NS = 0.5  # of one score's exponential


def _by_head(x_NHC: np.ndarray, n_sequences: int, repeats: int = 1) -> np.ndarray:
    """Rows as (sequence, head, position, column), each head `repeats` times."""
    n_rows, heads, size = x_NHC.shape
    x_BTHC = x_NHC.reshape(n_sequences, n_rows // max(n_sequences, 1), heads, size)
    return np.repeat(x_BTHC.transpose(0, 2, 1, 3), repeats, axis=1)


def _rows(x_BHTC: np.ndarray, groups: int) -> np.ndarray:
    """Back to rows of heads; heads that share a group are added up."""
    b, h, t, c = x_BHTC.shape
    x_BGTC = x_BHTC.reshape(b, groups, h // groups, t, c).sum(axis=2)
    return np.ascontiguousarray(x_BGTC.transpose(0, 2, 1, 3)).reshape(b * t, groups, c)


def _scores(q_BHTC: np.ndarray, k_BHTC: np.ndarray, scale: float) -> np.ndarray:
    """Scaled products of queries and keys, minus infinity at keys that lie ahead."""
    scores_BHTT = q_BHTC @ k_BHTC.swapaxes(2, 3) * q_BHTC.dtype.type(scale)
    ahead_TT = np.triu(np.ones(scores_BHTT.shape[2:], bool), 1)
    return np.where(ahead_TT, -np.inf, scores_BHTT).astype(q_BHTC.dtype)


def attention_oracle(
    q_NHC: np.ndarray, k_NGC: np.ndarray, v_NGU: np.ndarray, n_sequences: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the values of each position and those before it, weighted by softmax(q k scale).

    Parameters
    ----------
    q_NHC, k_NGC, v_NGU
        Queries, keys and values; row b * T + t is position t of sequence b.
    n_sequences
        B; N is a multiple of it.
    scale
        Factor of the scores, commonly one over the root of C.

    Returns
    -------
    out_NHU, log_sum_NH
        The weighted means, and the logarithm of each softmax's sum, which the backward pass needs.
    """
    repeats = q_NHC.shape[1] // k_NGC.shape[1]
    q, k, v = (
        _by_head(q_NHC, n_sequences),
        _by_head(k_NGC, n_sequences, repeats),
        _by_head(v_NGU, n_sequences, repeats),
    )
    scores_BHTT = _scores(q, k, scale)
    top_BHT1 = scores_BHTT.max(axis=3, keepdims=True, initial=-np.inf)
    weight_BHTT = np.exp(scores_BHTT - top_BHT1)
    sum_BHT1 = weight_BHTT.sum(axis=3, keepdims=True)
    heads = q_NHC.shape[1]
    out_NHU = _rows(weight_BHTT @ v / sum_BHT1, heads)
    return out_NHU, _rows(top_BHT1 + np.log(sum_BHT1), heads)[:, :, 0]


@njit
def scratch(n_keys, size, v_size, like):
    """Working memory for one thread: packed keys and values, scores, places, running sums."""
    columns, wide = columns_of(like), lined_up(n_keys, like)
    return (
        room(wide * size, like),
        room(n_keys * -(-v_size // columns) * columns, like),
        room(ROWS * (wide + columns), like),  # rows a power of two apart would share cache sets
        np.empty(ROWS, np.int64),
        np.empty(columns, np.int64),
        room(2 * ROWS, like),
    )


@inner
def _attend(q, n_first, grow, n_packed, out, out_at, out_row, size, scale, memory):
    """Some queries of one head, row m against the first `n_first + m * grow` packed keys.

    Every number of a row is one sum over its keys in order, and terms of keys that lie ahead are
    zeros at its end: so the row's bits depend on nothing but its own keys.
    """
    keys, values, scores, places, _, top_sum = memory
    n_rows, depth, v_size = size
    columns, n_keys = columns_of(scores), n_first + (n_rows - 1) * grow
    wide, row = lined_up(n_keys, scores), scores.size // ROWS
    product(q, places, 1, keys, 0, depth * columns, scores, 0, row, (n_rows, wide, depth), False)
    for m in range(n_rows):
        check_reach(scores, m * row, wide)
        softmax_row(scores, m * row, wide, n_first + m * grow, scale, top_sum, 2 * m)
    place_rows(places, 0, row, n_rows)
    product(
        scores, places, 1, values, 0, n_packed * columns, out, out_at, out_row,
        (n_rows, v_size, n_keys), False,
    )  # fmt: skip
    for m in range(n_rows):
        share = 1 / top_sum[2 * m + 1]
        row_U = out[out_at + m * out_row : out_at + m * out_row + v_size]
        for i in range(v_size):
            row_U[i] *= share


@njit
def _attention(queue, n_items, q, k, v, out, log_sum, shape, rows, scale):
    # An item is a group of one sequence, whose keys and values are packed once for all its heads.
    n_length, heads, groups, size, v_size = shape
    q_row, k_row, v_row = rows
    memory = scratch(n_length, size, v_size, q)
    keys, values, _, places, column_at, top_sum = memory
    share = heads // groups
    item = take_item(queue)
    while item < n_items:
        low, g = item // groups * n_length, item % groups
        k_at, v_at = low * k_row + g * size, low * v_row + g * v_size
        fetch_rows(v, v_at, v_row, n_length, v_size)
        fetch_rows(q, low * q_row + g * share * size, q_row, n_length, share * size)
        pack_columns(k, k_at, k_row, size, n_length, keys, column_at)
        pack_rows(v, v_at, v_row, n_length, v_size, values)
        for h in range(g * share, (g + 1) * share):
            for t in range(0, n_length, ROWS):
                n_rows, at = min(ROWS, n_length - t), (low + t) * heads + h
                place_rows(places, (low + t) * q_row + h * size, q_row, n_rows)
                _attend(
                    q, t + 1, 1, n_length, out, at * v_size, heads * v_size,
                    (n_rows, size, v_size), scale, memory,
                )  # fmt: skip
                for m in range(n_rows):
                    log_sum[at + m * heads] = top_sum[2 * m] + np.log(top_sum[2 * m + 1])
        item = take_item(queue)


def _attention_fast(
    q_NHC: np.ndarray, k_NGC: np.ndarray, v_NGU: np.ndarray, n_sequences: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    (n_rows, heads, size), (_, groups, v_size) = q_NHC.shape, v_NGU.shape
    out_NHU, log_sum_NH = (
        empty((n_rows, heads, v_size), q_NHC.dtype),
        empty((n_rows, heads), q_NHC.dtype),
    )
    shape = (n_rows // max(n_sequences, 1), heads, groups, size, v_size)
    work_ns = n_rows * heads * shape[0] * (PRODUCT_NS * (size + v_size) + EXP_NS)
    lines, rows = zip(*(line_of(array) for array in (q_NHC, k_NGC, v_NGU)))
    run_items(
        _attention, n_sequences * groups, work_ns, *lines, out_NHU.reshape(-1),
        log_sum_NH.reshape(-1), shape, rows, q_NHC.dtype.type(scale),
    )  # fmt: skip
    return out_NHU, log_sum_NH


def pairs(n_rows: int, n_sequences: int) -> int:
    """Pairs of a query and a key that it sees, in one head."""
    return n_rows * (n_rows // max(n_sequences, 1) + 1) // 2


def _flops(
    made: tuple[np.ndarray, ...], q_NHC: np.ndarray, k_NGC: np.ndarray, v_NGU: np.ndarray,
    n_sequences: int, scale: float,
) -> int:  # fmt: skip
    """Operations of both products, over the keys that queries see."""
    n_rows, heads, size = q_NHC.shape
    return 2 * heads * pairs(n_rows, n_sequences) * (size + v_NGU.shape[2])


attention = choose(attention_oracle, _attention_fast, _flops)


def attention_step_oracle(
    q_BHC: np.ndarray, k_BTGC: np.ndarray, v_BTGU: np.ndarray, length: int, scale: float
) -> np.ndarray:
    """One new query of each sequence against its first `length` cached positions.

    Parameters
    ----------
    q_BHC
        The queries of position `length - 1`.
    k_BTGC, v_BTGU
        Caches of keys and values, with room for T positions.
    length
        How many of them are filled, the query's own included.
    scale
        Factor of the scores.

    Returns
    -------
    out_BHU
        Bit for bit the rows that `attention` computes at that position.
    """
    repeats = q_BHC.shape[1] // k_BTGC.shape[2]
    k_BHTC = np.repeat(k_BTGC[:, :length].transpose(0, 2, 1, 3), repeats, axis=1)
    v_BHTU = np.repeat(v_BTGU[:, :length].transpose(0, 2, 1, 3), repeats, axis=1)
    scores_BHT = (k_BHTC @ q_BHC[..., None])[..., 0] * q_BHC.dtype.type(scale)
    weight_BHT = np.exp(scores_BHT - scores_BHT.max(axis=2, keepdims=True))
    sum_BH1 = weight_BHT.sum(axis=2, keepdims=True)
    return np.asarray((weight_BHT[:, :, None] @ v_BHTU)[:, :, 0] / sum_BH1)


@njit
def _attention_step(queue, n_items, q, k, v, out, shape, scale):
    # An item is a group of one sequence; its heads are the rows of tiles.
    n_keys, room_T, heads, groups, size, v_size = shape
    memory = scratch(n_keys, size, v_size, q)
    keys, values, _, places, column_at, _ = memory
    share = heads // groups
    item = take_item(queue)
    while item < n_items:
        b, g = item // groups, item % groups
        at = b * room_T * groups + g
        pack_columns(k, at * size, groups * size, size, n_keys, keys, column_at)
        pack_rows(v, at * v_size, groups * v_size, n_keys, v_size, values)
        for h in range(0, share, ROWS):
            n_rows, at = min(ROWS, share - h), b * heads + g * share + h
            place_rows(places, at * size, size, n_rows)
            _attend(
                q, n_keys, 0, n_keys, out, at * v_size, v_size, (n_rows, size, v_size), scale,
                memory,
            )  # fmt: skip
        item = take_item(queue)


def _attention_step_fast(
    q_BHC: np.ndarray, k_BTGC: np.ndarray, v_BTGU: np.ndarray, length: int, scale: float
) -> np.ndarray:
    (n_sequences, heads, size), (_, room_T, groups, v_size) = q_BHC.shape, v_BTGU.shape
    out_BHU = empty((n_sequences, heads, v_size), q_BHC.dtype)
    shape = (length, room_T, heads, groups, size, v_size)
    work_ns = n_sequences * groups * length * (size + v_size) * NUMBER_NS["attention_step"]
    flat = (array.reshape(-1) for array in (q_BHC, k_BTGC, v_BTGU, out_BHU))
    run_items(_attention_step, n_sequences * groups, work_ns, *flat, shape, q_BHC.dtype.type(scale))
    return out_BHU


def _step_flops(
    out_BHU: np.ndarray, q_BHC: np.ndarray, k_BTGC: np.ndarray, v_BTGU: np.ndarray,
    length: int, scale: float,
) -> int:  # fmt: skip
    """Operations of both products."""
    return 2 * length * (q_BHC.size + out_BHU.size)


attention_step = choose(attention_step_oracle, _attention_step_fast, _step_flops)
