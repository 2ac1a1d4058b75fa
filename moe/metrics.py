"""How even, how sure and how specialised a routing is; each figure with its definition.

c_i is the number of assignments of expert i, c_mean their mean, N tokens, K choices per token.
"""

from __future__ import annotations

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


def repetition(routing: Routing, rank: int | None = 0) -> float:
    """Share of neighbouring tokens that repeat an expert.

    Parameters
    ----------
    rank
        0: first choice repeats (random: 1 / E). None: any of a token's experts is among the
        next token's (random, k of E: 1 - C(E-k, k) / C(E, k)). Mixtral, arXiv 2401.04088,
        table 5.
    """
    if routing.n_tokens < 2:
        return 0.0
    if rank is None:
        chosen_NE = np.zeros((routing.n_tokens, routing.n_experts), bool)
        chosen_NE[routing.token_A, routing.expert_A] = True
        return float((chosen_NE[1:] & chosen_NE[:-1]).any(axis=1).mean())
    first_N = np.full(routing.n_tokens, -1)
    at_rank = routing.rank_A == rank
    first_N[routing.token_A[at_rank]] = routing.expert_A[at_rank]
    both = (first_N[1:] >= 0) & (first_N[:-1] >= 0)
    return float((first_N[1:] == first_N[:-1])[both].mean()) if both.any() else 0.0


def _shares(scores_NE: np.ndarray) -> np.ndarray:
    scores_NE = check_array("scores_NE", scores_NE, (None, None)).astype(np.float64)
    if scores_NE.size and scores_NE.min() < 0:
        raise ValueError("scores_NE: got negative scores, allowed are scores >= 0")
    return np.asarray(scores_NE / np.maximum(scores_NE.sum(axis=1, keepdims=True), 1e-300))


def _entropy(p_NE: np.ndarray) -> np.ndarray:
    log_NE = np.log(np.where(p_NE > 0, p_NE, 1.0))
    return np.asarray(-(p_NE * log_NE).sum(axis=1))
