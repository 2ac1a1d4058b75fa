"""Which k experts each token selects: the k largest selection scores, optionally by groups.

Ties break toward the lower expert index, and a masked group is -inf, never 0: with a negative
selection bias an allowed score may lie below 0, and a 0 mask would let a forbidden expert win.
NaN ranks above every number, as in torch.topk: a broken score is chosen and makes the token's
result NaN, while it would go unnoticed if it ranked last.
"""

from __future__ import annotations

import numpy as np

from .backend import choose, inner, njit
from .costs import CHOICE_NS, NUMBER_NS
from .scores import LANES, softmax_backward_oracle, softmax_oracle, softmax_rows
from .threads import run_items, take_item

ROWS = 128
# Smallest number of experts at which vectors of keys are faster than insertion, on rows that the
# branch predictor has not seen before (`python -m benchmarks.constants selection.KEYS_FROM 4 16`).
KEYS_FROM = 8


def topk_oracle(select_NE: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest entries of each row, largest first; (N, E) to (N, k) int32."""
    # An ascending sort puts NaN last, so that NaN comes first when it is read from the end. The
    # columns are reversed before the sort as well, so that of equal scores the lower index leads.
    order_NE = np.argsort(select_NE[:, ::-1], axis=1, kind="stable")[:, ::-1]
    return (select_NE.shape[1] - 1 - order_NE[:, :k]).astype(np.int32)


@inner
def make_keys(select_NE, bits_NE, n, key_E):
    """An integer for each float32 score of a row, made of the score's bits and the index.

    Keys are ordered as the scores are, and no two are equal.
    """
    n_experts = select_NE.shape[1]
    for e in range(n_experts):
        value, bits = select_NE[n, e], np.int64(bits_NE[n, e])
        # Bits of negative numbers sort in reverse order, -0 equals 0, and NaN comes first.
        ordered = bits if bits >= 0 else -(2**31) - bits - (1 if value != 0 else 0)
        if value != value:
            ordered = np.int64(2**31 - 1)
        key_E[e] = ordered * 2**32 + (n_experts - 1 - e)


@inner
def index_of(key, n_experts):
    """The index that a key was made of."""
    return n_experts - 1 - (key & (2**32 - 1))


@inner
def _best_by_keys(select_NE, bits_NE, n, k, key_E, out_NK):
    """Select float32 scores by a key each.

    The k-th largest key is the largest one below its predecessor, which vector instructions find
    without a branch.
    """
    n_experts = select_NE.shape[1]
    lowest = np.int64(-(2**63))
    make_keys(select_NE, bits_NE, n, key_E)
    last = np.int64(2**63 - 1)
    for j in range(k):
        top = lowest
        for e in range(n_experts):
            key = key_E[e]
            top = max(top, key if key < last else lowest)
        out_NK[n, j] = index_of(top, n_experts)
        last = top


@inner
def above(value, other):
    """Whether a score ranks before another one; NaN ranks before every number."""
    return value > other or (value != value and other == other)


@inner
def _best_by_insertion(select_NE, n, k, best_K, out_NK):
    """Keep the k best scores so far in order, which is fast for few experts."""
    filled = 0
    for e in range(select_NE.shape[1]):
        value = select_NE[n, e]
        if filled == k and not value > best_K[k - 1]:
            if value == value or best_K[k - 1] != best_K[k - 1]:
                continue
        # Insert behind every equal value: the lower index keeps its place.
        place = filled if filled < k else k - 1
        while place > 0 and not value <= best_K[place - 1]:
            if best_K[place - 1] != best_K[place - 1]:
                break
            best_K[place] = best_K[place - 1]
            out_NK[n, place] = out_NK[n, place - 1]
            place -= 1
        best_K[place] = value
        out_NK[n, place] = e
        if filled < k:
            filled += 1


@njit
def _topk(queue, n_items, select_NE, bits_NE, by_keys, k, out_NK):
    best_K, key_E = np.empty(k, select_NE.dtype), np.empty(select_NE.shape[1], np.int64)
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, select_NE.shape[0])):
            if by_keys:
                _best_by_keys(select_NE, bits_NE, n, k, key_E, out_NK)
            else:
                _best_by_insertion(select_NE, n, k, best_K, out_NK)
        item = take_item(queue)


def _bits(select_NE: np.ndarray) -> tuple[np.ndarray, bool]:
    """The scores' bits as integers, and whether to select by keys made of them."""
    by_keys = select_NE.dtype == np.float32 and select_NE.shape[1] >= KEYS_FROM
    return select_NE.view(np.int32), bool(by_keys)


def _topk_fast(select_NE: np.ndarray, k: int) -> np.ndarray:
    out_NK = np.empty((select_NE.shape[0], k), np.int32)
    items = -(-select_NE.shape[0] // ROWS)
    work_ns = select_NE.size * (NUMBER_NS["topk"] + k * CHOICE_NS)
    run_items(_topk, items, work_ns, select_NE, *_bits(select_NE), k, out_NK)
    return out_NK


topk = choose(topk_oracle, _topk_fast)


def softmax_topk_oracle(logits_NE: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most common gate in one pass: k largest logits, softmax over these, softmax over all.

    Returns
    -------
    expert_NK, weight_NK, scores_NE
        Indices as from `topk`; both softmaxes.
    """
    expert_NK = topk_oracle(logits_NE, k)
    chosen_NK = np.take_along_axis(logits_NE, expert_NK.astype(np.intp), axis=1)
    return expert_NK, softmax_oracle(chosen_NK), softmax_oracle(logits_NE)


@njit
def _softmax_topk(queue, n_items, logits_NE, bits_NE, by_keys, k, expert_NK, weight_NK, scores_NE):
    n_experts = logits_NE.shape[1]
    logits, weight, scores = logits_NE.reshape(-1), weight_NK.reshape(-1), scores_NE.reshape(-1)
    best_K, key_E = np.empty(k, logits.dtype), np.empty(n_experts, np.int64)
    tops = np.empty(LANES, logits.dtype)
    item = take_item(queue)
    while item < n_items:
        low, high = item * ROWS, min((item + 1) * ROWS, logits_NE.shape[0])
        for n in range(low, high):
            if by_keys:
                _best_by_keys(logits_NE, bits_NE, n, k, key_E, expert_NK)
            else:
                _best_by_insertion(logits_NE, n, k, best_K, expert_NK)
            for j in range(k):
                weight_NK[n, j] = logits_NE[n, expert_NK[n, j]]
        part = slice(low * n_experts, high * n_experts)
        softmax_rows(logits[part], scores[part], n_experts, tops)
        part = slice(low * k, high * k)
        softmax_rows(weight[part], weight[part], k, tops)
        item = take_item(queue)


def _softmax_topk_fast(logits_NE: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_tokens = logits_NE.shape[0]
    expert_NK, weight_NK = (
        np.empty((n_tokens, k), np.int32),
        np.empty((n_tokens, k), logits_NE.dtype),
    )
    scores_NE = np.empty_like(logits_NE)
    work_ns = logits_NE.size * (NUMBER_NS["softmax_topk"] + k * CHOICE_NS)
    run_items(
        _softmax_topk, -(-n_tokens // ROWS), work_ns, logits_NE, *_bits(logits_NE), k, expert_NK,
        weight_NK, scores_NE,
    )  # fmt: skip
    return expert_NK, weight_NK, scores_NE


softmax_topk = choose(softmax_topk_oracle, _softmax_topk_fast)


def softmax_topk_backward_oracle(
    expert_NK: np.ndarray, weight_NK: np.ndarray, dweight_NK: np.ndarray, n_experts: int
) -> np.ndarray:
    """Gradient at the logits of the weights of `softmax_topk`; 0 for experts not selected."""
    dlogits_NE = np.zeros((len(expert_NK), n_experts), weight_NK.dtype)
    dchosen_NK = softmax_backward_oracle(weight_NK, dweight_NK)
    np.put_along_axis(dlogits_NE, expert_NK.astype(np.intp), dchosen_NK, axis=1)
    return dlogits_NE


@njit
def _softmax_topk_backward(queue, n_items, expert_NK, weight_NK, dweight_NK, dlogits_NE):
    item = take_item(queue)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, dlogits_NE.shape[0])):
            for e in range(dlogits_NE.shape[1]):
                dlogits_NE[n, e] = 0
            inner = dlogits_NE[n, 0]
            for j in range(expert_NK.shape[1]):
                inner += weight_NK[n, j] * dweight_NK[n, j]
            for j in range(expert_NK.shape[1]):
                dlogits_NE[n, expert_NK[n, j]] = weight_NK[n, j] * (dweight_NK[n, j] - inner)
        item = take_item(queue)


def _softmax_topk_backward_fast(
    expert_NK: np.ndarray, weight_NK: np.ndarray, dweight_NK: np.ndarray, n_experts: int
) -> np.ndarray:
    dlogits_NE = np.empty((len(expert_NK), n_experts), weight_NK.dtype)
    items = -(-len(expert_NK) // ROWS)
    work_ns = NUMBER_NS["softmax_topk_backward"] * dlogits_NE.size
    run_items(_softmax_topk_backward, items, work_ns, expert_NK, weight_NK, dweight_NK, dlogits_NE)
    return dlogits_NE


softmax_topk_backward = choose(softmax_topk_backward_oracle, _softmax_topk_backward_fast)


def mask_groups_oracle(
    select_NE: np.ndarray, n_group: int, topk_group: int, best_of: int
) -> np.ndarray:
    """Set to -inf all experts outside the `topk_group` best groups of each token.

    Parameters
    ----------
    select_NE
        Selection scores, (N, E); experts 0..E/n_group-1 are the first group, and so on.
    best_of
        A group's score is the sum of its `best_of` largest entries: 2 in DeepSeek-V3
        (arXiv 2412.19437, section 2.1.2), 1 (the maximum) in DeepSeek-V2 (arXiv 2405.04434).
    """
    n_tokens, n_experts = select_NE.shape
    groups_NGM = select_NE.reshape(n_tokens, n_group, n_experts // n_group)
    largest_NGB = np.sort(groups_NGM, axis=2)[:, :, ::-1][:, :, :best_of]
    chosen_NK = topk_oracle(largest_NGB.sum(axis=2), topk_group)
    allowed_NG = np.zeros((n_tokens, n_group), bool)
    np.put_along_axis(allowed_NG, chosen_NK.astype(np.intp), True, axis=1)
    masked_NGM = np.where(allowed_NG[:, :, None], groups_NGM, -np.inf)
    return np.asarray(masked_NGM.reshape(n_tokens, n_experts), dtype=select_NE.dtype)


@njit
def _mask_groups(queue, n_items, select_NE, n_group, topk_group, best_of, out_NE):
    item = take_item(queue)
    size = select_NE.shape[1] // n_group
    score_G = np.empty(n_group, select_NE.dtype)
    taken_M = np.empty(size, np.bool_)
    allowed_G = np.empty(n_group, np.bool_)
    while item < n_items:
        for n in range(item * ROWS, min((item + 1) * ROWS, select_NE.shape[0])):
            with_nan = False  # rows without NaN, the usual case, need a plain comparison only
            for e in range(select_NE.shape[1]):
                with_nan |= select_NE[n, e] != select_NE[n, e]
            for g in range(n_group):
                taken_M[:] = False
                score_G[g] = 0
                for _ in range(min(best_of, size)):
                    top = -1
                    for m in range(size):
                        if not taken_M[m] and (
                            top < 0
                            or select_NE[n, g * size + m] > select_NE[n, g * size + top]
                            or (
                                with_nan
                                and above(select_NE[n, g * size + m], select_NE[n, g * size + top])
                            )
                        ):
                            top = m
                    taken_M[top] = True
                    score_G[g] += select_NE[n, g * size + top]
            allowed_G[:] = False
            for _ in range(topk_group):
                top = -1
                for g in range(n_group):
                    if not allowed_G[g] and (top < 0 or above(score_G[g], score_G[top])):
                        top = g
                allowed_G[top] = True
            for g in range(n_group):
                for e in range(g * size, (g + 1) * size):
                    out_NE[n, e] = select_NE[n, e] if allowed_G[g] else -np.inf
        item = take_item(queue)


def _mask_groups_fast(
    select_NE: np.ndarray, n_group: int, topk_group: int, best_of: int
) -> np.ndarray:
    out_NE = np.empty_like(select_NE)
    items = -(-select_NE.shape[0] // ROWS)
    work_ns = NUMBER_NS["mask_groups"] * select_NE.size
    run_items(_mask_groups, items, work_ns, select_NE, n_group, topk_group, best_of, out_NE)
    return out_NE


mask_groups = choose(mask_groups_oracle, _mask_groups_fast)
