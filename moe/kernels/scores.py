"""Router scores: softmax and sigmoid of the logits, and their derivatives, row by row."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .costs import NUMBER_NS
from .exponential import exp
from .threads import run_items, take_item

ROWS = 128


def softmax_oracle(logits_NE: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, (N, E) to (N, E); the row maximum is subtracted first."""
    if logits_NE.shape[1] == 0:
        return logits_NE.copy()
    exp_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return np.asarray(exp_NE / exp_NE.sum(axis=1, keepdims=True))


def _sum_of(values):
    total = values[0] - values[0]
    for i in range(values.size):
        total += values[i]
    return total


# `reorder` lets LLVM sum in vectors. The order is fixed when the kernel is compiled, so that sums
# have the same bits at every call.
sum_of = njit(_sum_of, reorder=True, borrow=True)


def _dot(a, b):
    total = a[0] - a[0]
    for i in range(a.size):
        total += a[i] * b[i]
    return total


dot = njit(_dot, reorder=True, borrow=True)
LANES = 16


@inner
def largest(values, tops):
    """The largest of at least `LANES` numbers, by `LANES` running maxima that fit in vectors."""
    top = values[0]
    for j in range(LANES):
        tops[j] = top
    whole = values.size - values.size % LANES
    for i in range(0, whole, LANES):
        for j in range(LANES):
            tops[j] = max(tops[j], values[i + j])
    for j in range(LANES):
        top = max(top, tops[j])
    for i in range(whole, values.size):
        top = max(top, values[i])
    return top


def _softmax_rows(given, out, width, tops):
    if width < 2 * LANES:  # plain loops: a view of each short row would cost more than its sums
        for at in range(0, out.size, width):
            top = given[at]
            for e in range(1, width):
                top = max(top, given[at + e])
            for e in range(width):
                out[at + e] = given[at + e] - top
    else:
        for at in range(0, out.size, width):
            logits, row = given[at : at + width], out[at : at + width]
            top = largest(logits, tops)
            for e in range(width):
                row[e] = logits[e] - top
    for i in range(out.size):  # all rows at once, so that short ones fill vectors too
        out[i] = exp(out[i])
    if width < 2 * LANES:
        for at in range(0, out.size, width):
            total = out[at]
            for e in range(1, width):
                total += out[at + e]
            share = 1 / total  # one division: those of a short row would not be vectorised
            for e in range(width):
                out[at + e] *= share
    else:
        for at in range(0, out.size, width):
            row = out[at : at + width]
            total = sum_of(row)
            for e in range(width):
                row[e] /= total


softmax_rows = njit(_softmax_rows, fuse=True, borrow=True)


@njit
def _softmax(queue, n_items, logits, out, width):
    tops = np.empty(LANES, logits.dtype)
    item = take_item(queue)
    while item < n_items:
        low, high = item * ROWS * width, min((item + 1) * ROWS * width, logits.size)
        softmax_rows(logits[low:high], out[low:high], width, tops)
        item = take_item(queue)


def _softmax_fast(logits_NE: np.ndarray) -> np.ndarray:
    out_NE = np.empty_like(logits_NE)
    if logits_NE.size == 0:  # for example Soft MoE's slots over no tokens, rows of width 0
        return out_NE
    items = -(-logits_NE.shape[0] // ROWS)
    work_ns = NUMBER_NS["softmax"] * logits_NE.size
    logits, out = logits_NE.reshape(-1), out_NE.reshape(-1)
    run_items(_softmax, items, work_ns, logits, out, logits_NE.shape[1])
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
            inner = dot(probs_NE[n], dprobs_NE[n])
            for e in range(probs_NE.shape[1]):
                out_NE[n, e] = probs_NE[n, e] * (dprobs_NE[n, e] - inner)
        item = take_item(queue)


def _softmax_backward_fast(probs_NE: np.ndarray, dprobs_NE: np.ndarray) -> np.ndarray:
    out_NE = np.empty_like(probs_NE)
    items = -(-probs_NE.shape[0] // ROWS)
    work_ns = NUMBER_NS["softmax_backward"] * probs_NE.size
    run_items(_softmax_backward, items, work_ns, probs_NE, dprobs_NE, out_NE)
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
    run_items(_sigmoid, items, NUMBER_NS["sigmoid"] * logits_NE.size, logits_NE, out_NE)
    return out_NE


sigmoid = choose(sigmoid_oracle, _sigmoid_fast)
