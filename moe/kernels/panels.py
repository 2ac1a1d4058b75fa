"""Small products over panels that stay packed: what attention multiplies with.

A matrix of a head is small and meets many tiles of rows, so it is packed once, as a whole, and the
tile (`tile.py`) runs over its panels. A panel is as wide as a tile; its rows lie one after another.
A sum's terms are added one after another from 0, whatever tile it stands in.
"""

from __future__ import annotations

from .backend import inner
from .blocks import transpose
from .flat import Rows
from .memory import check_reach, check_rows
from .tile import COLUMNS_32, COLUMNS_64, ROWS, VECTORS, fetch_line, tile_narrow, tile_packed

LINE = 64  # bytes that memory brings at once


@inner
def columns_of(like):
    """Columns of a tile for this type of number."""
    return COLUMNS_32 if like.itemsize == 4 else COLUMNS_64


@inner
def lined_up(size, like):
    """The next multiple of a tile's columns."""
    columns = columns_of(like)
    return -(-size // columns) * columns


@inner
def pack_rows(b, b_at, b_row, depth, width, packed):
    """Pack B[k, j] = b[b_at + k * b_row + j], zeros in the columns that are missing."""
    columns = columns_of(packed)
    check_rows(b, b_at, depth, b_row, width)
    check_reach(packed, 0, lined_up(width, packed) * depth)
    place = 0
    for left in range(0, width, columns):
        inside = min(columns, width - left)
        for k in range(depth):
            given = b[b_at + k * b_row + left : b_at + k * b_row + left + inside]
            row = packed[place : place + columns]
            if inside == columns:
                for j in range(columns):
                    row[j] = given[j]
            else:
                for j in range(columns):
                    row[j] = 0
                for j in range(inside):
                    row[j] = given[j]
            place += columns


@inner
def pack_columns(b, b_at, b_row, depth, width, packed, row_at):
    """Pack the transpose: B[k, j] = b[b_at + j * b_row + k]."""
    columns = columns_of(packed)
    check_reach(packed, 0, lined_up(width, packed) * depth)
    for left in range(0, width, columns):
        inside = min(columns, width - left)
        place = left * depth
        for j in range(inside):
            row_at[j] = b_at + (left + j) * b_row
        if inside < columns:
            packed[place : place + depth * columns] = 0
        transpose(b, row_at, inside, depth, packed, place, columns)


@inner
def fetch_rows(flat, at, row, n_rows, width):
    """Ask for all lines of rows that lie apart, where the hardware sees no pattern to fetch."""
    for n in range(n_rows):
        for left in range(0, width, LINE // flat.itemsize):
            fetch_line(flat, at + n * row + left)


@inner
def place_rows(places, at, step, n_rows):
    """Where the rows of a tile begin; a tile has ROWS rows, so the last one stands for the rest."""
    for m in range(ROWS):
        places[m] = at + min(m, n_rows - 1) * step


@inner
def product(a, places, a_step, packed, packed_at, panel, c, c_at, c_row, size, add):
    """C (+)= A @ B for one tile of rows: A[m, k] = a[places[m] + k * a_step].

    `size` is (rows of C, columns of C, depth); the panels of B lie `panel` numbers apart from
    packed[packed_at] on.
    """
    n_rows, width, depth = size
    columns = columns_of(packed)
    check_rows(c, c_at, n_rows, c_row, width)
    for m in range(ROWS):
        check_rows(a, places[m], depth, a_step, 1)
    for left in range(0, width, columns):
        place = packed_at + left // columns * panel
        check_reach(packed, place, depth * columns)
        rows, sizes = Rows(a, places, a_step), (depth, n_rows, min(columns, width - left))
        if width - left <= columns // VECTORS:
            tile_narrow(rows, packed, place, packed, place, c, c_at + left, c_row, sizes, add)
        else:
            tile_packed(rows, packed, place, packed, place, c, c_at + left, c_row, sizes, add)
