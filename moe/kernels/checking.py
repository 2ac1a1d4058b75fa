"""Whether a list of (token, expert) pairs may be used as indices: in range, and no pair twice."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit

GOOD, TOKEN, EXPERT, TWICE = 0, 1, 2, 3


def pair_fault_oracle(
    token_A: np.ndarray, expert_A: np.ndarray, n_tokens: int, n_experts: int
) -> tuple[int, int]:
    """Find the first assignment that is not allowed, whatever order they are listed in.

    Parameters
    ----------
    token_A, expert_A
        int32 or int64, of one length; any values.

    Returns
    -------
    fault, place
        GOOD and -1; or TOKEN, EXPERT (out of 0..N-1, 0..E-1) or TWICE (its pair came before), and
        which assignment it is. Pairs are compared only once all of them are in range.
    """
    bad_token_A = (token_A < 0) | (token_A >= n_tokens)
    bad_expert_A = (expert_A < 0) | (expert_A >= n_experts)
    bad = np.flatnonzero(bad_token_A | bad_expert_A)
    if bad.size:
        return (TOKEN if bad_token_A[bad[0]] else EXPERT), int(bad[0])
    pair_A = token_A.astype(np.int64) * n_experts + expert_A
    _, first = np.unique(pair_A, return_index=True)
    if first.size == pair_A.size:
        return GOOD, -1
    again_A = np.ones(pair_A.size, bool)
    again_A[first] = False
    return TWICE, int(np.flatnonzero(again_A)[0])


@njit
def _twice(group_A, other_A, order_A, n_other):
    """First assignment whose pair came before, or -1; in `order_A` groups lie together.

    An empty order is the order given. Memory is one number per member of the other side.
    """
    seen = np.full(n_other, -1, np.int64)
    found = -1
    for i in range(group_A.size):
        a = order_A[i] if order_A.size else i
        if seen[other_A[a]] == group_A[a]:
            found = a if found < 0 else min(found, a)
        seen[other_A[a]] = group_A[a]
    return found


@njit
def _pair_fault(token_A, expert_A, n_tokens, n_experts):
    by_token = by_expert = True
    for a in range(token_A.size):
        if token_A[a] < 0 or token_A[a] >= n_tokens:
            return 4 * a + TOKEN
        if expert_A[a] < 0 or expert_A[a] >= n_experts:
            return 4 * a + EXPERT
        if a > 0:
            by_token &= token_A[a] >= token_A[a - 1]
            by_expert &= expert_A[a] >= expert_A[a - 1]
    order_A = np.empty(0, np.int64)
    if by_expert and not by_token:
        place = _twice(expert_A, token_A, order_A, n_tokens)
    else:
        if not by_token:  # in no order at all: a counting sort by token
            next_N = np.zeros(n_tokens + 1, np.int64)
            for a in range(token_A.size):
                next_N[token_A[a] + 1] += 1
            for n in range(n_tokens):
                next_N[n + 1] += next_N[n]
            order_A = np.empty(token_A.size, np.int64)
            for a in range(token_A.size):
                order_A[next_N[token_A[a]]] = a
                next_N[token_A[a]] += 1
        place = _twice(token_A, expert_A, order_A, n_experts)
    return GOOD if place < 0 else 4 * place + TWICE


def _pair_fault_fast(
    token_A: np.ndarray, expert_A: np.ndarray, n_tokens: int, n_experts: int
) -> tuple[int, int]:
    found = _pair_fault(token_A, expert_A, n_tokens, n_experts)  # one number is the quickest
    return (found % 4, found // 4) if found else (GOOD, -1)


pair_fault = choose(pair_fault_oracle, _pair_fault_fast)
