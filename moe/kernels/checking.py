"""Whether a list of (token, expert) pairs may be used as indices: in range, and no pair twice."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit

GOOD, TOKEN, EXPERT, TWICE = 0, 1, 2, 3


def pair_fault_oracle(
    token_A: np.ndarray, expert_A: np.ndarray, n_tokens: int, n_experts: int
) -> tuple[int, int]:
    """Find the first assignment that is not allowed; assignments may be in any order.

    Parameters
    ----------
    token_A, expert_A
        int32, of the same length; any values.

    Returns
    -------
    fault, place
        GOOD and -1; or the kind of fault and the index of the assignment. TOKEN and EXPERT are out
        of 0..N-1 and 0..E-1; TWICE repeats an earlier pair. Pairs are compared only if all of them
        are in range.
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


@inner
def _out_of_range(token_A, expert_A, n_tokens, n_experts):
    """Code of the first assignment that is out of range."""
    for a in range(token_A.size):
        if token_A[a] < 0 or token_A[a] >= n_tokens:
            return 4 * a + TOKEN
        if expert_A[a] < 0 or expert_A[a] >= n_experts:
            return 4 * a + EXPERT
    return GOOD


@njit
def _repeats(group_A, other_A, n_other):
    """Number of pairs that repeat an earlier one, where pairs of one group are adjacent.

    Memory is one number for each value of the other index, not for each possible pair.
    """
    seen = np.full(n_other, -1, np.int32)
    n = 0
    for a in range(group_A.size):
        other = np.uint32(other_A[a])  # numba tests signed indices for negative values
        n += seen[other] == group_A[a]
        seen[other] = group_A[a]
    return n


@njit
def _by_token(token_A, n_tokens):
    """Assignments in the order of their tokens, by a counting sort."""
    next_N = np.zeros(n_tokens + 1, np.int64)
    for a in range(token_A.size):
        next_N[token_A[a] + 1] += 1
    for n in range(n_tokens):
        next_N[n + 1] += next_N[n]
    order_A = np.empty(token_A.size, np.int64)
    for a in range(token_A.size):
        order_A[next_N[token_A[a]]] = a
        next_N[token_A[a]] += 1
    return order_A


@njit
def _first_repeat(token_A, expert_A, n_tokens, n_experts):
    """The first assignment that repeats an earlier pair."""
    seen = np.full(n_experts, -1, np.int32)
    first = token_A.size
    for a in _by_token(token_A, n_tokens):
        if seen[expert_A[a]] == token_A[a]:
            first = min(first, a)
        seen[expert_A[a]] = token_A[a]
    return first


@njit
def _pair_fault(token_A, expert_A, n_tokens, n_experts):
    """Return 4 * place + fault, or GOOD, which is 0."""
    # A loop without an early exit is vectorised: it only counts faults, and the place of the first
    # is searched for afterwards.
    wrong, falls, expert_falls = 0, 0, 0
    for a in range(token_A.size):
        wrong += (token_A[a] < 0) | (token_A[a] >= n_tokens)
        wrong += (expert_A[a] < 0) | (expert_A[a] >= n_experts)
    if wrong > 0:
        return _out_of_range(token_A, expert_A, n_tokens, n_experts)
    for a in range(1, token_A.size):
        falls += token_A[a] < token_A[a - 1]
        expert_falls += expert_A[a] < expert_A[a - 1]
    if falls == 0:
        n = _repeats(token_A, expert_A, n_experts)
    elif expert_falls == 0:
        n = _repeats(expert_A, token_A, n_tokens)
    else:
        order_A = _by_token(token_A, n_tokens)
        n = _repeats(token_A[order_A], expert_A[order_A], n_experts)
    return GOOD if n == 0 else 4 * _first_repeat(token_A, expert_A, n_tokens, n_experts) + TWICE


def _pair_fault_fast(
    token_A: np.ndarray, expert_A: np.ndarray, n_tokens: int, n_experts: int
) -> tuple[int, int]:
    # A single integer is the fastest to return from a kernel.
    code = _pair_fault(token_A, expert_A, n_tokens, n_experts)
    return (code % 4, code // 4) if code else (GOOD, -1)


pair_fault = choose(pair_fault_oracle, _pair_fault_fast)
