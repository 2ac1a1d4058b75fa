"""Balanced assignment: equal loads, and under that condition the largest sum of scores."""

from __future__ import annotations

import numpy as np

from .backend import choose, njit


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
        # One optional place per expert, of which r are used: dummy tokens fill the others.
        span = float(score_NE.max() - score_NE.min()) + 1
        big = span * (n_tokens + n_experts)
        cost_NP = np.concatenate([cost_NP, -score_NE], axis=1)
        dummy = np.full((n_experts - extra, cost_NP.shape[1]), big)
        dummy[:, places.size :] = 0
        cost_NP = np.concatenate([cost_NP, dummy])
        places = np.concatenate([places, np.arange(n_experts)])
    _, column = linear_sum_assignment(cost_NP)
    return places[column[:n_tokens]].astype(np.int32)


@njit
def _set_cheapest_moves(e, score_NE, expert_N, inserted, move_EE, mover_EE):
    """Row e of the moves: the token of expert e that loses least by going to each other expert."""
    for f in range(score_NE.shape[1]):
        move_EE[e, f] = np.inf
    for m in range(inserted):
        if expert_N[m] == e:
            for f in range(score_NE.shape[1]):
                loss = score_NE[m, e] - score_NE[m, f]
                if f != e and loss < move_EE[e, f]:
                    move_EE[e, f] = loss
                    mover_EE[e, f] = m


@njit
def _balanced_assignment(score_NE):
    # Successive shortest paths: each token enters by the chain of moves that costs least, so the
    # assignment of those inside is always the best one.
    n_tokens, n_experts = score_NE.shape
    full = n_tokens // n_experts
    expert_N = np.full(n_tokens, -1, np.int32)
    load_E = np.zeros(n_experts, np.int64)
    move_EE = np.full((n_experts, n_experts), np.inf)
    mover_EE = np.zeros((n_experts, n_experts), np.int64)
    cost_E = np.empty(n_experts)
    before_E = np.empty(n_experts, np.int64)
    for n in range(n_tokens):
        for e in range(n_experts):
            cost_E[e] = -score_NE[n, e]
            before_E[e] = -1
        for _ in range(n_experts):  # Bellman-Ford: moves may gain, but no cycle of them does
            changed = False
            for e in range(n_experts):
                for f in range(n_experts):
                    through = cost_E[e] + move_EE[e, f]
                    if through < cost_E[f] - 1e-12 * (1 + abs(cost_E[f])):
                        cost_E[f] = through
                        before_E[f] = e
                        changed = True
            if not changed:
                break
        # Places that every expert must fill come first; then one further place each.
        room = full if load_E.min() < full else full + 1
        last = -1
        for e in range(n_experts):
            if load_E[e] < room and (last < 0 or cost_E[e] < cost_E[last]):
                last = e
        load_E[last] += 1
        f = last
        for _ in range(n_experts):  # walk the chain back, moving one token along each step
            e = before_E[f]
            if e < 0:
                break
            expert_N[mover_EE[e, f]] = f
            f = e
        expert_N[n] = f
        f = last
        for _ in range(n_experts + 1):
            _set_cheapest_moves(f, score_NE, expert_N, n + 1, move_EE, mover_EE)
            f = before_E[f]
            if f < 0:
                break
    return expert_N


def _balanced_assignment_fast(score_NE: np.ndarray) -> np.ndarray:
    if score_NE.shape[0] == 0:
        return np.zeros(0, np.int32)
    return _balanced_assignment(np.ascontiguousarray(score_NE))


balanced_assignment = choose(balanced_assignment_oracle, _balanced_assignment_fast)
