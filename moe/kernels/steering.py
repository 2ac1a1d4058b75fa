"""Loads of frozen scores while the sign rule steps a bias on them, batch after batch.

A kernel because most tokens choose the same experts in the next batch: a compiled loop looks again
only at those whose last chosen and first unchosen expert may have changed places meanwhile.
"""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .selection import topk, topk_oracle


def steer_oracle(
    logits_NE: np.ndarray, scores_NE: np.ndarray, k: int, rate: float, batches: int
) -> np.ndarray:
    """Assignments per expert after 0, 1, ... batches, (batches + 1, E) int64.

    After each batch b_i += rate * sign(mean load - load_i), and the k experts with the largest
    scores + b are chosen; of equal ones the lower.

    Parameters
    ----------
    logits_NE, scores_NE
        Finite, float32. Scores rise with logits, by which experts are chosen while no b differs
        from 0, as they still differ where scores round to 0 or 1.
    k
        Experts per token.
    rate, batches
        The step, and how many there are.
    """
    n_tokens, n_experts = scores_NE.shape
    bias_E = np.zeros(n_experts, np.float32)
    load_SE = np.empty((batches + 1, n_experts), np.int64)
    for step in range(batches + 1):
        select_NE = scores_NE + bias_E if bias_E.any() else logits_NE
        load_SE[step] = np.bincount(topk_oracle(select_NE, k).ravel(), minlength=n_experts)
        bias_E += (rate * np.sign(n_tokens * k / n_experts - load_SE[step])).astype(np.float32)
    return load_SE


@inner
def _find_keys(row_E, bits_E, key_E):
    """Make an integer of each number and its place; see `selection._best_by_keys`."""
    n_experts = key_E.size
    for e in range(n_experts):
        bits = np.int64(bits_E[e])
        ordered = bits if bits >= 0 else -(2**31) - bits - (1 if row_E[e] != 0 else 0)
        key_E[e] = ordered * 2**32 + (n_experts - 1 - e)


@inner
def _choose_again(key_E, key_K, chosen_NK, n, load_E):
    """Exchange chosen experts for better ones until there are none; return the next two to go."""
    n_experts, lowest = key_E.size, np.int64(-(2**63))
    for j in range(key_K.size):
        key_K[j] = key_E[chosen_NK[n, j]]
        key_E[chosen_NK[n, j]] = lowest
    while True:
        best, last = lowest, 0
        for e in range(n_experts):
            best = max(best, key_E[e])
        for j in range(key_K.size):
            last = j if key_K[j] < key_K[last] else last
        leaves, comes = chosen_NK[n, last], n_experts - 1 - (best & (2**32 - 1))
        if best <= key_K[last]:
            return leaves, comes
        key_E[leaves], key_E[comes] = key_K[last], lowest
        chosen_NK[n, last], key_K[last] = comes, best
        load_E[leaves] -= 1
        load_E[comes] += 1


@inner
def _first_alike(bias_SE, hash_S, step):
    """Return the first step with the same bias, or this one."""
    for s in range(step):
        if hash_S[s] == hash_S[step]:
            alike = True
            for e in range(bias_SE.shape[1]):
                alike = alike and bias_SE[s, e] == bias_SE[step, e]
            if alike:
                return s
    return step


@njit
def _steer(
    logits_NE, scores_NE, rate, chosen_NK, row_E, bits_E, key_E, key_K, bias_SE, hash_S, load_E,
    stands_N, load_SE,
):  # fmt: skip
    n_tokens, n_experts = scores_NE.shape
    everyone, last_step = key_K.size == n_experts, load_SE.shape[0] - 1
    # How far any bias has moved so far. What a token chose stands while twice of that is less than
    # the gap in it; the slack is more than rounding adds.
    moved, slack = 0.0, 5e-7 * (2 + 1.01 * rate * load_SE.shape[0])
    for step in range(load_SE.shape[0]):
        free, hashed = True, np.int64(0)
        for e in range(n_experts):
            row_E[e] = bias_SE[step, e]
            free = free and row_E[e] == 0
            hashed = hashed * 1000003 + bits_E[e]
        hash_S[step] = hashed
        first = _first_alike(bias_SE, hash_S, step)
        if first < step:  # all that follows has been before
            for s in range(step, load_SE.shape[0]):
                for e in range(n_experts):
                    load_SE[s, e] = load_SE[s - (step - first), e]
            return
        for n in range(0 if everyone else n_tokens):
            if moved < stands_N[n] and not free:
                continue
            for e in range(n_experts):
                row_E[e] = logits_NE[n, e] if free else scores_NE[n, e] + bias_SE[step, e]
            _find_keys(row_E, bits_E, key_E)
            worst, best = _choose_again(key_E, key_K, chosen_NK, n, load_E)
            gap = np.float64(row_E[worst]) - np.float64(row_E[best]) - slack
            stands_N[n] = 0.0 if free else moved + gap / 2
        mean, largest = n_tokens * key_K.size / n_experts, 0.0
        for e in range(n_experts):
            load_SE[step, e] = load_E[e]
            sign = np.float64(mean > load_E[e]) - np.float64(mean < load_E[e])
            if step < last_step:
                before = bias_SE[step, e]
                after = before + np.float32(rate * sign)
                bias_SE[step + 1, e] = after
                largest = max(largest, abs(np.float64(after) - np.float64(before)))
        moved += largest


def _steer_fast(
    logits_NE: np.ndarray, scores_NE: np.ndarray, k: int, rate: float, batches: int
) -> np.ndarray:
    n_tokens, n_experts = scores_NE.shape
    chosen_NK = topk(logits_NE, k)
    load_SE = np.empty((batches + 1, n_experts), np.int64)
    row_E, bias_SE = np.empty(n_experts, np.float32), np.zeros(load_SE.shape, np.float32)
    _steer(
        logits_NE, scores_NE, float(rate), chosen_NK, row_E, row_E.view(np.int32),
        np.empty(n_experts, np.int64), np.empty(k, np.int64), bias_SE,
        np.empty(batches + 1, np.int64), np.bincount(chosen_NK.ravel(), minlength=n_experts),
        np.zeros(n_tokens), load_SE,
    )  # fmt: skip
    return load_SE


steer = choose(steer_oracle, _steer_fast)
