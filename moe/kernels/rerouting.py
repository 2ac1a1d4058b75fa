"""Rerouting: in rounds, assignments beyond the capacity try their token's next best expert."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit
from .selection import topk, topk_oracle


def _in_turn(
    token_A: np.ndarray, rank_A: np.ndarray, kept_A: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Assignments that have no place, in the order in which they try: by token, then by rank.

    Returns
    -------
    waiting, token_T, row_W
        Assignments, (W,); their distinct tokens, (T,); and the row of each assignment's token
        among these, (W,).
    """
    waiting = np.flatnonzero(~kept_A)
    waiting = waiting[np.lexsort((rank_A[waiting], token_A[waiting]))]
    token_T, row_W = np.unique(token_A[waiting], return_inverse=True)
    return waiting, token_T, row_W


def reroute_oracle(
    token_A: np.ndarray,
    rank_A: np.ndarray,
    expert_A: np.ndarray,
    kept_A: np.ndarray,
    logits_NE: np.ndarray,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Experts and kept assignments after the rounds, both (A,); `limit` places per expert.

    In a round each waiting assignment in turn tries an expert: the best by logits, the lower index
    among equals, that its token has neither asked for nor tried. The rounds end when no assignment
    waits, or when every expert is full or tried.
    """
    n_tokens, n_experts = logits_NE.shape
    expert_A, kept_A = expert_A.copy(), kept_A.copy()
    load_E = np.bincount(expert_A[kept_A], minlength=n_experts)
    waiting, token_T, row_W = _in_turn(token_A, rank_A, kept_A)
    asked_NE = np.zeros((n_tokens, n_experts), bool)
    asked_NE[token_A, expert_A] = True
    asked_TE = asked_NE[token_T]
    best_TE = topk_oracle(logits_NE[token_T], n_experts)
    last_TE = np.take_along_axis(asked_TE, best_TE, axis=1)  # experts asked for already come last
    next_TE = np.take_along_axis(best_TE, np.argsort(last_TE, axis=1, kind="stable"), axis=1)
    n_free_T, tried_T = n_experts - asked_TE.sum(axis=1), np.zeros(token_T.size, np.int64)
    while waiting.size and load_E.min() < limit:  # at most one round per expert
        # Waiting assignments of one token try different experts, those of better rank better ones.
        try_W = tried_T[row_W] + np.arange(row_W.size) - np.searchsorted(row_W, row_W)
        left_W = try_W < n_free_T[row_W]
        waiting, row_W, try_W = waiting[left_W], row_W[left_W], try_W[left_W]
        tried_T += np.bincount(row_W, minlength=token_T.size)
        want_W = next_TE[row_W, try_W]
        order_W = np.argsort(want_W, kind="stable")
        sorted_W = want_W[order_W]
        place_W = np.empty_like(order_W)
        place_W[order_W] = np.arange(order_W.size) - np.searchsorted(sorted_W, sorted_W)
        got_W = load_E[want_W] + place_W < limit
        expert_A[waiting[got_W]] = want_W[got_W]
        kept_A[waiting[got_W]] = True
        load_E += np.bincount(want_W[got_W], minlength=n_experts)
        waiting, row_W = waiting[~got_W], row_W[~got_W]
    return expert_A, kept_A


@njit
def _reroute(waiting, row_W, next_TE, token_A, limit, asked_NE, expert_A, kept_A):
    """Write the outcome into `expert_A` and `kept_A`."""
    n_tokens, n_experts = next_TE.shape
    load_E = np.zeros(n_experts, np.int64)
    for a in range(token_A.size):
        asked_NE[token_A[a], expert_A[a]] = True
        if kept_A[a]:
            load_E[expert_A[a]] += 1
    n_open = 0  # experts that still have room
    for e in range(n_experts):
        n_open += load_E[e] < limit
    tried_T = np.zeros(n_tokens, np.int64)
    n_waiting = waiting.size
    while n_waiting > 0 and n_open > 0:
        n_left = 0
        for w in range(n_waiting):
            a, t = waiting[w], row_W[w]
            i = tried_T[t]
            while i < n_experts and asked_NE[token_A[a], next_TE[t, i]]:
                i += 1
            tried_T[t] = i + 1
            if i >= n_experts:
                continue  # nothing is left to try
            want = next_TE[t, i]
            if load_E[want] < limit:
                expert_A[a], kept_A[a] = want, True
                load_E[want] += 1
                n_open -= load_E[want] == limit
            else:
                waiting[n_left], row_W[n_left] = a, t
                n_left += 1
        n_waiting = n_left


def _reroute_fast(
    token_A: np.ndarray,
    rank_A: np.ndarray,
    expert_A: np.ndarray,
    kept_A: np.ndarray,
    logits_NE: np.ndarray,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    expert_A, kept_A = expert_A.copy(), kept_A.copy()
    waiting, token_T, row_W = _in_turn(token_A, rank_A, kept_A)
    next_TE = topk(logits_NE[token_T], logits_NE.shape[1])
    asked_NE = np.zeros(logits_NE.shape, bool)
    _reroute(waiting, row_W, next_TE, token_A, limit, asked_NE, expert_A, kept_A)
    return expert_A, kept_A


reroute = choose(reroute_oracle, _reroute_fast)
