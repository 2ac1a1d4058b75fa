"""The output product with softmax, cross-entropy and their gradients, a block of rows at a time."""

from __future__ import annotations

import numpy as np

from . import products
from .backend import choose, inner, njit
from .blocks import multiply, scratch
from .costs import NUMBER_NS, PRODUCT_NS
from .flat import Block, Matrix, Rows
from .memory import check_reach, room
from .panels import columns_of, lined_up
from .softmax_rows import softmax_row
from .threads import run_items, take_item
from .workspace import empty

ROWS = 96  # of an item, whose logits stay in the second cache: whole tiles at every width


def _losses(logits_NV: np.ndarray, target_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the logarithm of the softmax at the targets, and the logarithm of each row's sum."""
    top_N = logits_NV.max(axis=1, initial=-np.inf)
    log_sum_N = top_N + np.log(np.exp(logits_NV - top_N[:, None]).sum(axis=1))
    return log_sum_N - logits_NV[np.arange(len(target_N)), target_N], log_sum_N


def classify_oracle(
    x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cross-entropy of each row's target, and the gradients of the weighted sum.

    Parameters
    ----------
    x_ND, w_DV
        Rows and the output matrix; the logits are x @ w.
    target_N
        The right class of each row.
    weight_N
        Factor of each row's loss in the sum whose gradients are computed; a row with weight 0
        still has a loss.

    Returns
    -------
    loss_N, dx_ND, dw_DV
        Each row's own loss, in nats and without its weight, and the gradients of
        sum_n weight_n loss_n.
    """
    logits_NV = x_ND @ w_DV
    loss_N, log_sum_N = _losses(logits_NV, target_N)
    dlogits_NV = np.exp(logits_NV - log_sum_N[:, None])
    dlogits_NV[np.arange(len(target_N)), target_N] -= 1
    dlogits_NV *= weight_N[:, None].astype(x_ND.dtype)
    return loss_N, dlogits_NV @ w_DV.T, x_ND.T @ dlogits_NV


@inner
def _row_stride(n_vocab, like):
    """Numbers from a row of logits to the next; a power of two would share cache sets."""
    return lined_up(n_vocab, like) + columns_of(like)


@inner
def _row_loss(logits, at, n_vocab, target, top_sum):
    """Loss of a row of logits, which becomes exponentials; their sum stands in top_sum[1]."""
    wide, right = lined_up(n_vocab, logits), logits[at + target]
    check_reach(logits, at, wide)
    one = logits.dtype.type(1)
    softmax_row(logits, at, wide, n_vocab, one, top_sum, 0)
    return top_sum[0] + np.log(top_sum[1]) - right


@njit
def _classify(queue, n_items, x, w, target_N, weight_N, made, size):
    loss_N, dx, dlogits_NV = made
    n_model, n_vocab = size
    memory, row_at = scratch(x), np.empty(ROWS, np.int64)
    row, top_sum = _row_stride(n_vocab, x), room(2, x)
    logits, dlogits = room(ROWS * row, x), dlogits_NV.reshape(-1)
    item = take_item(queue)
    while item < n_items:
        low = item * ROWS
        n_rows = min(ROWS, target_N.size - low)
        for i in range(n_rows):
            row_at[i] = (low + i) * n_model
        multiply(
            Rows(x, row_at, 1), Matrix(w, 0, n_vocab, 1), Block(logits, 0, row),
            (n_rows, n_vocab, n_model), False, Block(w, 0, 0), memory,
        )  # fmt: skip
        for i in range(n_rows):
            n = low + i
            loss_N[n] = _row_loss(logits, i * row, n_vocab, target_N[n], top_sum)
            share, out = weight_N[n] / top_sum[1], dlogits_NV[n]
            given = logits[i * row : i * row + n_vocab]
            for v in range(n_vocab):
                out[v] = given[v] * share
            out[target_N[n]] -= weight_N[n]
            row_at[i] = n * n_vocab
        multiply(
            Rows(dlogits, row_at, 1), Matrix(w, 0, 1, n_vocab), Block(dx, low * n_model, n_model),
            (n_rows, n_model, n_vocab), False, Block(w, 0, 0), memory,
        )  # fmt: skip
        item = take_item(queue)


def _classify_fast(
    x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (n_rows, n_model), n_vocab, dtype = x_ND.shape, w_DV.shape[1], x_ND.dtype
    loss_N, dx_ND = np.empty(n_rows, dtype), empty(x_ND.shape, dtype)
    dlogits_NV = empty((n_rows, n_vocab), dtype)
    work_ns = n_rows * n_vocab * (2 * PRODUCT_NS * n_model + NUMBER_NS["classify"])
    run_items(
        _classify, -(-n_rows // ROWS), work_ns, x_ND.reshape(-1), w_DV.reshape(-1), target_N,
        weight_N.astype(dtype, copy=False), (loss_N, dx_ND.reshape(-1), dlogits_NV),
        (n_model, n_vocab),
    )  # fmt: skip
    return loss_N, dx_ND, products._matmul_tn_fast(x_ND, dlogits_NV)


def _flops(made: object, x_ND: np.ndarray, w_DV: np.ndarray, *rest: np.ndarray) -> int:
    """Operations of three products: the logits, dx and dw."""
    return 6 * len(x_ND) * w_DV.size


classify = choose(classify_oracle, _classify_fast, _flops)


def token_losses_oracle(x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row's target, (N,), in nats; as `classify`, without gradients."""
    return _losses(x_ND @ w_DV, target_N)[0]


@njit
def _token_losses(queue, n_items, x, w, target_N, loss_N, size):
    n_model, n_vocab = size
    memory, row_at = scratch(x), np.empty(ROWS, np.int64)
    row, top_sum = _row_stride(n_vocab, x), room(2, x)
    logits = room(ROWS * row, x)
    item = take_item(queue)
    while item < n_items:
        low = item * ROWS
        n_rows = min(ROWS, target_N.size - low)
        for i in range(n_rows):
            row_at[i] = (low + i) * n_model
        multiply(
            Rows(x, row_at, 1), Matrix(w, 0, n_vocab, 1), Block(logits, 0, row),
            (n_rows, n_vocab, n_model), False, Block(w, 0, 0), memory,
        )  # fmt: skip
        for i in range(n_rows):
            loss_N[low + i] = _row_loss(logits, i * row, n_vocab, target_N[low + i], top_sum)
        item = take_item(queue)


def _token_losses_fast(x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray) -> np.ndarray:
    (n_rows, n_model), n_vocab = x_ND.shape, w_DV.shape[1]
    loss_N = np.empty(n_rows, x_ND.dtype)
    work_ns = n_rows * n_vocab * (PRODUCT_NS * n_model + NUMBER_NS["classify"])
    run_items(
        _token_losses, -(-n_rows // ROWS), work_ns, x_ND.reshape(-1), w_DV.reshape(-1), target_N,
        loss_N, (n_model, n_vocab),
    )  # fmt: skip
    return loss_N


def _loss_flops(
    loss_N: np.ndarray, x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray
) -> int:
    """Operations of the logits."""
    return 2 * len(x_ND) * w_DV.size


token_losses = choose(token_losses_oracle, _token_losses_fast, _loss_flops)
