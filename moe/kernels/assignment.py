"""Balanced assignment: equal loads, and under that condition the largest sum of scores."""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit


def balanced_assignment_oracle(score_NE: np.ndarray) -> np.ndarray:
    """Best expert of each token under equal loads, (N, E) float64 to (N,) int32; scipy's solver.

    With N = q E + r, each expert has q places, and r further places go to different experts.
    """
    from scipy.optimize import linear_sum_assignment

    n_tokens, n_experts = score_NE.shape
    full, extra = divmod(n_tokens, n_experts)
    places = np.repeat(np.arange(n_experts), full)
    cost_NP = -score_NE[:, places]
    if extra:
        # One optional place per expert, of which r are used: dummy tokens fill the others. They
        # cost nothing there, and too much anywhere else.
        span = float(score_NE.max() - score_NE.min()) + 1
        big = span * (n_tokens + n_experts)
        cost_NP = np.concatenate([cost_NP, -score_NE], axis=1)
        dummy = np.full((n_experts - extra, cost_NP.shape[1]), big)
        dummy[:, places.size :] = 0
        cost_NP = np.concatenate([cost_NP, dummy])
        places = np.concatenate([places, np.arange(n_experts)])
    _, column = linear_sum_assignment(cost_NP)
    return places[column[:n_tokens]].astype(np.int32)


@inner
def _enter(e, m, score_NE, token_EC, place_N, load_E, move_EE, mover_EE):
    """Add token m to expert e; update the cheapest move of a token from e to each other expert."""
    token_EC[e, load_E[e]] = m
    place_N[m] = load_E[e]
    load_E[e] += 1
    for f in range(score_NE.shape[1]):
        loss = score_NE[m, e] - score_NE[m, f]
        if f != e and loss < move_EE[e, f]:
            move_EE[e, f] = loss
            mover_EE[e, f] = m


@inner
def _leave(e, m, score_NE, token_EC, place_N, load_E, move_EE, mover_EE):
    """Remove token m from expert e; where its move was the cheapest, find the next cheapest."""
    load_E[e] -= 1
    last = token_EC[e, load_E[e]]
    token_EC[e, place_N[m]] = last
    place_N[last] = place_N[m]
    for f in range(score_NE.shape[1]):
        if f != e and mover_EE[e, f] == m:
            move_EE[e, f] = np.inf
            mover_EE[e, f] = -1
            for c in range(load_E[e]):
                other = token_EC[e, c]
                loss = score_NE[other, e] - score_NE[other, f]
                if loss < move_EE[e, f]:
                    move_EE[e, f] = loss
                    mover_EE[e, f] = other


@njit
def _balanced_assignment(score_NE):
    # Successive shortest paths: each token enters by the cheapest chain of moves, so that the
    # tokens assigned so far always have their best assignment. Prices, the dual variables, keep
    # every reduced cost (cost plus price of the start less price of the end) from being negative,
    # which Dijkstra's algorithm needs in order to find the chain.
    # 16384 tokens on 128 experts take 0.02 s, skewed ones 0.3 s, scores of rank one 10 s.
    n_tokens, n_experts = score_NE.shape
    full = n_tokens // n_experts
    expert_N = np.full(n_tokens, -1, np.int32)
    place_N = np.zeros(n_tokens, np.int64)
    token_EC = np.zeros((n_experts, full + 1), np.int64)
    load_E = np.zeros(n_experts, np.int64)
    move_EE = np.full((n_experts, n_experts), np.inf)
    mover_EE = np.full((n_experts, n_experts), -1, np.int64)
    price_E = np.zeros(n_experts)
    price_out = 0.0  # of a free place, wherever it is
    cost_E = np.empty(n_experts)
    before_E = np.empty(n_experts, np.int64)
    done_E = np.empty(n_experts, np.bool_)
    room = full
    slack = 1e-13 * np.abs(score_NE).max()  # rounding errors that look like gains lengthen chains
    for n in range(n_tokens):
        if n == full * n_experts:
            # The places that every expert must fill are taken; each now offers one more.
            room = full + 1
            price_out = price_E.min()
        for e in range(n_experts):
            cost_E[e] = -score_NE[n, e] - price_E[e]
            before_E[e] = -1
            done_E[e] = False
        end, cost_out = -1, np.inf
        while True:
            e = -1
            for f in range(n_experts):
                if not done_E[f] and (e < 0 or cost_E[f] < cost_E[e]):
                    e = f
            if e < 0 or cost_out <= cost_E[e]:
                break
            done_E[e] = True
            if load_E[e] < room and cost_E[e] + price_E[e] - price_out < cost_out:
                end, cost_out = e, cost_E[e] + price_E[e] - price_out
            for f in range(n_experts):
                through = cost_E[e] + move_EE[e, f] + price_E[e] - price_E[f]
                if not done_E[f] and through < cost_E[f] - slack:
                    cost_E[f] = through
                    before_E[f] = e
        for e in range(n_experts):
            if done_E[e]:
                price_E[e] += min(cost_E[e] - cost_out, 0.0)
        f = end
        while before_E[f] >= 0:  # walk the chain back, moving one token along each step
            e = before_E[f]
            m = mover_EE[e, f]
            _leave(e, m, score_NE, token_EC, place_N, load_E, move_EE, mover_EE)
            _enter(f, m, score_NE, token_EC, place_N, load_E, move_EE, mover_EE)
            expert_N[m] = f
            f = e
        _enter(f, n, score_NE, token_EC, place_N, load_E, move_EE, mover_EE)
        expert_N[n] = f
    return expert_N


def _balanced_assignment_fast(score_NE: np.ndarray) -> np.ndarray:
    if score_NE.shape[0] == 0:
        return np.zeros(0, np.int32)
    return _balanced_assignment(np.ascontiguousarray(score_NE))


balanced_assignment = choose(balanced_assignment_oracle, _balanced_assignment_fast)
