"""Gradients of causal attention."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .causal_attention import EXP_NS, _by_head, _rows, _scores, pairs
from .costs import PRODUCT_NS
from .heads import line_of
from .memory import check_reach, room
from .panels import columns_of, fetch_rows, lined_up, pack_columns, pack_rows, place_rows, product
from .scores import dot
from .softmax_rows import softmax_row_backward
from .threads import run_items, take_item
from .tile import ROWS
from .workspace import empty

BLOCK = 48  # queries whose scores are in memory at once: whole tiles at every width of vectors


def attention_backward_oracle(
    dout_NHU: np.ndarray,
    q_NHC: np.ndarray,
    k_NGC: np.ndarray,
    v_NGU: np.ndarray,
    out_NHU: np.ndarray,
    log_sum_NH: np.ndarray,
    n_sequences: int,
    scale: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of `attention` at queries, keys and values.

    The weights are computed again from the scores and `log_sum_NH`, so that nothing of T * T
    numbers has to be kept (arXiv 2205.14135).
    """
    heads, groups = q_NHC.shape[1], k_NGC.shape[1]
    q, dout, out = (_by_head(x, n_sequences) for x in (q_NHC, dout_NHU, out_NHU))
    k, v = (_by_head(x, n_sequences, heads // groups) for x in (k_NGC, v_NGU))
    log_sum_BHT1 = _by_head(log_sum_NH[:, :, None], n_sequences)
    weight_BHTT = np.exp(_scores(q, k, scale) - log_sum_BHT1)
    dweight_BHTT = dout @ v.swapaxes(2, 3)
    along_BHT1 = (dout * out).sum(axis=3, keepdims=True)
    dscores_BHTT = weight_BHTT * (dweight_BHTT - along_BHT1) * q.dtype.type(scale)
    return (
        _rows(dscores_BHTT @ k, heads),
        _rows(dscores_BHTT.swapaxes(2, 3) @ q, groups),
        _rows(weight_BHTT.swapaxes(2, 3) @ dout, groups),
    )


@njit
def _scratch(n_keys, size, v_size, like):
    """Working memory for one thread: packed keys, values, rows; weights and their gradients."""
    columns, wide = columns_of(like), lined_up(n_keys, like)
    return (
        room(wide * size, like),
        room(wide * v_size, like),
        room(n_keys * lined_up(size, like), like),
        room(BLOCK * lined_up(size, like), like),
        room(BLOCK * lined_up(v_size, like), like),
        room(BLOCK * (wide + columns), like),  # rows a power of two apart would share cache sets
        room(BLOCK * (wide + columns), like),
        np.empty(ROWS, np.int64),
        np.empty(columns, np.int64),
    )


@inner
def _weights(arrays, low, high, start, h, shape, rows, scale, memory):
    """Weights of the queries low..high - 1 of one head, gradients of their scores, and dq."""
    q, dout, out, log_sum, dq = arrays
    n_length, heads, _, size, v_size = shape
    q_row, _, _, dq_row = rows
    keys, values, key_rows, _, _, weights, dscores, places, _ = memory
    columns, row = columns_of(weights), weights.size // BLOCK
    for t in range(low, high, ROWS):
        n_rows, here, place = min(ROWS, high - t), (start + t) * heads + h, (t - low) * row
        wide = lined_up(t + n_rows, weights)
        place_rows(places, (start + t) * q_row + h * size, q_row, n_rows)
        product(
            q, places, 1, keys, 0, size * columns, weights, place, row, (n_rows, wide, size), False
        )
        place_rows(places, here * v_size, heads * v_size, n_rows)
        product(
            dout, places, 1, values, 0, v_size * columns, dscores, place, row,
            (n_rows, wide, v_size), False,
        )  # fmt: skip
        for m in range(n_rows):
            n = here + m * heads
            along = dot(dout[n * v_size : (n + 1) * v_size], out[n * v_size : (n + 1) * v_size])
            check_reach(weights, place + m * row, wide)
            check_reach(dscores, place + m * row, wide)
            softmax_row_backward(
                weights, place + m * row, dscores, place + m * row, wide, t + m + 1, scale,
                log_sum[n], along,
            )  # fmt: skip
        place_rows(places, place, row, n_rows)
        product(
            dscores, places, 1, key_rows, 0, n_length * columns, dq,
            (start + t) * dq_row + h * size, dq_row, (n_rows, size, t + n_rows), False,
        )  # fmt: skip


@inner
def _keys(arrays, low, high, start, h, shape, rows, memory):
    """Add what the queries low..high - 1 of one head give to dk and dv."""
    q, dout, dk, dv = arrays
    _, heads, groups, size, v_size = shape
    q_row, _, _, made_row = rows
    g = h // (heads // groups)
    _, _, _, q_rows, dout_rows, weights, dscores, places, _ = memory
    columns, row, n = columns_of(weights), weights.size // BLOCK, high - low
    pack_rows(q, (start + low) * q_row + h * size, q_row, n, size, q_rows)
    pack_rows(dout, ((start + low) * heads + h) * v_size, heads * v_size, n, v_size, dout_rows)
    for u in range(0, high, ROWS):
        first = max(low, u)  # earlier queries do not see these keys
        n_rows, skip, here = min(ROWS, high - u), first - low, (start + u) * made_row
        place_rows(places, skip * row + u, 1, n_rows)
        product(
            dscores, places, row, q_rows, skip * columns, n * columns, dk, here + g * size,
            made_row, (n_rows, size, high - first), True,
        )  # fmt: skip
        product(
            weights, places, row, dout_rows, skip * columns, n * columns, dv, here + g * v_size,
            made_row, (n_rows, v_size, high - first), True,
        )  # fmt: skip


@njit
def _attention_backward(queue, n_items, given, made, shape, rows, scale):
    # An item is a group of one sequence: all that its keys and values get is added up in order.
    dout, q, k, v, out, log_sum = given
    dq, dk, dv = made
    n_length, heads, groups, size, v_size = shape
    q_row, k_row, v_row, made_row = rows
    memory = _scratch(n_length, size, v_size, q)
    keys, values, key_rows, _, _, _, _, _, column_at = memory
    share = heads // groups
    item = take_item(queue)
    while item < n_items:
        start, g = item // groups * n_length, item % groups
        k_at, v_at = start * k_row + g * size, start * v_row + g * v_size
        first, wide = start * heads + g * share, heads * v_size
        fetch_rows(v, v_at, v_row, n_length, v_size)
        fetch_rows(q, start * q_row + g * share * size, q_row, n_length, share * size)
        fetch_rows(dout, first * v_size, wide, n_length, share * v_size)
        fetch_rows(out, first * v_size, wide, n_length, share * v_size)
        pack_columns(k, k_at, k_row, size, n_length, keys, column_at)
        pack_columns(v, v_at, v_row, v_size, n_length, values, column_at)
        pack_rows(k, k_at, k_row, n_length, size, key_rows)
        for t in range(start, start + n_length):
            dk[t * made_row + g * size : t * made_row + (g + 1) * size] = 0
            dv[t * made_row + g * v_size : t * made_row + (g + 1) * v_size] = 0
        for h in range(g * share, (g + 1) * share):
            for low in range(0, n_length, BLOCK):
                high = min(low + BLOCK, n_length)
                _weights(
                    (q, dout, out, log_sum, dq), low, high, start, h, shape, rows, scale, memory
                )
                _keys((q, dout, dk, dv), low, high, start, h, shape, rows, memory)
        item = take_item(queue)


def _attention_backward_fast(
    dout_NHU: np.ndarray,
    q_NHC: np.ndarray,
    k_NGC: np.ndarray,
    v_NGU: np.ndarray,
    out_NHU: np.ndarray,
    log_sum_NH: np.ndarray,
    n_sequences: int,
    scale: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (n_rows, heads, size), (_, groups, v_size) = q_NHC.shape, v_NGU.shape
    # The three gradients are columns of one array: often that of the fused product, as it stands.
    widths = heads * size, groups * size, groups * v_size
    made_NX = empty((n_rows, sum(widths)), q_NHC.dtype)
    flat, ends = made_NX.reshape(-1), (widths[0], widths[0] + widths[1])
    shape = (n_rows // max(n_sequences, 1), heads, groups, size, v_size)
    work_ns = n_rows * heads * shape[0] * (PRODUCT_NS * (3 * size + 2 * v_size) + EXP_NS)
    (q, q_row), (k, k_row), (v, v_row) = (line_of(array) for array in (q_NHC, k_NGC, v_NGU))
    kept = (array.reshape(-1) for array in (out_NHU, log_sum_NH))
    run_items(
        _attention_backward, n_sequences * groups, work_ns,
        (dout_NHU.reshape(-1), q, k, v, *kept), (flat, flat[ends[0] :], flat[ends[1] :]), shape,
        (q_row, k_row, v_row, made_NX.shape[1]), q_NHC.dtype.type(scale),
    )  # fmt: skip
    return (
        made_NX[:, : ends[0]].reshape(q_NHC.shape),
        made_NX[:, ends[0] : ends[1]].reshape(k_NGC.shape),
        made_NX[:, ends[1] :].reshape(v_NGU.shape),
    )


def _flops(
    grads: tuple[np.ndarray, ...], dout_NHU: np.ndarray, q_NHC: np.ndarray, k_NGC: np.ndarray,
    v_NGU: np.ndarray, out_NHU: np.ndarray, log_sum_NH: np.ndarray, n_sequences: int,
    scale: float,
) -> int:  # fmt: skip
    """Operations of five products: the scores again, dweight, dq, dk and dv."""
    n_rows, heads, size = q_NHC.shape
    return 2 * heads * pairs(n_rows, n_sequences) * (3 * size + 2 * v_NGU.shape[2])


attention_backward = choose(attention_backward_oracle, _attention_backward_fast, _flops)
