"""Working memory of kernels, and, with `MOE_CHECK=1`, the proof that they stay inside of it.

The register tile works on bare addresses, where a step too far reads or writes other arrays.
So every caller says what it is about to touch, and working memory that nobody wrote holds NaN.
Otherwise both cost nothing: the compiler leaves them out.
"""

from __future__ import annotations

import numpy as np

from .backend import inner, njit
from .environment import CHECK


@njit
def room(size, like):
    """Working memory for `size` numbers of `like`'s type, with any contents."""
    out = np.empty(size, like.dtype)
    if CHECK:
        out[:] = np.nan
    return out


@njit
def spaced(count, step):
    """Places of rows that lie `step` apart: 0, step, 2 step, ..."""
    out = np.empty(count, np.int64)
    for i in range(count):
        out[i] = i * step
    return out


@inner
def check_reach(array, low, size):
    """Raise if `size` numbers from number `low` on are not all inside a flat array."""
    if CHECK:
        if size > 0 and (low < 0 or low + size > array.size):
            raise IndexError("a kernel left its array")


@inner
def check_rows(array, at, n_rows, row, width):
    """Raise if rows of `width` numbers, `row` apart from number `at` on, are not all inside."""
    if CHECK:
        if n_rows > 0 and width > 0:
            check_reach(array, at, 1)
            check_reach(array, at + (n_rows - 1) * row, width)
