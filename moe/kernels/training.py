"""The parts of a training step around the layer: embedding and cross-entropy."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit
from .costs import NUMBER_NS
from .exponential import exp
from .scores import LANES, largest, softmax_oracle, sum_of
from .threads import run_items, take_item
from .workspace import empty

ROWS = 64


def embed_oracle(table_CVD: np.ndarray, token_NC: np.ndarray) -> np.ndarray:
    """Sum over context positions c of table[c, token[n, c]]; (C, V, D), (N, C) to (N, D)."""
    x_ND = np.zeros((token_NC.shape[0], table_CVD.shape[2]), table_CVD.dtype)
    for c in range(token_NC.shape[1]):
        x_ND += table_CVD[c, token_NC[:, c]]
    return x_ND


@njit
def _embed(queue, n_items, table_CVD, token_NC, x_ND):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, token_NC.shape[0])):
            x_ND[n] = 0
            for c in range(token_NC.shape[1]):
                token = token_NC[n, c]
                for d in range(x_ND.shape[1]):
                    x_ND[n, d] += table_CVD[c, token, d]
        item = take_item(queue)


def _embed_fast(table_CVD: np.ndarray, token_NC: np.ndarray) -> np.ndarray:
    x_ND = empty((token_NC.shape[0], table_CVD.shape[2]), table_CVD.dtype)
    items = -(-token_NC.shape[0] // ROWS)
    work_ns = NUMBER_NS["embed"] * token_NC.size * x_ND.shape[1]
    run_items(_embed, items, work_ns, table_CVD, token_NC, x_ND)
    return x_ND


embed = choose(embed_oracle, _embed_fast)


def embed_backward_oracle(dx_ND: np.ndarray, token_NC: np.ndarray, n_vocab: int) -> np.ndarray:
    """Gradient of the embedding table, (C, V, D): the sum of the rows of dx of each token."""
    dtable_CVD = np.zeros((token_NC.shape[1], n_vocab, dx_ND.shape[1]), dx_ND.dtype)
    for c in range(token_NC.shape[1]):
        np.add.at(dtable_CVD[c], token_NC[:, c], dx_ND)
    return dtable_CVD


@njit
def _embed_backward(queue, n_items, dx_ND, token_NC, dtable_CVD):
    # An item is one context position, so that no two threads add to the same row.
    item = take_item(queue)
    while item < n_items:
        dtable_CVD[item] = 0
        for n in range(dx_ND.shape[0]):
            token = token_NC[n, item]
            for d in range(dx_ND.shape[1]):
                dtable_CVD[item, token, d] += dx_ND[n, d]
        item = take_item(queue)


def _embed_backward_fast(dx_ND: np.ndarray, token_NC: np.ndarray, n_vocab: int) -> np.ndarray:
    n_context = token_NC.shape[1]
    dtable_CVD = empty((n_context, n_vocab, dx_ND.shape[1]), dx_ND.dtype)
    work_ns = NUMBER_NS["embed_backward"] * dx_ND.size * n_context
    run_items(_embed_backward, n_context, work_ns, dx_ND, token_NC, dtable_CVD)
    return dtable_CVD


embed_backward = choose(embed_backward_oracle, _embed_backward_fast)


def cross_entropy_oracle(logits_NV: np.ndarray, target_N: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy in nats and its gradient; (N, V) logits, (N,) class indices."""
    n_tokens = max(logits_NV.shape[0], 1)
    rows = np.arange(logits_NV.shape[0])
    top_N1 = logits_NV.max(axis=1, keepdims=True)
    log_sum_N = np.log(np.exp(logits_NV - top_N1).sum(axis=1)) + top_N1[:, 0]
    loss = float((log_sum_N - logits_NV[rows, target_N]).sum(dtype=np.float64)) / n_tokens
    dlogits_NV = softmax_oracle(logits_NV)
    dlogits_NV[rows, target_N] -= 1
    dlogits_NV /= n_tokens
    return loss, dlogits_NV


def _cross_entropy_rows(logits_NV, target_N, low, high, tops, loss_N, dlogits_NV):
    scale = logits_NV.dtype.type(1.0 / loss_N.size)
    for n in range(low, high):
        logits, out = logits_NV[n], dlogits_NV[n]
        top = largest(logits, tops)
        for v in range(out.size):  # one operation per loop, so that LLVM vectorises each loop
            out[v] = exp(logits[v] - top)
        total = sum_of(out)
        loss_N[n] = np.log(total) + top - logits[target_N[n]]
        factor = scale / total
        for v in range(out.size):
            out[v] *= factor
        out[target_N[n]] -= scale


cross_entropy_rows = njit(_cross_entropy_rows, fuse=True, borrow=True)


@njit
def _cross_entropy(queue, n_items, logits_NV, target_N, loss_N, dlogits_NV):
    tops = np.empty(LANES, logits_NV.dtype)
    item = take_item(queue)
    while item < n_items:
        low, high = item * ROWS, min((item + 1) * ROWS, logits_NV.shape[0])
        cross_entropy_rows(logits_NV, target_N, low, high, tops, loss_N, dlogits_NV)
        item = take_item(queue)


def _cross_entropy_fast(logits_NV: np.ndarray, target_N: np.ndarray) -> tuple[float, np.ndarray]:
    loss_N = np.empty(logits_NV.shape[0], np.float64)
    dlogits_NV = empty(logits_NV.shape, logits_NV.dtype)
    items = -(-logits_NV.shape[0] // ROWS)
    work_ns = NUMBER_NS["cross_entropy"] * logits_NV.size
    run_items(_cross_entropy, items, work_ns, logits_NV, target_N, loss_N, dlogits_NV)
    return float(loss_N.sum()) / max(loss_N.size, 1), dlogits_NV


cross_entropy = choose(cross_entropy_oracle, _cross_entropy_fast)
