"""From one fused product to the heads of attention: split, QK norm and rotary positions.

N rows (tokens), H query heads, G key and value heads, C size of a query's and a key's head, U of
a value's, R pairs of columns that turn with the position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .backend import choose, inner, njit
from .costs import NUMBER_NS
from .norms import norm_row, norm_row_backward
from .threads import run_items, take_item
from .workspace import empty

ROWS = 64  # of an item; each item adds up its rows' gradients of the gains


class SplitHeads(NamedTuple):
    """What `split_heads` leaves for its backward pass.

    `q_inverse` and `k_inverse` hold one over the root mean square: (N, heads) where each head has
    its own norm, (N, 1) where a norm covers the whole width, (N, 0) without a norm.
    """

    qkv_NX: np.ndarray
    shape: tuple[int, int, int, int]
    q_gain: np.ndarray | None
    k_gain: np.ndarray | None
    q_inverse: np.ndarray
    k_inverse: np.ndarray
    position_N: np.ndarray
    cos_TR: np.ndarray
    sin_TR: np.ndarray
    interleaved: bool


def _place(x: np.ndarray) -> int:
    """Address of the first number."""
    return int(x.__array_interface__["data"][0])


def line_of(x_NHC: np.ndarray) -> tuple[np.ndarray, int]:
    """The numbers of rows of heads as one line, and the distance between two rows in it.

    Columns of a wider array stay where they are; what lies in another order is copied.
    """
    n_rows, heads, size = x_NHC.shape
    whole, each = x_NHC.base, x_NHC.itemsize
    if (
        x_NHC.flags.c_contiguous
        or not isinstance(whole, np.ndarray)
        or whole.ndim != 2
        or whole.dtype != x_NHC.dtype
        or not whole.flags.c_contiguous
        or x_NHC.strides != (whole.strides[0], size * each, each)
    ):
        return np.ascontiguousarray(x_NHC).reshape(-1), heads * size
    row = whole.shape[1]
    length = (n_rows - 1) * row + heads * size
    return np.ndarray(length, x_NHC.dtype, whole, _place(x_NHC) - _place(whole)), row


def _pairs(size: int, half: int, interleaved: bool) -> tuple[slice, slice]:
    """Columns of a head that turn: the first and the second of each pair."""
    start = size - 2 * half
    if interleaved:
        return slice(start, size, 2), slice(start + 1, size, 2)
    return slice(start, start + half), slice(start + half, size)


def _turned(
    x_NHC: np.ndarray, cos_NR: np.ndarray, sin_NR: np.ndarray, interleaved: bool
) -> np.ndarray:
    """Turn each pair of columns by the angle of its row."""
    first, second = _pairs(x_NHC.shape[2], cos_NR.shape[1], interleaved)
    cos, sin = cos_NR[:, None], sin_NR[:, None]
    y_NHC = x_NHC.copy()
    y_NHC[:, :, first] = x_NHC[:, :, first] * cos - x_NHC[:, :, second] * sin
    y_NHC[:, :, second] = x_NHC[:, :, second] * cos + x_NHC[:, :, first] * sin
    return y_NHC


def _norm_axes(gain: np.ndarray, size: int) -> tuple[int, ...]:
    """Axes of (N, H, C) that share a norm: one head's columns, or all."""
    return (2,) if gain.size == size else (1, 2)


def _normed(
    x_NHC: np.ndarray, gain: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """RMS norm of each head or of the whole width, and one over the roots."""
    if gain is None:
        return x_NHC, np.empty((len(x_NHC), 0), x_NHC.dtype)
    axes = _norm_axes(gain, x_NHC.shape[2])
    mean = (x_NHC * x_NHC).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(mean + x_NHC.dtype.type(eps))
    return x_NHC * inverse * gain.reshape(-1, x_NHC.shape[2]), inverse[:, :, 0]


def _parts(qkv_NX: np.ndarray, shape: tuple[int, int, int, int]) -> list[np.ndarray]:
    """Views of the columns of q, k and v, a head an axis."""
    heads, groups, size, v_size = shape
    n_rows, q_end = len(qkv_NX), heads * size
    k_end = q_end + groups * size
    return [
        qkv_NX[:, :q_end].reshape(n_rows, heads, size),
        qkv_NX[:, q_end:k_end].reshape(n_rows, groups, size),
        qkv_NX[:, k_end:].reshape(n_rows, groups, v_size),
    ]


def split_heads_oracle(
    qkv_NX: np.ndarray,
    shape: tuple[int, int, int, int],
    q_gain: np.ndarray | None,
    k_gain: np.ndarray | None,
    eps: float,
    position_N: np.ndarray,
    cos_TR: np.ndarray,
    sin_TR: np.ndarray,
    interleaved: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, SplitHeads]:
    """Split a fused product into heads, norm queries and keys, and turn them by their position.

    Parameters
    ----------
    qkv_NX
        Columns are H * C of the queries, then G * C of the keys, then G * U of the values.
    shape
        (H, G, C, U).
    q_gain, k_gain
        Gains of the RMS norms: of C numbers, each head has its own norm (Qwen3, arXiv 2505.09388);
        of H * C or G * C, a norm covers the whole width (OLMoE, arXiv 2409.02060); None: no norm.
    eps
        Is added to a mean square.
    position_N
        Position of each row in its sequence.
    cos_TR, sin_TR
        Tables of rotary positions (arXiv 2104.09864); the last 2 R of the C columns turn.
    interleaved
        Whether neighbouring columns make a pair, or the two halves of what turns.

    Returns
    -------
    q_NHC, k_NGC, v_NGU, kept
        The heads, and what `split_heads_backward` needs.
    """
    q_NHC, k_NGC, v_NGU = _parts(qkv_NX, shape)
    cos_NR, sin_NR = cos_TR[position_N], sin_TR[position_N]
    q_NHC, q_inverse = _normed(q_NHC, q_gain, eps)
    k_NGC, k_inverse = _normed(k_NGC, k_gain, eps)
    kept = SplitHeads(
        qkv_NX, shape, q_gain, k_gain, q_inverse, k_inverse, position_N, cos_TR, sin_TR, interleaved
    )
    return (
        _turned(q_NHC, cos_NR, sin_NR, interleaved),
        _turned(k_NGC, cos_NR, sin_NR, interleaved),
        np.ascontiguousarray(v_NGU),
        kept,
    )


@inner
def _turn_row(row, cos, sin, size, interleaved):
    """Turn the pairs of each head in a row, in place."""
    half = cos.size
    for head in range(0, row.size, size):
        turning = row[head + size - 2 * half : head + size]
        if interleaved:
            for r in range(half):
                a, b = turning[2 * r], turning[2 * r + 1]
                turning[2 * r] = a * cos[r] - b * sin[r]
                turning[2 * r + 1] = b * cos[r] + a * sin[r]
        else:
            first, second = turning[:half], turning[half:]
            for r in range(half):
                a, b = first[r], second[r]
                first[r] = a * cos[r] - b * sin[r]
                second[r] = b * cos[r] + a * sin[r]


@inner
def _norm_heads(x, gain, eps, y, inverse):
    """Norm a row in as many equal parts as `inverse` has numbers; without any, copy it."""
    if inverse.size == 0:
        for i in range(x.size):
            y[i] = x[i]
    for part in range(inverse.size):
        low, high = part * gain.size, (part + 1) * gain.size
        inverse[part] = norm_row(x[low:high], gain, eps, y[low:high])


@njit
def _split_heads(queue, n_items, qkv_NX, gains, eps, position_N, tables, made, size, interleaved):
    q_gain, k_gain = gains
    cos_TR, sin_TR = tables
    q_NX, k_NX, q_inverse, k_inverse = made
    q_end = q_NX.shape[1]
    k_end = q_end + k_NX.shape[1]
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, qkv_NX.shape[0])):
            row, cos, sin = qkv_NX[n], cos_TR[position_N[n]], sin_TR[position_N[n]]
            _norm_heads(row[:q_end], q_gain, eps, q_NX[n], q_inverse[n])
            _norm_heads(row[q_end:k_end], k_gain, eps, k_NX[n], k_inverse[n])
            _turn_row(q_NX[n], cos, sin, size, interleaved)
            _turn_row(k_NX[n], cos, sin, size, interleaved)
        item = take_item(queue)


def _as_given(kept: SplitHeads) -> bool:
    """Whether queries and keys are the product's own numbers: no norm, and nothing turns."""
    return kept.q_gain is None and kept.k_gain is None and kept.cos_TR.shape[1] == 0


def _norms(gain: np.ndarray | None, heads: int, size: int) -> int:
    """How many norms a row has."""
    return 0 if gain is None else heads if gain.size == size else 1


def _split_heads_fast(
    qkv_NX: np.ndarray,
    shape: tuple[int, int, int, int],
    q_gain: np.ndarray | None,
    k_gain: np.ndarray | None,
    eps: float,
    position_N: np.ndarray,
    cos_TR: np.ndarray,
    sin_TR: np.ndarray,
    interleaved: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, SplitHeads]:
    (heads, groups, size, _), n_rows, dtype = shape, len(qkv_NX), qkv_NX.dtype
    q_NHC, k_NGC, v_NGU = _parts(qkv_NX, shape)  # what neither norm nor turn changes stays a view
    q_inverse = empty((n_rows, _norms(q_gain, heads, size)), dtype)
    k_inverse = empty((n_rows, _norms(k_gain, groups, size)), dtype)
    kept = SplitHeads(
        qkv_NX, shape, q_gain, k_gain, q_inverse, k_inverse, position_N, cos_TR, sin_TR, interleaved
    )
    if _as_given(kept):
        return q_NHC, k_NGC, v_NGU, kept
    none = np.empty(0, dtype)
    q_NX, k_NX = (empty((n_rows, width * size), dtype) for width in (heads, groups))
    gains = none if q_gain is None else q_gain, none if k_gain is None else k_gain
    run_items(
        _split_heads, -(-n_rows // ROWS), NUMBER_NS["split_heads"] * qkv_NX.size, qkv_NX, gains,
        dtype.type(eps), position_N, (cos_TR, sin_TR), (q_NX, k_NX, q_inverse, k_inverse), size,
        interleaved,
    )  # fmt: skip
    return q_NX.reshape(q_NHC.shape), k_NX.reshape(k_NGC.shape), v_NGU, kept


split_heads = choose(split_heads_oracle, _split_heads_fast)


def _normed_backward(
    dy_NHC: np.ndarray, x_NHC: np.ndarray, gain: np.ndarray | None, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gradients of `_normed` at its input and at its gain."""
    if gain is None:
        return dy_NHC, None
    axes = _norm_axes(gain, x_NHC.shape[2])
    normed_NHC = x_NHC * inverse[:, :, None]
    dnormed_NHC = dy_NHC * gain.reshape(-1, x_NHC.shape[2])
    along = (dnormed_NHC * normed_NHC).mean(axis=axes, keepdims=True)
    dx_NHC = inverse[:, :, None] * (dnormed_NHC - normed_NHC * along)
    shared = (0, 1) if axes == (2,) else 0
    return dx_NHC, (dy_NHC * normed_NHC).sum(axis=shared).reshape(-1)


def split_heads_backward_oracle(
    dq_NHC: np.ndarray, dk_NGC: np.ndarray, dv_NGU: np.ndarray, kept: SplitHeads
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Gradients of `split_heads` at the fused product, (N, X), and at both gains."""
    n_rows = len(dq_NHC)
    q_NHC, k_NGC, _ = _parts(kept.qkv_NX, kept.shape)
    cos_NR, sin_NR = kept.cos_TR[kept.position_N], kept.sin_TR[kept.position_N]
    # A turn's transpose is the turn back.
    dq_NHC = _turned(dq_NHC, cos_NR, -sin_NR, kept.interleaved)
    dk_NGC = _turned(dk_NGC, cos_NR, -sin_NR, kept.interleaved)
    dq_NHC, dq_gain = _normed_backward(dq_NHC, q_NHC, kept.q_gain, kept.q_inverse)
    dk_NGC, dk_gain = _normed_backward(dk_NGC, k_NGC, kept.k_gain, kept.k_inverse)
    parts = (dq_NHC, dk_NGC, dv_NGU)
    widths = [part.shape[1] * part.shape[2] for part in parts]
    rows = [part.reshape(n_rows, width) for part, width in zip(parts, widths)]
    return np.concatenate(rows, axis=1), dq_gain, dk_gain


@inner
def _heads_back(dy, x, gain, inverse, cos, sin, size, interleaved, turned, dx, dgain):
    """Gradients of `_norm_heads` and `_turn_row` at a row, and its part of that at the gain."""
    out = dx if inverse.size == 0 else turned
    for i in range(x.size):
        out[i] = dy[i]
    _turn_row(out, cos, sin, size, interleaved)
    for part in range(inverse.size):
        low, high = part * gain.size, (part + 1) * gain.size
        norm_row_backward(turned[low:high], x[low:high], gain, inverse[part], dx[low:high], dgain)


@njit
def _split_heads_backward(queue, n_items, given, rows, widths, kept, made, size, interleaved):
    dq, dk, dv, qkv_NX, position_N = given
    dq_row, dk_row, dv_row = rows
    q_gain, k_gain, q_inverse, k_inverse, cos_TR, sin_TR = kept
    dqkv_NX, dq_gain_IX, dk_gain_IX = made
    q_width, k_width, v_width = widths
    q_end, k_end = q_width, q_width + k_width
    turned = np.empty(max(q_width, k_width), dq.dtype)
    back = np.empty(sin_TR.shape[1], sin_TR.dtype)
    item = take_item(queue)
    while item < n_items:
        dq_gain_IX[item] = 0
        dk_gain_IX[item] = 0
        for n in range(item * ROWS, min((item + 1) * ROWS, qkv_NX.shape[0])):
            row, drow, cos = qkv_NX[n], dqkv_NX[n], cos_TR[position_N[n]]
            sin = sin_TR[position_N[n]]
            for r in range(sin.size):  # a turn's transpose is the turn back
                back[r] = -sin[r]
            _heads_back(
                dq[n * dq_row : n * dq_row + q_width], row[:q_end], q_gain, q_inverse[n], cos,
                back, size, interleaved, turned[:q_width], drow[:q_end], dq_gain_IX[item],
            )  # fmt: skip
            _heads_back(
                dk[n * dk_row : n * dk_row + k_width], row[q_end:k_end], k_gain, k_inverse[n], cos,
                back, size, interleaved, turned[:k_width], drow[q_end:k_end], dk_gain_IX[item],
            )  # fmt: skip
            given_v, out = dv[n * dv_row : n * dv_row + v_width], drow[k_end:]
            for i in range(v_width):
                out[i] = given_v[i]
        item = take_item(queue)


def _side_by_side(dq_NHC: np.ndarray, dk_NGC: np.ndarray, dv_NGU: np.ndarray) -> np.ndarray | None:
    """The array (N, X) whose columns the three are, in this order; None if there is none."""
    whole = dq_NHC.base
    if not isinstance(whole, np.ndarray) or dk_NGC.base is not whole or dv_NGU.base is not whole:
        return None
    if whole.ndim != 2 or len(whole) != len(dq_NHC) or not whole.flags.c_contiguous:
        return None
    place = _place(whole)
    for part in (dq_NHC, dk_NGC, dv_NGU):
        _, heads, size = part.shape
        strides = (whole.strides[0], size * part.itemsize, part.itemsize)
        if part.strides != strides or _place(part) != place:
            return None
        place += heads * size * part.itemsize
    return whole if place == _place(whole) + whole.strides[0] else None


def _split_heads_backward_fast(
    dq_NHC: np.ndarray, dk_NGC: np.ndarray, dv_NGU: np.ndarray, kept: SplitHeads
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    n_rows, dtype = len(dq_NHC), dq_NHC.dtype
    whole = _side_by_side(dq_NHC, dk_NGC, dv_NGU)
    if whole is not None and _as_given(kept):
        return whole, None, None
    n_items, none = -(-n_rows // ROWS), np.empty(0, dtype)
    gains = [none if gain is None else gain for gain in (kept.q_gain, kept.k_gain)]
    parts = [empty((n_items, gain.size), dtype) for gain in gains]
    dqkv_NX = empty(kept.qkv_NX.shape, dtype)
    heads, groups, size, v_size = kept.shape
    lines, rows = zip(*(line_of(array) for array in (dq_NHC, dk_NGC, dv_NGU)))
    run_items(
        _split_heads_backward, n_items, NUMBER_NS["split_heads_backward"] * dqkv_NX.size,
        (*lines, kept.qkv_NX, kept.position_N), rows,
        (heads * size, groups * size, groups * v_size),
        (*gains, kept.q_inverse, kept.k_inverse, kept.cos_TR, kept.sin_TR),
        (dqkv_NX, *parts), size, kept.interleaved,
    )  # fmt: skip
    dq_gain, dk_gain = (
        None if gain is None else part.sum(axis=0)
        for gain, part in zip((kept.q_gain, kept.k_gain), parts)
    )
    return dqkv_NX, dq_gain, dk_gain


split_heads_backward = choose(split_heads_backward_oracle, _split_heads_backward_fast)
