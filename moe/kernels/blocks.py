"""A matrix product inside a kernel: packed panels of B, tiles of C, rows of A anywhere.

It is faster than a BLAS call per expert: an expert has few rows, and BLAS repacks its weights for
each call. It also has no BLAS threads that would have to be limited, and its bits depend on nothing
but the data.

The loops of `multiply`, from the outside: a block of B (as deep as STRETCH, PANELS tiles wide) fits
the second cache and serves all rows of A before the next one is loaded; ROWS rows of A at a time
fit the first cache and meet every panel of the block; a panel is as wide as a tile and is packed,
its rows one after another, so that the tile (`tile.py`) reads memory in order.
"""

from __future__ import annotations

import numpy as np

from .backend import inner, njit
from .flat import Matrix, Rows
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

# The depth of a block and its panels at once: 256 kB of float32 at every width of vectors, a part
# of the second cache. `python -m benchmarks.constants blocks.RUN 512 2048` times other values of a
# constant. Other values of STRETCH change the order of sums, and so bits; no other one does.
DEPTH, PANELS = 256, 512 // VECTOR_BYTES
STRETCH = 5 * DEPTH // 4  # a little more depth is cheaper than a small block at the end
FEW = ROWS  # most rows for which packing B costs more than it saves, so that B is read as it lies
RUN = 1024  # columns of B that are read in one go when there are few rows


@njit
def scratch(like):
    """Working memory of `multiply` for one thread: panels of B, places of rows and columns."""
    columns = COLUMNS_32 if like.itemsize == 4 else COLUMNS_64
    return (
        room((STRETCH + 1) * columns * PANELS, like),
        np.empty(ROWS, np.int64),
        np.empty(columns, np.int64),
    )


@inner
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


@inner
def _widths(like):
    """Numbers in a vector, and columns of a tile."""
    columns = COLUMNS_32 if like.itemsize == 4 else COLUMNS_64
    return columns // VECTORS, columns


@inner
def _pack(b, depth, inside, packed, packed_at, column_at):
    """Copy B[:depth, :inside] into a panel, zeros in the columns that are missing."""
    _, columns = _widths(packed)
    check_rows(b.flat, b.at, depth, b.row, 1)
    check_rows(b.flat, b.at, inside, b.column, min(depth, 1))
    check_reach(packed, packed_at, depth * columns)
    if inside < columns:
        packed[packed_at : packed_at + depth * columns] = 0
    if b.row == 1:
        for j in range(inside):
            column_at[j] = b.at + j * b.column
        transpose(b.flat, column_at, inside, depth, packed, packed_at, columns)
        return
    for k in range(depth):
        place = packed_at + k * columns
        for j in range(inside):
            packed[place + j] = b.flat[b.at + k * b.row + j * b.column]


@inner
def _few_rows(a, b, c, shape, add, deep, memory):
    """`multiply` for few rows of A and rows of B without gaps.

    B is read once, from end to end, and never packed: a panel pays only if several tiles use it.
    """
    n_rows, n_columns, n_depth = shape
    sums, places, _ = memory
    out_flat, out_at, out_row = c
    lanes, _ = _widths(sums)
    rows = Rows(a.flat, places, a.step)
    gap = RUN + lanes  # rows of C itself may share cache sets
    check_reach(sums, 0, n_rows * gap)
    for left in range(0, n_columns, RUN):
        n = min(RUN, n_columns - left)
        check_rows(out_flat, out_at + left, n_rows, out_row, n)
        for k0 in range(0, n_depth, deep):
            k1 = min(k0 + deep, n_depth)
            check_rows(b.flat, b.at + k0 * b.row + left, k1 - k0, b.row, n)
            for m in range(n_rows):
                sums[m * gap : m * gap + n + lanes - 1] = 0
            for m in range(ROWS):
                places[m] = a.row_at[min(m, n_rows - 1)] + k0 * a.step
                check_rows(a.flat, places[m], k1 - k0, a.step, 1)
            k = k0
            while k < k1:
                at = b.at + k * b.row + left
                if k + STREAMS <= k1:
                    stream_rows(rows, b.flat, at, b.row, sums, gap, n, n_rows)
                    taken = STREAMS
                else:
                    stream_row(rows, b.flat, at, b.row, sums, gap, n, n_rows)
                    taken = 1
                for m in range(ROWS):
                    places[m] += taken * a.step
                k += taken
            for m in range(n_rows):
                at = out_at + m * out_row + left
                out, row = out_flat[at : at + n], sums[m * gap : m * gap + n]
                if add or k0 > 0:
                    for i in range(n):
                        out[i] += row[i]
                else:
                    for i in range(n):
                        out[i] = row[i]


@inner
def multiply(a, b, c, shape, add, then, memory):
    """C (+)= A @ B for parts of flat arrays.

    Every number of C is one sum, whatever the number of rows: the depth is cut into equal blocks
    of at most STRETCH steps, each block's terms are added one after another, from 0, and the
    blocks' sums are added to C in order. So a row has the same bits in any batch.

    Parameters
    ----------
    a, b, c
        `Rows`, `Matrix` and `Block`: where the three matrices lie.
    shape
        (M, N, K): C is (M, N), K is the depth.
    add
        Whether to add to C rather than overwrite it.
    then
        `Block` of the first rows of the B that the caller multiplies with next; they are fetched
        into the cache during the last block.
    memory
        From `scratch`; one per thread.
    """
    n_rows, n_columns, n_depth = shape
    packed, places, column_at = memory
    n_deep = max(1, -(-n_depth // STRETCH))
    deep = -(-n_depth // n_deep)
    if n_rows <= FEW and b.column == 1 and n_depth > 0:
        _few_rows(a, b, c, shape, add, deep, memory)
        return
    # Tuples are taken apart before the loops: inside of them each field would be counted as one
    # more reference to its array.
    a_flat, row_at, a_step = a
    b_flat, b_at, b_row, b_column = b
    c_flat, c_at, c_row = c
    tile_rows = Rows(a_flat, places, a_step)
    _, columns = _widths(packed)
    wide = columns * PANELS
    n_wide = -(-n_columns // wide)
    for block in range(n_deep * n_wide):
        k0, n0 = block // n_wide * deep, block % n_wide * wide
        depth, n = min(deep, n_depth - k0), min(wide, n_columns - n0)
        # Rows of the block that comes next, one for each tile product, are fetched meanwhile.
        soon, soon_at, soon_step = then
        if block + 1 < n_deep * n_wide:
            k1, n1 = (block + 1) // n_wide * deep, (block + 1) % n_wide * wide
            soon, soon_at = b_flat, b_at + k1 * b_row + n1 * b_column
            soon_step = max(b_row, b_column)
        adds = add or k0 > 0
        for m0 in range(0, n_rows, ROWS):
            rows = min(ROWS, n_rows - m0)
            # A tile always has ROWS rows: the last one computes some row again and drops it.
            for i in range(ROWS):
                places[i] = row_at[m0 + min(i, rows - 1)] + k0 * a_step
                check_rows(a_flat, places[i], depth, a_step, 1)
            check_rows(c_flat, c_at + m0 * c_row + n0, rows, c_row, n)
            for p in range(-(-n // columns)):
                panel = p * (deep + 1) * columns  # one more row, or panels would share cache sets
                from_b = b_at + k0 * b_row + (n0 + p * columns) * b_column
                place = c_at + m0 * c_row + n0 + p * columns
                inside = min(columns, n - p * columns)
                # The first tiles pack B, while they compute where its rows have no gaps; all
                # tiles below them find the panel in the second cache.
                if m0 == 0:
                    if inside == columns and b_column == 1:
                        check_rows(b_flat, from_b, depth, b_row, columns)
                        check_reach(packed, panel, depth * columns)
                        tile_stream(
                            tile_rows, b_flat, from_b, b_row, packed, panel, c_flat, place, c_row,
                            (depth, rows), adds,
                        )  # fmt: skip
                        continue
                    part = Matrix(b_flat, from_b, b_row, b_column)
                    _pack(part, depth, inside, packed, panel, column_at)
                fetch = soon_at + min(m0 // ROWS * PANELS + p, wide - 1) * soon_step
                tile_packed(
                    tile_rows, packed, panel, soon, fetch, c_flat, place, c_row,
                    (depth, rows, inside), adds,
                )  # fmt: skip
