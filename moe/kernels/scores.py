"""Router scores: softmax and sigmoid of the logits, and their derivatives, row by row."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit
from .exponential import exp
from .threads import run_items, take_item

ROWS = 128


def softmax_oracle(logits_NE: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, (N, E) to (N, E); the row maximum is subtracted first."""
    if logits_NE.shape[1] == 0:
        return logits_NE.copy()
    exp_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return np.asarray(exp_NE / exp_NE.sum(axis=1, keepdims=True))


@njit
def _softmax(queue, n_items, logits_NE, out_NE):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, logits_NE.shape[0])):
            top = logits_NE[n, 0]
            for e in range(logits_NE.shape[1]):
                top = max(top, logits_NE[n, e])
            total = top - top
            for e in range(logits_NE.shape[1]):
                out_NE[n, e] = exp(logits_NE[n, e] - top)
                total += out_NE[n, e]
            for e in range(logits_NE.shape[1]):
                out_NE[n, e] /= total
        item = take_item(queue)


def _softmax_fast(logits_NE: np.ndarray) -> np.ndarray:
    out_NE = np.empty_like(logits_NE)
    items = -(-logits_NE.shape[0] // ROWS)
    run_items(_softmax, items, 8.0 * logits_NE.size, logits_NE, out_NE)
    return out_NE


softmax = choose(softmax_oracle, _softmax_fast)


def softmax_backward_oracle(probs_NE: np.ndarray, dprobs_NE: np.ndarray) -> np.ndarray:
    """Gradient at the logits of a softmax: p * (dp - sum(p dp)); all (N, E)."""
    inner_N1 = (probs_NE * dprobs_NE).sum(axis=1, keepdims=True)
    return np.asarray(probs_NE * (dprobs_NE - inner_N1))


@njit
def _softmax_backward(queue, n_items, probs_NE, dprobs_NE, out_NE):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, probs_NE.shape[0])):
            inner = probs_NE[n, 0] * dprobs_NE[n, 0]
            for e in range(1, probs_NE.shape[1]):
                inner += probs_NE[n, e] * dprobs_NE[n, e]
            for e in range(probs_NE.shape[1]):
                out_NE[n, e] = probs_NE[n, e] * (dprobs_NE[n, e] - inner)
        item = take_item(queue)


def _softmax_backward_fast(probs_NE: np.ndarray, dprobs_NE: np.ndarray) -> np.ndarray:
    out_NE = np.empty_like(probs_NE)
    items = -(-probs_NE.shape[0] // ROWS)
    run_items(_softmax_backward, items, 3.0 * probs_NE.size, probs_NE, dprobs_NE, out_NE)
    return out_NE


softmax_backward = choose(softmax_backward_oracle, _softmax_backward_fast)


def sigmoid_oracle(logits_NE: np.ndarray) -> np.ndarray:
    """Logistic function 1 / (1 + exp(-l)) without overflow at either end; (N, E) to (N, E)."""
    small_NE = np.exp(-np.abs(logits_NE))
    return np.asarray(np.where(logits_NE >= 0, 1.0, small_NE) / (1.0 + small_NE)).astype(
        logits_NE.dtype
    )


@njit
def _sigmoid(queue, n_items, logits_NE, out_NE):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, logits_NE.shape[0])):
            for e in range(logits_NE.shape[1]):
                small = exp(-abs(logits_NE[n, e]))
                if logits_NE[n, e] >= 0:
                    out_NE[n, e] = 1 / (1 + small)
                else:
                    out_NE[n, e] = small / (1 + small)
        item = take_item(queue)


def _sigmoid_fast(logits_NE: np.ndarray) -> np.ndarray:
    out_NE = np.empty_like(logits_NE)
    items = -(-logits_NE.shape[0] // ROWS)
    run_items(_sigmoid, items, 6.0 * logits_NE.size, logits_NE, out_NE)
    return out_NE


sigmoid = choose(sigmoid_oracle, _sigmoid_fast)
