"""Orthogonal factors of many matrices at once: the Newton-Schulz iteration of Muon."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .blocks import multiply, scratch
from .costs import PRODUCT_NS
from .flat import Block, Matrix, Rows
from .memory import room, spaced
from .scores import dot
from .threads import run_items, take_item
from .workspace import empty

# Of the odd polynomial a s + b s^3 + c s^5 that each step applies to the singular values: it lifts
# small ones steeply, and holds all of them within about 0.7 to 1.2 (Jordan, "Muon", 2024).
FIRST, THIRD, FIFTH = 3.4445, -4.7750, 2.0315
TINY = 1e-7  # is added to the norm, so that a matrix of zeros stays one


def orthogonalize_oracle(g_KRS: np.ndarray, steps: int) -> np.ndarray:
    """Replace the singular values of each matrix by numbers near 1, approximately U V'.

    Parameters
    ----------
    g_KRS
        K matrices of R rows and S columns.
    steps
        Iterations; Muon uses 5.

    Returns
    -------
    o_KRS
        Matrices with the same singular vectors.
    """
    kind = g_KRS.dtype.type
    a, b, c = kind(FIRST), kind(THIRD), kind(FIFTH)
    wide = g_KRS.shape[1] <= g_KRS.shape[2]
    x_KRS = g_KRS if wide else g_KRS.swapaxes(1, 2)
    x_KRS = x_KRS / (np.sqrt((x_KRS * x_KRS).sum(axis=(1, 2), keepdims=True)) + kind(TINY))
    for _ in range(steps):
        square_KRR = x_KRS @ x_KRS.swapaxes(1, 2)
        x_KRS = a * x_KRS + (b * square_KRR + c * square_KRR @ square_KRR) @ x_KRS
    return np.ascontiguousarray(x_KRS if wide else x_KRS.swapaxes(1, 2))


@inner
def _step(x, out, square, poly, size, row_at, square_at, memory):
    """Write (a I + b A + c A A) x for A = x x'; x has not more rows than columns."""
    rows, columns = size
    kind = x.dtype.type
    a, b, c = kind(FIRST), kind(THIRD), kind(FIFTH)
    nothing = Block(x, 0, 0)
    multiply(
        Rows(x, row_at, 1), Matrix(x, 0, 1, columns), Block(square, 0, rows),
        (rows, rows, columns), False, nothing, memory,
    )  # fmt: skip
    multiply(
        Rows(square, square_at, 1), Matrix(square, 0, rows, 1), Block(poly, 0, rows),
        (rows, rows, rows), False, nothing, memory,
    )  # fmt: skip
    for i in range(rows * rows):
        poly[i] = b * square[i] + c * poly[i]
    for i in range(rows):
        poly[i * rows + i] += a
    multiply(
        Rows(poly, square_at, 1), Matrix(x, 0, columns, 1), Block(out, 0, columns),
        (rows, columns, rows), False, nothing, memory,
    )  # fmt: skip


@njit
def _orthogonalize(queue, n_items, g_KRS, o_KRS, steps):
    # An item is a matrix; all that a step needs stays in one core's caches.
    _, height, width = g_KRS.shape
    rows, columns = min(height, width), max(height, width)
    x, other = room(rows * columns, g_KRS), room(rows * columns, g_KRS)
    square, poly, memory = room(rows * rows, g_KRS), room(rows * rows, g_KRS), scratch(g_KRS)
    row_at, square_at = spaced(rows, columns), spaced(rows, rows)
    item = take_item(queue)
    while item < n_items:
        for i in range(height):
            for j in range(width):
                x[i * columns + j if height <= width else j * columns + i] = g_KRS[item, i, j]
        share = 1 / (np.sqrt(dot(x, x)) + x.dtype.type(TINY))
        for i in range(x.size):
            x[i] *= share
        for _ in range(steps):
            _step(x, other, square, poly, (rows, columns), row_at, square_at, memory)
            x, other = other, x
        for i in range(height):
            for j in range(width):
                o_KRS[item, i, j] = x[i * columns + j if height <= width else j * columns + i]
        item = take_item(queue)


def _orthogonalize_fast(g_KRS: np.ndarray, steps: int) -> np.ndarray:
    o_KRS = empty(g_KRS.shape, g_KRS.dtype)
    if o_KRS.size:
        work_ns = PRODUCT_NS * _flops(o_KRS, g_KRS, steps) / 2
        run_items(_orthogonalize, len(g_KRS), work_ns, g_KRS, o_KRS, steps)
    return o_KRS


def _flops(o_KRS: np.ndarray, g_KRS: np.ndarray, steps: int) -> int:
    """Operations of three products a step."""
    n_matrices, *size = g_KRS.shape
    return 2 * steps * n_matrices * min(size) ** 2 * (2 * max(size) + min(size))


orthogonalize = choose(orthogonalize_oracle, _orthogonalize_fast, _flops)
