"""From one fused product to the heads of attention: split, QK norm and rotary positions.

N rows (tokens), H query heads, G key and value heads, C size of a query's and a key's head, U of
a value's, R pairs of columns that turn with the position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .backend import choose


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
    return x_NHC * inverse * gain.reshape(-1, x_NHC.shape[2]), inverse.reshape(len(x_NHC), -1)


def _parts(qkv_NX: np.ndarray, shape: tuple[int, int, int, int]) -> list[np.ndarray]:
    """Views of the columns of q, k and v, a head an axis."""
    heads, groups, size, v_size = shape
    widths = heads * size, groups * size, groups * v_size
    q, k, v = np.split(qkv_NX, np.cumsum(widths)[:2], axis=1)
    n_rows = len(qkv_NX)
    return [
        q.reshape(n_rows, heads, size),
        k.reshape(n_rows, groups, size),
        v.reshape(n_rows, groups, v_size),
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


split_heads = choose(split_heads_oracle, split_heads_oracle)


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
    parts = [part.reshape(n_rows, -1) for part in (dq_NHC, dk_NGC, dv_NGU)]
    return np.concatenate(parts, axis=1), dq_gain, dk_gain


split_heads_backward = choose(split_heads_backward_oracle, split_heads_backward_oracle)
