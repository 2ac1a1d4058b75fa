"""The k best experts of a token within its best group, its two best, and so on to all groups.

A kernel, because what was best within fewer groups stands at the head of what is best within more:
each group's scores are looked at once, where a selection for each limit would look at all again.
"""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .costs import NUMBER_NS
from .selection import ROWS, above, index_of, make_keys, topk_oracle
from .threads import run_items, take_item

LOWEST, HIGHEST = np.int64(-(2**63)), np.int64(2**63 - 1)


def topk_within_oracle(scores_NE: np.ndarray, k: int, n_group: int, best_of: int) -> np.ndarray:
    """Experts of each token within one group, two groups, ... all groups, best first.

    Parameters
    ----------
    scores_NE
        Selection scores, (N, E) float32, not -inf; of equal ones the lower expert goes first, and
        NaN goes before all numbers.
    k, n_group
        Experts per token, and groups of neighbours; a group holds k experts or more.
    best_of
        A group's score is the sum of its `best_of` largest; a group holds as many or more.

    Returns
    -------
    expert_GNK
        The smallest integers without a sign that hold E - 1.
    """
    n_tokens, n_experts = scores_NE.shape
    size = n_experts // n_group
    of_group_RS = scores_NE.reshape(n_tokens * n_group, size)
    best_RB = topk_oracle(of_group_RS, max(k, best_of))
    score_RB = np.take_along_axis(of_group_RS, best_RB.astype(np.intp), axis=1)
    best_RK, score_RK = best_RB[:, :k], score_RB[:, :k]
    # Candidates stand in the order of groups, and of experts where scores are equal: so the lower
    # expert still leads.
    first_R1 = (np.arange(len(best_RK)) % n_group * size)[:, None]
    expert_NC = (best_RK + first_R1).reshape(n_tokens, n_group * k)
    order_NG = topk_oracle(score_RB[:, :best_of].sum(axis=1).reshape(n_tokens, n_group), n_group)
    score_NGK = score_RK.reshape(n_tokens, n_group, k)
    open_NGK = np.full((n_tokens, n_group, k), -np.inf, scores_NE.dtype)
    expert_GNK = np.empty((n_group, n_tokens, k), np.min_scalar_type(n_experts - 1))
    every_N = np.arange(n_tokens)
    for g in range(n_group):
        opened_N = order_NG[:, g]
        open_NGK[every_N, opened_N] = score_NGK[every_N, opened_N]
        chosen_NK = topk_oracle(open_NGK.reshape(n_tokens, n_group * k), k).astype(np.intp)
        expert_GNK[g] = np.take_along_axis(expert_NC, chosen_NK, axis=1)
    return expert_GNK


@inner
def _largest_below(key_E, first, last, below):
    """The largest of the keys first..last below another; vector instructions find it, as in `topk`.

    Any key will do as the other one, so that the first to be found is below `HIGHEST`.
    """
    top = LOWEST
    for e in range(first, last):
        key = key_E[e]
        top = max(top, key if key < below else LOWEST)
    return top


@inner
def _insert(key, best_K):
    """Put a key into the k largest so far, which stand in order, and say whether it has a place."""
    place = best_K.size - 1
    if key < best_K[place]:
        return False
    while place > 0 and key > best_K[place - 1]:
        best_K[place] = best_K[place - 1]
        place -= 1
    best_K[place] = key
    return True


@njit
def _topk_within(queue, n_items, scores_NE, bits_NE, n_group, best_of, expert_GNK):
    n_tokens, n_experts = scores_NE.shape
    size, k = n_experts // n_group, expert_GNK.shape[2]
    key_E, best_K = np.empty(n_experts, np.int64), np.empty(k, np.int64)
    top_GB = np.empty((n_group, best_of), np.int64)
    score_G, order_G = np.empty(n_group, scores_NE.dtype), np.empty(n_group, np.int64)
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, n_tokens)):
            make_keys(scores_NE, bits_NE, n, key_E)
            for g in range(n_group):
                top, score_G[g] = HIGHEST, 0
                for b in range(best_of):
                    top = _largest_below(key_E, g * size, (g + 1) * size, top)
                    score_G[g] += scores_NE[n, index_of(top, n_experts)]
                    top_GB[g, b] = top
                place = g
                while place > 0 and above(score_G[g], score_G[order_G[place - 1]]):
                    order_G[place] = order_G[place - 1]
                    place -= 1
                order_G[place] = g
            best_K[:] = LOWEST
            for reach in range(n_group):
                g = order_G[reach]
                top = HIGHEST
                for j in range(k):  # the group's best, as far as they have a place
                    if j < best_of:
                        top = top_GB[g, j]
                    else:
                        top = _largest_below(key_E, g * size, (g + 1) * size, top)
                    if not _insert(top, best_K):
                        break
                for j in range(k):
                    expert_GNK[reach, n, j] = index_of(best_K[j], n_experts)
        item = take_item(queue)


def _topk_within_fast(scores_NE: np.ndarray, k: int, n_group: int, best_of: int) -> np.ndarray:
    n_tokens, n_experts = scores_NE.shape
    expert_GNK = np.empty((n_group, n_tokens, k), np.min_scalar_type(n_experts - 1))
    run_items(
        _topk_within, -(-n_tokens // ROWS), NUMBER_NS["mask_groups"] * scores_NE.size, scores_NE,
        scores_NE.view(np.int32), n_group, best_of, expert_GNK,
    )  # fmt: skip
    return expert_GNK


topk_within = choose(topk_within_oracle, _topk_within_fast)
