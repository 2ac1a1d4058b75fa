"""RMS norm, its gradient, and the norm fused with the residual addition before it."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .costs import NUMBER_NS
from .scores import dot
from .threads import run_items, take_item
from .workspace import empty

ROWS = 64  # of an item; each item adds up its rows' gradients of the gain


def _dot3(a, b, c):
    total = a[0] - a[0]
    for i in range(a.size):
        total += a[i] * b[i] * c[i]
    return total


dot3 = njit(_dot3, reorder=True, borrow=True)


@inner
def norm_row(x, gain, eps, y):
    """Write the RMS norm of a row, and return one over its root mean square."""
    inverse = 1 / np.sqrt(dot(x, x) / x.dtype.type(x.size) + eps)
    for d in range(x.size):
        y[d] = x[d] * inverse * gain[d]
    return inverse


@inner
def norm_row_backward(dy, x, gain, inverse, dx, dgain):
    """Write the gradient at a row, and add the row's part of the gradient at the gain."""
    along = dot3(dy, gain, x) * inverse * inverse / x.dtype.type(x.size)
    for d in range(x.size):
        dgain[d] += dy[d] * (x[d] * inverse)
    for d in range(x.size):
        dx[d] = inverse * (dy[d] * gain[d] - x[d] * along)


def rms_norm_oracle(
    x_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Divide each row by the root of its mean square, then scale it (arXiv 1910.07467).

    Parameters
    ----------
    x_ND, gain_D
        Rows, and the factor of each column.
    eps
        Is added to the mean square, so that a row of zeros stays finite.

    Returns
    -------
    y_ND, inverse_N
        The result, and one over each row's root mean square, which the backward pass needs.
    """
    kind = x_ND.dtype.type
    inverse_N = 1 / np.sqrt((x_ND * x_ND).mean(axis=1) + kind(eps))
    return x_ND * inverse_N[:, None] * gain_D, inverse_N


@njit
def _rms_norm(queue, n_items, x_ND, gain_D, eps, y_ND, inverse_N):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, x_ND.shape[0])):
            inverse_N[n] = norm_row(x_ND[n], gain_D, eps, y_ND[n])
        item = take_item(queue)


def _rms_norm_fast(
    x_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    y_ND, inverse_N = empty(x_ND.shape, x_ND.dtype), np.empty(len(x_ND), x_ND.dtype)
    work_ns = NUMBER_NS["rms_norm"] * x_ND.size
    run_items(
        _rms_norm, -(-len(x_ND) // ROWS), work_ns, x_ND, gain_D, x_ND.dtype.type(eps), y_ND,
        inverse_N,
    )  # fmt: skip
    return y_ND, inverse_N


rms_norm = choose(rms_norm_oracle, _rms_norm_fast)


def rms_norm_backward_oracle(
    dy_ND: np.ndarray, x_ND: np.ndarray, gain_D: np.ndarray, inverse_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of `rms_norm` at its rows, (N, D), and at its gain, (D,)."""
    inverse_N1 = inverse_N[:, None]
    normed_ND = x_ND * inverse_N1
    dnormed_ND = dy_ND * gain_D
    along_N1 = (dnormed_ND * normed_ND).mean(axis=1, keepdims=True)
    dx_ND = inverse_N1 * (dnormed_ND - normed_ND * along_N1)
    return dx_ND, (dy_ND * normed_ND).sum(axis=0)


@njit
def _rms_norm_backward(queue, n_items, dy_ND, x_ND, gain_D, inverse_N, dx_ND, dgain_ID):
    item = take_item(queue)
    while item < n_items:
        dgain_ID[item] = 0
        for n in range(item * ROWS, min((item + 1) * ROWS, x_ND.shape[0])):
            norm_row_backward(dy_ND[n], x_ND[n], gain_D, inverse_N[n], dx_ND[n], dgain_ID[item])
        item = take_item(queue)


def _rms_norm_backward_fast(
    dy_ND: np.ndarray, x_ND: np.ndarray, gain_D: np.ndarray, inverse_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n_items = -(-len(x_ND) // ROWS)
    dx_ND, dgain_ID = empty(x_ND.shape, x_ND.dtype), empty((n_items, gain_D.size), x_ND.dtype)
    work_ns = NUMBER_NS["rms_norm_backward"] * x_ND.size
    run_items(_rms_norm_backward, n_items, work_ns, dy_ND, x_ND, gain_D, inverse_N, dx_ND, dgain_ID)
    return dx_ND, dgain_ID.sum(axis=0)


rms_norm_backward = choose(rms_norm_backward_oracle, _rms_norm_backward_fast)


def add_rms_norm_oracle(
    x_ND: np.ndarray, added_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add to the residual stream and norm the sum: (sum_ND, y_ND, inverse_N)."""
    sum_ND = x_ND + added_ND
    return (sum_ND, *rms_norm_oracle(sum_ND, gain_D, eps))


@njit
def _add_rms_norm(queue, n_items, x_ND, added_ND, gain_D, eps, made):
    sum_ND, y_ND, inverse_N = made
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, x_ND.shape[0])):
            x, added, total = x_ND[n], added_ND[n], sum_ND[n]
            for d in range(x.size):
                total[d] = x[d] + added[d]
            inverse_N[n] = norm_row(total, gain_D, eps, y_ND[n])
        item = take_item(queue)


def _add_rms_norm_fast(
    x_ND: np.ndarray, added_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sum_ND, y_ND = empty(x_ND.shape, x_ND.dtype), empty(x_ND.shape, x_ND.dtype)
    made = sum_ND, y_ND, np.empty(len(x_ND), x_ND.dtype)
    work_ns = NUMBER_NS["rms_norm"] * x_ND.size
    run_items(
        _add_rms_norm, -(-len(x_ND) // ROWS), work_ns, x_ND, added_ND, gain_D,
        x_ND.dtype.type(eps), made,
    )  # fmt: skip
    return made


add_rms_norm = choose(add_rms_norm_oracle, _add_rms_norm_fast)
