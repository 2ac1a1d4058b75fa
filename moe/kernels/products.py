"""Dense matrix products over threads: the gate, the embedding and the output.

`python -m benchmarks.constants products.WIDE 256 1024` times other values of a constant.
"""

from __future__ import annotations

import numpy as np

from .backend import choose, njit
from .blocks import multiply, scratch
from .costs import MIN_PARALLEL_NS, PRODUCT_NS
from .flat import Block, Matrix, Rows
from .threads import run_items, take_item
from .tile import COLUMNS_32
from .workspace import empty

TALL, SHORT = 256, 32  # rows of an item, for many rows and for few
WIDE = 512  # columns of an item


@njit
def _product(queue, n_items, a, b, c, strides, shape, block):
    """Items are rectangles of C; `strides` are those of A's rows and columns, then of B's."""
    a_row, a_step, b_row, b_column = strides
    n_rows, n_columns, n_depth = shape
    tall, wide = block
    across = -(-n_columns // wide)
    memory = scratch(a)
    row_at = np.empty(tall, np.int64)
    item = take_item(queue)
    while item < n_items:
        low, left = item // across * tall, item % across * wide
        rows, width = min(tall, n_rows - low), min(wide, n_columns - left)
        for i in range(rows):
            row_at[i] = (low + i) * a_row
        multiply(
            Rows(a, row_at, a_step), Matrix(b, left * b_column, b_row, b_column),
            Block(c, low * n_columns + left, n_columns), (rows, width, n_depth), False,
            Block(b, 0, 0), memory,
        )  # fmt: skip
        item = take_item(queue)


def _run(
    a: np.ndarray, a_strides: tuple[int, int], b: np.ndarray, b_strides: tuple[int, int],
    shape: tuple[int, int, int],
) -> np.ndarray:  # fmt: skip
    n_rows, n_columns, n_depth = shape
    out = empty((n_rows, n_columns), a.dtype)
    # The grid of items follows from the shape alone, never from the number of threads.
    work_ns = PRODUCT_NS * n_rows * max(n_columns, COLUMNS_32) * n_depth
    # One thread's work takes the largest items: each packs its part of B again.
    tall = TALL if n_rows >= 8 * TALL or work_ns < MIN_PARALLEL_NS else SHORT
    if n_columns <= COLUMNS_32 and tall == SHORT:
        tall = max(SHORT, min(TALL, n_rows // 4))
    across, down = -(-n_columns // WIDE), -(-n_rows // tall)
    run_items(
        _product, down * across, work_ns, a.reshape(-1), b.reshape(-1), out.reshape(-1),
        a_strides + b_strides, shape, (tall, WIDE),
    )  # fmt: skip
    return out


def _flops(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> int:
    """Operations of a product: each of its rows meets every number of the right matrix."""
    return 2 * len(out) * b.size


def matmul_oracle(a_NM: np.ndarray, b_MP: np.ndarray) -> np.ndarray:
    """Product a @ b, shapes (N, M) and (M, P) to (N, P)."""
    return np.asarray(a_NM @ b_MP)


def _matmul_fast(a_NM: np.ndarray, b_MP: np.ndarray) -> np.ndarray:
    n_depth, n_columns = b_MP.shape
    return _run(a_NM, (n_depth, 1), b_MP, (n_columns, 1), (len(a_NM), n_columns, n_depth))


matmul = choose(matmul_oracle, _matmul_fast, _flops)


def matmul_nt_oracle(a_NM: np.ndarray, b_PM: np.ndarray) -> np.ndarray:
    """Product a @ b.T, shapes (N, M) and (P, M) to (N, P): gradients of inputs."""
    return np.asarray(a_NM @ b_PM.T)


def _matmul_nt_fast(a_NM: np.ndarray, b_PM: np.ndarray) -> np.ndarray:
    n_columns, n_depth = b_PM.shape
    return _run(a_NM, (n_depth, 1), b_PM, (1, n_depth), (len(a_NM), n_columns, n_depth))


matmul_nt = choose(matmul_nt_oracle, _matmul_nt_fast, _flops)


def matmul_tn_oracle(a_NM: np.ndarray, b_NP: np.ndarray) -> np.ndarray:
    """Product a.T @ b, shapes (N, M) and (N, P) to (M, P): gradients of weights."""
    return np.asarray(a_NM.T @ b_NP)


def _matmul_tn_fast(a_NM: np.ndarray, b_NP: np.ndarray) -> np.ndarray:
    n_depth, n_rows = a_NM.shape
    n_columns = b_NP.shape[1]
    return _run(a_NM, (1, n_rows), b_NP, (n_columns, 1), (n_rows, n_columns, n_depth))


matmul_tn = choose(matmul_tn_oracle, _matmul_tn_fast, _flops)
