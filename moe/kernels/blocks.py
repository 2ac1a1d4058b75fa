"""A matrix product inside a kernel: packed panels of B, tiles of C, rows of A anywhere.

Faster than a BLAS call per expert: an expert has few rows, and BLAS repacks its weights for
each call. It also needs no BLAS threads to be tamed, and its bits depend on nothing but the data.
"""

from __future__ import annotations

import numpy as np

from .backend import njit
from .tile import COLUMNS_32, COLUMNS_64, ROWS, copy_columns, tile_product

DEPTH = 256  # steps of the inner dimension, and
PANELS = 8  # panels of columns, that are packed at once: 256 kB of float32, for the second cache
FEW = 3  # up to so many rows, packing costs more than it saves: read B as it lies


@njit
def scratch(like):
    """Working memory of `multiply` for one thread: panels of B, an edge tile, row places."""
    columns = COLUMNS_32 if like.itemsize == 4 else COLUMNS_64
    return (
        np.empty((DEPTH + 1) * columns * PANELS, like.dtype),
        np.empty(ROWS * columns, like.dtype),
        np.empty(ROWS, np.int64),
    )


@njit
def _pack(b, b_at, b_row, b_column, depth, n, columns, packed):
    """Copy B[:depth, :n] into panels of `columns`, zeros in the columns that are missing."""
    size = (depth + 1) * columns  # one more row, or panels would share cache sets
    for p in range(-(-n // columns)):
        inside = min(columns, n - p * columns)
        start = b_at + p * columns * b_column
        if inside == columns and b_column == 1:
            for k in range(depth):
                copy_columns(b, start + k * b_row, packed, p * size + k * columns)
            continue
        for k in range(depth):
            place = p * size + k * columns
            for j in range(inside):
                packed[place + j] = b[start + k * b_row + j * b_column]
            for j in range(inside, columns):
                packed[place + j] = 0


@njit
def _few_rows(a, row_at, a_step, b, b_at, b_row, c, c_at, c_row, shape, add):
    """`multiply` for few rows of A and rows of B without gaps: B streams through once."""
    n_rows, n_columns, n_depth = shape
    if not add:
        for m in range(n_rows):
            c[c_at + m * c_row : c_at + m * c_row + n_columns] = 0
    whole = n_depth - n_depth % 4
    for k in range(0, whole, 4):
        at = b_at + k * b_row
        b0, b1 = b[at : at + n_columns], b[at + b_row : at + b_row + n_columns]
        b2 = b[at + 2 * b_row : at + 2 * b_row + n_columns]
        b3 = b[at + 3 * b_row : at + 3 * b_row + n_columns]
        for m in range(n_rows):
            from_a = row_at[m] + k * a_step
            a0, a1 = a[from_a], a[from_a + a_step]
            a2, a3 = a[from_a + 2 * a_step], a[from_a + 3 * a_step]
            out = c[c_at + m * c_row : c_at + m * c_row + n_columns]
            for n in range(n_columns):
                out[n] += (a0 * b0[n] + a1 * b1[n]) + (a2 * b2[n] + a3 * b3[n])
    for k in range(whole, n_depth):
        b0 = b[b_at + k * b_row : b_at + k * b_row + n_columns]
        for m in range(n_rows):
            a0 = a[row_at[m] + k * a_step]
            out = c[c_at + m * c_row : c_at + m * c_row + n_columns]
            for n in range(n_columns):
                out[n] += a0 * b0[n]


@njit
def multiply(a, row_at, a_step, b, b_at, b_row, b_column, c, c_at, c_row, shape, add, memory):
    """C (+)= A @ B for flat arrays.

    Parameters
    ----------
    a, row_at, a_step
        A[m, k] is a[row_at[m] + k * a_step]: rows may be gathered, or columns of a matrix.
    b, b_at, b_row, b_column
        B[k, n] is b[b_at + k * b_row + n * b_column]: either order of storage.
    c, c_at, c_row
        C[m, n] is c[c_at + m * c_row + n].
    shape
        (M, N, K).
    add
        Whether to add to C rather than overwrite it.
    memory
        From `scratch`; one per thread.
    """
    n_rows, n_columns, n_depth = shape
    if (n_rows <= FEW and b_column == 1) or n_depth == 0:
        _few_rows(a, row_at, a_step, b, b_at, b_row, c, c_at, c_row, shape, add)
        return
    packed, edge, places = memory
    columns = COLUMNS_32 if a.itemsize == 4 else COLUMNS_64
    for k0 in range(0, n_depth, DEPTH):
        depth = min(DEPTH, n_depth - k0)
        adds = add or k0 > 0
        for n0 in range(0, n_columns, columns * PANELS):
            n = min(columns * PANELS, n_columns - n0)
            _pack(b, b_at + k0 * b_row + n0 * b_column, b_row, b_column, depth, n, columns, packed)
            for m0 in range(0, n_rows, ROWS):
                rows = min(ROWS, n_rows - m0)
                for i in range(ROWS):
                    places[i] = row_at[m0 + min(i, rows - 1)] + k0 * a_step
                for p in range(-(-n // columns)):
                    panel = p * (depth + 1) * columns
                    place = c_at + m0 * c_row + n0 + p * columns
                    inside = min(columns, n - p * columns)
                    if inside == columns:
                        tile_product(
                            a, places, a_step, packed, panel, c, place, c_row, depth, rows, adds
                        )
                        continue
                    tile_product(
                        a, places, a_step, packed, panel, edge, 0, columns, depth, rows, False
                    )
                    for i in range(rows):
                        for j in range(inside):
                            at = place + i * c_row + j
                            new = edge[i * columns + j]
                            c[at] = c[at] + new if adds else new
