"""How even, how sure and how specialised a routing is; each figure with its definition.

c_i is the number of assignments of expert i, c_mean their mean, N tokens, K choices per token.
"""

from __future__ import annotations

import math

import numpy as np

from .errors import check_array, check_int
from .routing import Routing


def _counts(load_E: np.ndarray) -> np.ndarray:
    load_E = np.asarray(load_E, np.float64)
    if load_E.ndim != 1 or load_E.size == 0:
        raise ValueError(f"load_E: got shape {load_E.shape}, allowed is (E,) with E >= 1")
    return load_E


def max_vio(load_E: np.ndarray) -> float:
    """(max c_i - c_mean) / c_mean: 0 if even, E/k - 1 at total collapse of top-k.

    Source: Loss-Free Balancing, arXiv 2408.15664, equation 4. 0 for an empty batch.
    """
    load_E = _counts(load_E)
    mean = load_E.mean()
    return float(load_E.max() / mean - 1) if mean > 0 else 0.0


def min_vio(load_E: np.ndarray) -> float:
    """(min c_i - c_mean) / c_mean: 0 if even, -1 if an expert got nothing."""
    load_E = _counts(load_E)
    mean = load_E.mean()
    return float(load_E.min() / mean - 1) if mean > 0 else 0.0


def coefficient_of_variation(load_E: np.ndarray, ddof: int = 0) -> float:
    """Standard deviation of c_i over their mean; `ddof` 0 (population) or 1 (sample)."""
    load_E = _counts(load_E)
    check_int("ddof", ddof, 0, min(1, load_E.size - 1))
    mean = load_E.mean()
    return float(load_E.std(ddof=ddof) / mean) if mean > 0 else 0.0


def load_entropy(load_E: np.ndarray) -> float:
    """-sum q_i ln q_i in nats, q_i = c_i / sum c: ln E if even, 0 if one expert has all."""
    load_E = _counts(load_E)
    q_E = load_E[load_E > 0] / max(load_E.sum(), 1)
    return float(-(q_E * np.log(q_E)).sum())


def effective_experts(load_E: np.ndarray) -> float:
    """exp(load entropy): how many equally busy experts would be as uneven."""
    return float(np.exp(load_entropy(load_E)))


def dead_experts(load_E: np.ndarray) -> int:
    """Experts with no assignment in this batch; that alone does not make them dead for good."""
    return int((_counts(load_E) == 0).sum())


def utilisation(load_E: np.ndarray) -> np.ndarray:
    """c_i / c_mean per expert, (E,): 1 is the fair share."""
    load_E = _counts(load_E)
    return np.asarray(load_E / max(load_E.mean(), np.finfo(float).tiny))


def hottest_share(load_E: np.ndarray) -> float:
    """Share of all assignments that the busiest expert gets: 1 / E if even."""
    load_E = _counts(load_E)
    return float(load_E.max() / max(load_E.sum(), 1))


def overload_factor(load_E: np.ndarray, device_E: np.ndarray) -> float:
    """Load of the busiest device over the mean device's: predicts the time of a step.

    Parameters
    ----------
    device_E
        Device of each expert, (E,) integers from 0.
    """
    load_E = _counts(load_E)
    return max_vio(np.bincount(np.asarray(device_E), weights=load_E)) + 1


def drop_rate(routing: Routing) -> float:
    """Dropped assignments over all assignments."""
    return routing.dropped / max(routing.n_assignments, 1)


def unserved_tokens(routing: Routing) -> float:
    """Share of tokens of which every assignment was dropped: only the residual path is left."""
    served_N = np.zeros(routing.n_tokens, bool)
    served_N[routing.token_A[routing.kept_A]] = True
    return float((~served_N).mean()) if routing.n_tokens else 0.0


def padding_waste(load_E: np.ndarray, limit: int = 0) -> float:
    """Share of computed rows that hold no token: 1 - sum c_i / (E C).

    With arrays of fixed size each expert computes C rows whatever its load. The layers here
    compute kept rows only, and waste nothing.

    Parameters
    ----------
    load_E
        Assignments kept, per expert; or per device, where that is what has a limit.
    limit
        C, as from `Capacity.limit`. The largest load, if that is more: what it takes to drop
        nothing.
    """
    load_E = _counts(load_E)
    rows = load_E.size * max(check_int("limit", limit, 0), load_E.max())
    return float(1 - load_E.sum() / rows) if rows else 0.0


def router_confidence(scores_NE: np.ndarray) -> float:
    """Mean over tokens of the entropy of its scores in nats: 0 if sure, ln E if undecided."""
    return float(_entropy(_shares(scores_NE)).mean())


def mutual_information(scores_NE: np.ndarray) -> float:
    """Entropy of the mean scores minus mean entropy of the scores, in nats.

    High when tokens differ in what they choose *and* each is sure; 0 when all choose alike.
    """
    p_NE = _shares(scores_NE)
    return float(_entropy(p_NE.mean(axis=0, keepdims=True))[0] - _entropy(p_NE).mean())


def saturation(expert_NK: np.ndarray, final_NK: np.ndarray) -> float:
    """Mean share of a token's final experts that it had chosen before.

    Source: OLMoE, arXiv 2409.02060, section 5.1. Both (N, K), the same tokens.
    """
    expert_NK, final_NK = np.asarray(expert_NK), np.asarray(final_NK)
    if expert_NK.shape != final_NK.shape or expert_NK.ndim != 2:
        raise ValueError(
            f"final_NK: got shape {final_NK.shape}, allowed is that of expert_NK, (N, K)"
        )
    common_NK = (expert_NK[:, :, None] == final_NK[:, None, :]).any(axis=1)
    return float(common_NK.mean()) if common_NK.size else 0.0


def fluctuation(expert_NK: np.ndarray, later_NK: np.ndarray) -> float:
    """Share of tokens whose set of experts changed: StableMoE, arXiv 2204.08396."""
    before, after = np.sort(expert_NK, axis=1), np.sort(later_NK, axis=1)
    return float((before != after).any(axis=1).mean()) if len(before) else 0.0


def coactivation(routing: Routing) -> np.ndarray:
    """Share of expert i's tokens that also chose expert j, N_ij / N_i, (E, E); diagonal 1.

    Source: OLMoE, arXiv 2409.02060, section 5.2, over all pairs of a token's choices.
    """
    chosen_NE = np.zeros((routing.n_tokens, routing.n_experts))
    chosen_NE[routing.token_A, routing.expert_A] = 1
    pairs_EE = chosen_NE.T @ chosen_NE
    return np.asarray(pairs_EE / np.maximum(np.diag(pairs_EE)[:, None], 1))


def adjacent_coactivation(routing: Routing) -> np.ndarray:
    """Share of expert i's tokens that chose j just before or after it, by rank, (E, E).

    What OLMoE's published script counts (`pairwise` in its run_moe_analysis.py), where the paper's
    text means all pairs; the same for K = 2 but for the diagonal, which is 0 here.
    """
    order_A = np.lexsort((routing.rank_A, routing.token_A))
    token_A, expert_A = routing.token_A[order_A], routing.expert_A[order_A]
    together = token_A[1:] == token_A[:-1]
    pairs_EE = np.zeros((routing.n_experts, routing.n_experts))
    np.add.at(pairs_EE, (expert_A[:-1][together], expert_A[1:][together]), 1)
    count_E = np.bincount(expert_A, minlength=routing.n_experts)
    return np.asarray((pairs_EE + pairs_EE.T) / np.maximum(count_E[:, None], 1))


def specialisation(routing: Routing, label_N: np.ndarray, n_labels: int) -> np.ndarray:
    """Share of each label's assignments that go to each expert, (L, E); uniform is 1 / E.

    For labels that are domains this is OLMoE's domain specialisation, for token ids its
    vocabulary specialisation (arXiv 2409.02060, sections 5.3 and 5.4), over all K choices.
    """
    label_N = np.asarray(label_N)
    if label_N.shape != (routing.n_tokens,):
        raise ValueError(
            f"label_N: got shape {label_N.shape}, allowed is ({routing.n_tokens},), one per token"
        )
    check_int("n_labels", n_labels, int(label_N.max(initial=-1)) + 1)
    cell_A = label_N[routing.token_A].astype(np.int64) * routing.n_experts + routing.expert_A
    count_LE = np.bincount(cell_A, minlength=n_labels * routing.n_experts).astype(np.float64)
    count_LE = count_LE.reshape(n_labels, routing.n_experts)
    return np.asarray(count_LE / np.maximum(count_LE.sum(axis=1, keepdims=True), 1))


def label_information(routing: Routing, label_N: np.ndarray) -> float:
    """Mutual information of a token's label and its expert, in nats, over all its choices.

    0 if the experts tell nothing of the label, at most the entropy of either. With few tokens
    it exceeds 0 by chance alone: compare with shuffled labels.
    """
    label_N = np.asarray(label_N)
    if label_N.shape != (routing.n_tokens,):
        raise ValueError(
            f"label_N: got shape {label_N.shape}, allowed is ({routing.n_tokens},), one per token"
        )
    label_A = np.unique(label_N, return_inverse=True)[1][routing.token_A].astype(np.int64)
    cell, count_C = np.unique(label_A * routing.n_experts + routing.expert_A, return_counts=True)
    return _cells_information(count_C, cell // routing.n_experts, cell % routing.n_experts)


def table_information(count_LE: np.ndarray) -> float:
    """Mutual information of row and column in a table of counts, in nats; 0 for an empty one."""
    rows, columns = np.nonzero(count_LE)
    return _cells_information(np.asarray(count_LE)[rows, columns], rows, columns)


def _cells_information(count_C: np.ndarray, row_C: np.ndarray, column_C: np.ndarray) -> float:
    if not len(count_C):
        return 0.0
    p_C = count_C / count_C.sum()
    apart_C = np.bincount(row_C, p_C)[row_C] * np.bincount(column_C, p_C)[column_C]
    return max(float((p_C * np.log(p_C / apart_C)).sum()), 0.0)


def vocabulary_specialisation(
    routing: Routing, token_ids_N: np.ndarray, min_count: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which expert each token id goes to most often, as first choice.

    Source: OLMoE, arXiv 2409.02060, section 5.4, and its script, which lists ids seen at least
    ten times. The mean of the shares is the layer's vocabulary specialisation.

    Returns
    -------
    tuple
        Ids seen `min_count` times or more, (V,); the expert each prefers; and the share of its
        tokens that go there.
    """
    check_int("min_count", min_count, 1)
    first_N = first_choices(routing)
    served_N = first_N >= 0
    ids, id_N, count = np.unique(
        np.asarray(token_ids_N)[served_N], return_inverse=True, return_counts=True
    )
    often = count >= min_count
    row = np.cumsum(often) - 1
    listed_N = often[id_N]
    share_VE = np.zeros((int(often.sum()), routing.n_experts))
    np.add.at(share_VE, (row[id_N[listed_N]], first_N[served_N][listed_N]), 1)
    if not len(share_VE):
        return ids[:0], np.zeros(0, np.int64), np.zeros(0)
    best_V = share_VE.argmax(axis=1)
    return ids[often], best_V, share_VE.max(axis=1) / count[often]


def first_choices(routing: Routing, rank: int = 0) -> np.ndarray:
    """Expert of each token's choice of that rank, (N,) int64; -1 without one."""
    first_N = np.full(routing.n_tokens, -1, np.int64)
    at_rank = routing.rank_A == rank
    first_N[routing.token_A[at_rank]] = routing.expert_A[at_rank]
    return first_N


def random_repetition(n_experts: int, k: int) -> float:
    """Chance that two random choices of k among E share an expert: 1 - C(E-k, k) / C(E, k).

    The baseline of `repetition`: 46.4 % for 2 of 8 in Mixtral's table 5, 12.5 % for 1 of 8.
    """
    check_int("n_experts", n_experts, 1)
    check_int("k", k, 1, n_experts)
    return 1 - math.comb(n_experts - k, k) / math.comb(n_experts, k)


def repetition(
    routing: Routing, rank: int | None = 0, sequence_N: np.ndarray | None = None
) -> float:
    """Share of neighbouring tokens that repeat an expert.

    Parameters
    ----------
    sequence_N
        Number of each token's sequence: tokens are neighbours within one only.
    rank
        0: first choice repeats (random: 1 / E). None: any of a token's experts is among the
        next token's (random, k of E: 1 - C(E-k, k) / C(E, k)). Mixtral, arXiv 2401.04088,
        table 5.
    """
    near = np.ones(max(routing.n_tokens - 1, 0), bool)
    if sequence_N is not None:
        near = np.asarray(sequence_N)[1:] == np.asarray(sequence_N)[:-1]
    if not near.any():
        return 0.0
    if rank is None:
        chosen_NE = np.zeros((routing.n_tokens, routing.n_experts), bool)
        chosen_NE[routing.token_A, routing.expert_A] = True
        return float((chosen_NE[1:] & chosen_NE[:-1])[near].any(axis=1).mean())
    first_N = first_choices(routing, rank)
    both = near & (first_N[1:] >= 0) & (first_N[:-1] >= 0)
    return float((first_N[1:] == first_N[:-1])[both].mean()) if both.any() else 0.0


def _shares(scores_NE: np.ndarray) -> np.ndarray:
    scores_NE = check_array("scores_NE", scores_NE, (None, None)).astype(np.float64)
    if scores_NE.size and scores_NE.min() < 0:
        raise ValueError("scores_NE: got negative scores, allowed are scores >= 0")
    return np.asarray(scores_NE / np.maximum(scores_NE.sum(axis=1, keepdims=True), 1e-300))


def _entropy(p_NE: np.ndarray) -> np.ndarray:
    log_NE = np.log(np.where(p_NE > 0, p_NE, 1.0))
    return np.asarray(-(p_NE * log_NE).sum(axis=1))
