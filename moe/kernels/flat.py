"""Where the rows and columns of a matrix lie inside a flat array: what the product kernels pass on.

A kernel multiplies parts of larger arrays: the rows of some tokens, a block of columns, a matrix
read from its other side. A numpy view of each part would cost more than a small product, so kernels
take the whole array, flat, and the numbers that find an element in it. numba passes these tuples in
registers. They are made inside compiled code only: from Python they cost more than plain tuples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """A left factor, whose rows may lie anywhere: A[m, k] is flat[row_at[m] + k * step]."""

    flat: np.ndarray
    row_at: np.ndarray
    step: int


class Matrix(NamedTuple):
    """A right factor, in either order of storage: B[k, n] is flat[at + k * row + n * column]."""

    flat: np.ndarray
    at: int
    row: int
    column: int


class Block(NamedTuple):
    """A block of rows without gaps inside each row: C[m, n] is flat[at + m * row + n]."""

    flat: np.ndarray
    at: int
    row: int
