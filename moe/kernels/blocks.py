"""A matrix product inside a kernel: packed panels of B, tiles of C, rows of A anywhere.

Faster than a BLAS call per expert: an expert has few rows, and BLAS repacks its weights for
each call. It also needs no BLAS threads to be tamed, and its bits depend on nothing but the data.
"""

from __future__ import annotations

import numpy as np

from .backend import njit
from .memory import check_reach, check_rows, room
from .tile import (
    COLUMNS_32,
    COLUMNS_64,
    ROWS,
    STREAMS,
    VECTOR_BYTES,
    VECTORS,
    stream_row,
    stream_rows,
    tile_packed,
    tile_stream,
    transpose_square,
)

# Steps of the inner dimension and panels of columns that are packed at once, at every width: 256 kB
# of float32, for the second cache.
DEPTH, PANELS = 256, 512 // VECTOR_BYTES
FEW = ROWS  # up to so many rows, packing costs more than it saves: read B as it lies,
RUN = 1024  # so many columns at a time
STRETCH = 5 * DEPTH // 4  # a little more depth is cheaper than a small block at the end


@njit
def scratch(like):
    """Working memory of `multiply` for one thread: panels of B, places of rows and columns."""
    columns = COLUMNS_32 if like.itemsize == 4 else COLUMNS_64
    return (
        room((STRETCH + 1) * columns * PANELS, like),
        np.empty(ROWS, np.int64),
        np.empty(columns, np.int64),
    )


@njit
def transpose(b, row_at, n_rows, width, out, out_at, out_row):
    """Copy rows to columns: out[out_at + j * out_row + i] is b[row_at[i] + j], j below width."""
    lanes, _ = _widths(b)
    check_rows(out, out_at, width, out_row, n_rows)
    squares = n_rows - n_rows % lanes
    whole = width - width % lanes
    for i in range(0, squares, lanes):
        for j in range(0, whole, lanes):
            transpose_square(b, row_at[i:], j, out, out_at + j * out_row + i, out_row)
    for i in range(n_rows):
        check_reach(b, row_at[i], width)
        for j in range(whole if i < squares else 0, width):
            out[out_at + j * out_row + i] = b[row_at[i] + j]


@njit
def _pack(b, b_at, b_row, b_column, depth, inside, packed, packed_at, column_at):
    """Copy B[:depth, :inside] into a panel, zeros in the columns that are missing."""
    _, columns = _widths(b)
    check_rows(b, b_at, depth, b_row, 1)
    check_rows(b, b_at, inside, b_column, min(depth, 1))
    check_reach(packed, packed_at, depth * columns)
    if inside < columns:
        packed[packed_at : packed_at + depth * columns] = 0
    if b_row == 1:
        for j in range(inside):
            column_at[j] = b_at + j * b_column
        transpose(b, column_at, inside, depth, packed, packed_at, columns)
        return
    for k in range(depth):
        place = packed_at + k * columns
        for j in range(inside):
            packed[place + j] = b[b_at + k * b_row + j * b_column]


@njit
def _widths(like):
    """Numbers in a vector, and columns of a tile."""
    columns = COLUMNS_32 if like.itemsize == 4 else COLUMNS_64
    return columns // VECTORS, columns


@njit
def _few_rows(a, row_at, a_step, b, b_at, b_row, c, c_at, c_row, shape, add, deep, memory):
    """`multiply` for few rows of A and rows of B without gaps: B streams through once."""
    n_rows, n_columns, n_depth = shape
    sums, places, _ = memory
    lanes, _ = _widths(a)
    gap = RUN + lanes  # rows of C itself may share cache sets
    check_reach(sums, 0, n_rows * gap)
    for left in range(0, n_columns, RUN):
        n = min(RUN, n_columns - left)
        check_rows(c, c_at + left, n_rows, c_row, n)
        for k0 in range(0, n_depth, deep):
            k1 = min(k0 + deep, n_depth)
            check_rows(b, b_at + k0 * b_row + left, k1 - k0, b_row, n)
            for m in range(n_rows):
                sums[m * gap : m * gap + n + lanes - 1] = 0
            for m in range(ROWS):
                places[m] = row_at[min(m, n_rows - 1)] + k0 * a_step
                check_rows(a, places[m], k1 - k0, a_step, 1)
            k = k0
            while k < k1:
                at = b_at + k * b_row + left
                if k + STREAMS <= k1:
                    stream_rows(a, places, a_step, b, at, b_row, sums, 0, gap, n, n_rows)
                    taken = STREAMS
                else:
                    stream_row(a, places, a_step, b, at, b_row, sums, 0, gap, n, n_rows)
                    taken = 1
                for m in range(ROWS):
                    places[m] += taken * a_step
                k += taken
            for m in range(n_rows):
                at = c_at + m * c_row + left
                out, row = c[at : at + n], sums[m * gap : m * gap + n]
                if add or k0 > 0:
                    for i in range(n):
                        out[i] += row[i]
                else:
                    for i in range(n):
                        out[i] = row[i]


@njit
def multiply(a, row_at, a_step, b, b_at, b_row, b_column, c, c_at, c_row, shape, add, then, memory):
    """C (+)= A @ B for flat arrays.

    Every number of C is one sum, whatever the number of rows: the depth is cut into equal blocks
    of at most STRETCH steps, each block's terms are added one after another, from 0, and the
    blocks' sums are added to C in order.

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
    then
        (array, place, step) of the first rows of the B that is wanted next; they are fetched
        during the last block.
    memory
        From `scratch`; one per thread.
    """
    n_rows, n_columns, n_depth = shape
    packed, places, column_at = memory
    n_deep = max(1, -(-n_depth // STRETCH))
    deep = -(-n_depth // n_deep)
    if n_rows <= FEW and b_column == 1 and n_depth > 0:
        _few_rows(a, row_at, a_step, b, b_at, b_row, c, c_at, c_row, shape, add, deep, memory)
        return
    _, columns = _widths(a)
    wide = columns * PANELS
    n_wide = -(-n_columns // wide)
    for block in range(n_deep * n_wide):
        k0, n0 = block // n_wide * deep, block % n_wide * wide
        depth, n = min(deep, n_depth - k0), min(wide, n_columns - n0)
        # Rows of the block that comes next, one for each tile product, are fetched meanwhile.
        soon, soon_at, soon_step = then
        if block + 1 < n_deep * n_wide:
            k1, n1 = (block + 1) // n_wide * deep, (block + 1) % n_wide * wide
            soon, soon_at = b, b_at + k1 * b_row + n1 * b_column
            soon_step = max(b_row, b_column)
        adds = add or k0 > 0
        for m0 in range(0, n_rows, ROWS):
            rows = min(ROWS, n_rows - m0)
            for i in range(ROWS):
                places[i] = row_at[m0 + min(i, rows - 1)] + k0 * a_step
                check_rows(a, places[i], depth, a_step, 1)
            check_rows(c, c_at + m0 * c_row + n0, rows, c_row, n)
            for p in range(-(-n // columns)):
                panel = p * (deep + 1) * columns  # one more row, or panels would share cache sets
                from_b = b_at + k0 * b_row + (n0 + p * columns) * b_column
                place = c_at + m0 * c_row + n0 + p * columns
                inside = min(columns, n - p * columns)
                if m0 == 0:
                    if inside == columns and b_column == 1:
                        check_rows(b, from_b, depth, b_row, columns)
                        check_reach(packed, panel, depth * columns)
                        tile_stream(
                            a, places, a_step, b, from_b, b_row, packed, panel, c, place, c_row,
                            depth, rows, adds,
                        )  # fmt: skip
                        continue
                    _pack(b, from_b, b_row, b_column, depth, inside, packed, panel, column_at)
                fetch = soon_at + min(m0 // ROWS * PANELS + p, wide - 1) * soon_step
                tile_packed(
                    a, places, a_step, packed, panel, soon, fetch, c, place, c_row, depth, rows,
                    inside, adds,
                )  # fmt: skip
