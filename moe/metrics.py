"""How even, how certain and how specialised a routing is; each figure with its definition.

c_i is the number of assignments of expert i and c_mean the mean of these; there are N tokens with K
choices each. Papers differ in what they count under one name, so each docstring says what is
counted and which source is followed.
"""

from __future__ import annotations

import numpy as np

from .contingency import cells_information, pair_counts, tally
from .errors import check_array, check_int
from .routing import Routing

PUSHED = 0.1  # fair shares from which a load counts as pushed away from its share


def _counts(load_E: np.ndarray) -> np.ndarray:
    load_E = np.asarray(load_E, np.float64)
    if load_E.ndim != 1 or load_E.size == 0:
        raise ValueError(f"load_E: got shape {load_E.shape}, allowed is (E,) with E >= 1")
    return load_E


def max_vio(load_E: np.ndarray) -> float:
    """(max c_i - c_mean) / c_mean: 0 if even, E/k - 1 if all tokens choose the same k experts.

    Source: Loss-Free Balancing, arXiv 2408.15664, equation 4. 0 for an empty batch.
    """
    load_E = _counts(load_E)
    mean = load_E.mean()
    return float(load_E.max() / mean - 1) if mean > 0 else 0.0


def min_vio(load_E: np.ndarray) -> float:
    """(min c_i - c_mean) / c_mean: 0 if even, -1 if an expert has no assignment."""
    load_E = _counts(load_E)
    mean = load_E.mean()
    return float(load_E.min() / mean - 1) if mean > 0 else 0.0


def coefficient_of_variation(load_E: np.ndarray, ddof: int = 0) -> float:
    """Standard deviation of c_i over their mean; `ddof` 0 (population) or 1 (sample).

    Both are offered because numpy's default is 0 and PyTorch's is 1.
    """
    load_E = _counts(load_E)
    check_int("ddof", ddof, 0, min(1, load_E.size - 1))
    mean = load_E.mean()
    return float(load_E.std(ddof=ddof) / mean) if mean > 0 else 0.0


def load_entropy(load_E: np.ndarray) -> float:
    """-sum q_i ln q_i in nats, q_i = c_i / sum c: ln E if even, 0 if one expert has all tokens."""
    load_E = _counts(load_E)
    q_E = load_E[load_E > 0] / max(load_E.sum(), 1)
    return float(-(q_E * np.log(q_E)).sum())


def effective_experts(load_E: np.ndarray) -> float:
    """exp(load entropy): the number of equally busy experts whose load has the same entropy."""
    return float(np.exp(load_entropy(load_E)))


def dead_experts(load_E: np.ndarray) -> int:
    """Number of experts without an assignment in this batch; later batches may still use them."""
    return int((_counts(load_E) == 0).sum())


def utilisation(load_E: np.ndarray) -> np.ndarray:
    """c_i / c_mean of each expert, (E,): 1 is an equal share."""
    load_E = _counts(load_E)
    return np.asarray(load_E / max(load_E.mean(), np.finfo(float).tiny))


def hottest_share(load_E: np.ndarray) -> float:
    """Share of all assignments that go to the busiest expert: 1 / E if even."""
    load_E = _counts(load_E)
    return float(load_E.max() / max(load_E.sum(), 1))


def overload_factor(load_E: np.ndarray, device_E: np.ndarray) -> float:
    """Load of the busiest device over the mean load of a device.

    It predicts the time of a step, because all devices wait for the busiest one.

    Parameters
    ----------
    device_E
        Device of each expert, (E,) integers from 0.
    """
    load_E = _counts(load_E)
    return max_vio(np.bincount(np.asarray(device_E), weights=load_E)) + 1


def settling(error_S: np.ndarray, level: float) -> int | None:
    """Steps until an error stays below a level; None if it is not below at the end.

    An error that is no number is not below.
    """
    low_S = np.asarray(error_S, np.float64) < level
    if low_S.ndim != 1:
        raise ValueError(f"error_S: got shape {low_S.shape}, allowed is (S,)")
    high = np.flatnonzero(~low_S)
    after = int(high[-1]) + 1 if high.size else 0
    return after if after < len(low_S) else None


def _ratios(ratio_SE: np.ndarray) -> np.ndarray:
    ratio_SE = np.asarray(ratio_SE, np.float64)
    if ratio_SE.ndim != 2 or ratio_SE.size == 0:
        raise ValueError(f"ratio_SE: got shape {ratio_SE.shape}, allowed is (S, E), both >= 1")
    return ratio_SE


def overshoot(ratio_SE: np.ndarray) -> float:
    """How far a load swings beyond its fair share after it was pushed to the other side of it.

    Of the experts that are at least `PUSHED` away from 1 in the first row, the furthest that one
    gets to the other side of 1 later: 0 if none crosses it.

    Parameters
    ----------
    ratio_SE
        Loads in fair shares, step after step, the first one right after the disturbance.

    Examples
    --------
    >>> import numpy as np
    >>> from moe.metrics import overshoot
    >>> overshoot(np.array([[1.5, 0.5], [0.75, 1.25], [1.0, 1.0]]))
    0.25
    """
    error_SE = _ratios(ratio_SE) - 1
    pushed_E = np.abs(error_SE[0]) >= PUSHED
    beyond_SE = -np.sign(error_SE[0]) * error_SE
    return float(max(beyond_SE[:, pushed_E].max(initial=0.0), 0.0))


def ripple(ratio_SE: np.ndarray) -> float:
    """Mean change of a load from step to step, in fair shares: 0 if loads stand still."""
    ratio_SE = _ratios(ratio_SE)
    return float(np.abs(np.diff(ratio_SE, axis=0)).mean()) if len(ratio_SE) > 1 else 0.0


def drop_rate(routing: Routing) -> float:
    """Dropped assignments over all assignments."""
    return routing.dropped / max(routing.n_assignments, 1)


def unserved_tokens(routing: Routing) -> float:
    """Share of tokens whose assignments were all dropped: only the residual path is left."""
    served_N = np.zeros(routing.n_tokens, bool)
    served_N[routing.token_A[routing.kept_A]] = True
    return float((~served_N).mean()) if routing.n_tokens else 0.0


def padding_waste(load_E: np.ndarray, limit: int = 0) -> float:
    """Share of computed rows that hold no token: 1 - sum c_i / (E C).

    With arrays of fixed size each expert computes C rows, whatever its load is. The layers here
    compute kept rows only, and have no such waste.

    Parameters
    ----------
    load_E
        Assignments kept, per expert, or per device if devices have the limit.
    limit
        C, as from `Capacity.limit`. If the largest load is more, C is that load, which is the
        size that drops nothing.
    """
    load_E = _counts(load_E)
    rows = load_E.size * max(check_int("limit", limit, 0), load_E.max())
    return float(1 - load_E.sum() / rows) if rows else 0.0


def router_confidence(scores_NE: np.ndarray) -> float:
    """Mean entropy of a token's scores in nats: 0 if the router is certain, ln E if undecided."""
    return float(_entropy(_shares(scores_NE)).mean())


def mutual_information(scores_NE: np.ndarray) -> float:
    """Entropy of the mean scores minus mean entropy of the scores, in nats.

    High if tokens differ in their choice *and* the router is certain of each; 0 if all tokens have
    the same scores. Balance or certainty alone does not make it high.
    """
    p_NE = _shares(scores_NE)
    return float(_entropy(p_NE.mean(axis=0, keepdims=True))[0] - _entropy(p_NE).mean())


def saturation(expert_NK: np.ndarray, final_NK: np.ndarray) -> float:
    """Mean share of a token's final experts that it had chosen before.

    Source: OLMoE, arXiv 2409.02060, section 5.1. Both arrays are (N, K) for the same tokens; -1
    means no expert, and the two K may differ. Tokens without a final expert are left out; 0 if
    there is no other token.
    """
    expert_NK, final_NK = _same_tokens(expert_NK, final_NK, "final_NK")
    width = 1 + max(int(expert_NK.max(initial=0)), int(final_NK.max(initial=0)))
    before, final = (
        token * width + array_NK[token, rank].astype(np.int64)
        for array_NK in (expert_NK, final_NK)
        for token, rank in (np.nonzero(array_NK >= 0),)
    )
    had_N = np.bincount(np.intersect1d(before, final) // width, minlength=len(final_NK))
    count_N = (final_NK >= 0).sum(axis=1)
    served_N = count_N > 0
    return float((had_N[served_N] / count_N[served_N]).mean()) if served_N.any() else 0.0


def random_saturation(expert_NK: np.ndarray, final_NK: np.ndarray, n_experts: int) -> float:
    """Expected saturation if each token chose as many experts at random: k / E for a fixed k."""
    expert_NK, final_NK = _same_tokens(expert_NK, final_NK, "final_NK")
    served_N = (final_NK >= 0).any(axis=1)
    count_N = (expert_NK >= 0).sum(axis=1)
    return float(count_N[served_N].mean() / n_experts) if served_N.any() else 0.0


def fluctuation(expert_NK: np.ndarray, later_NK: np.ndarray) -> float:
    """Share of tokens whose set of experts changed; source: StableMoE, arXiv 2204.08396."""
    expert_NK, later_NK = _same_tokens(expert_NK, later_NK, "later_NK")
    width = max(expert_NK.shape[1], later_NK.shape[1])
    before, after = (
        np.sort(np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=-1), axis=1)
        for array in (expert_NK, later_NK)
    )
    return float((before != after).any(axis=1).mean()) if len(before) else 0.0


def _same_tokens(
    expert_NK: np.ndarray, other_NK: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    expert_NK, other_NK = np.asarray(expert_NK), np.asarray(other_NK)
    if expert_NK.ndim != 2 or other_NK.ndim != 2 or len(expert_NK) != len(other_NK):
        raise ValueError(
            f"{name}: got shape {other_NK.shape}, allowed is (N, K) with the tokens of the other "
            f"array, which is {expert_NK.shape}"
        )
    return expert_NK, other_NK


def coactivation(routing: Routing) -> np.ndarray:
    """Share of expert i's tokens that also chose expert j, N_ij / N_i, (E, E); diagonal 1.

    Source: OLMoE, arXiv 2409.02060, section 5.2, over all pairs of a token's choices.
    """
    share_EE = _pair_shares(routing, adjacent=False)
    np.fill_diagonal(share_EE, np.bincount(routing.expert_A, minlength=routing.n_experts) > 0)
    return share_EE


def adjacent_coactivation(routing: Routing) -> np.ndarray:
    """Share of expert i's tokens that chose j just before or after it, by rank, (E, E).

    OLMoE's published script counts this (`pairwise` in its run_moe_analysis.py), although the
    paper's text means all pairs. For K = 2 both are the same except for the diagonal, which is 0
    here.
    """
    return _pair_shares(routing, adjacent=True)


def _pair_shares(routing: Routing, adjacent: bool) -> np.ndarray:
    expert_P, other_P, count_P = pair_counts(routing, adjacent)
    load_E = np.bincount(routing.expert_A, minlength=routing.n_experts)
    share_EE = np.zeros((routing.n_experts, routing.n_experts))
    share_EE[expert_P, other_P] = count_P / load_E[expert_P]
    share_EE[other_P, expert_P] = count_P / load_E[other_P]
    return share_EE


def random_coactivation(routing: Routing, adjacent: bool = False) -> float:
    """Expected co-activation of two experts if each token chose as many experts at random.

    Each of a token's a experts is paired with a - 1 others, and with 2 (a - 1) / a of them on
    average if only neighbours in the ranking count. For a fixed k this gives (k - 1) / (E - 1) and
    2 (k - 1) / (k (E - 1)). 0 without assignments.
    """
    count_N = np.bincount(routing.token_A, minlength=routing.n_tokens)
    count_N = count_N[count_N > 0]
    met_N = 2 * (count_N - 1) if adjacent else count_N * (count_N - 1)
    return float(met_N.sum() / max(count_N.sum(), 1) / max(routing.n_experts - 1, 1))


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

    0 if the experts say nothing about the label, at most the entropy of either. With few tokens
    it exceeds 0 by chance alone, so that it has to be compared with shuffled labels.
    """
    label_N = np.asarray(label_N)
    if label_N.shape != (routing.n_tokens,):
        raise ValueError(
            f"label_N: got shape {label_N.shape}, allowed is ({routing.n_tokens},), one per token"
        )
    label_A = np.unique(label_N, return_inverse=True)[1][routing.token_A]
    return float(cells_information(label_A[None], routing.expert_A)[0])


def vocabulary_specialisation(
    routing: Routing, token_ids_N: np.ndarray, min_count: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The expert that each token id goes to most often, as first choice.

    Source: OLMoE, arXiv 2409.02060, section 5.4, and its script, which lists ids seen at least
    ten times: the share of a rare id is high by chance. The mean of the shares is the layer's
    vocabulary specialisation.

    Returns
    -------
    tuple
        Ids seen `min_count` times or more, (V,); the expert each prefers; and the share of its
        tokens that go there. Tokens without an expert do not count.
    """
    check_int("min_count", min_count, 1)
    first_N = first_choices(routing)
    served_N = first_N >= 0
    ids, id_N, count = np.unique(
        np.asarray(token_ids_N)[served_N], return_inverse=True, return_counts=True
    )
    frequent = count >= min_count
    row = np.cumsum(frequent) - 1
    listed_N = frequent[id_N]
    key_N = row[id_N[listed_N]] * routing.n_experts + first_N[served_N][listed_N]
    cell, seen = tally(key_N, int(frequent.sum()) * routing.n_experts)
    # For each id the most frequent expert, and among equals the lower index.
    best = np.lexsort((cell, -seen, cell // routing.n_experts))
    best = best[np.flatnonzero(np.diff(cell[best] // routing.n_experts, prepend=-1))]
    return ids[frequent], cell[best] % routing.n_experts, seen[best] / count[frequent]


def first_choices(routing: Routing, rank: int = 0) -> np.ndarray:
    """Expert of each token's choice of the given rank, (N,) int64; -1 if it has none."""
    first_N = np.full(routing.n_tokens, -1, np.int64)
    at_rank = routing.rank_A == rank
    first_N[routing.token_A[at_rank]] = routing.expert_A[at_rank]
    return first_N


def random_repetition(n_experts: int, k: int, next_k: int | None = None) -> float:
    """Probability that random choices of k and of `next_k` among E experts share one.

    1 - C(E-k, k) / C(E, k), the baseline of `repetition`: 46.4 % for 2 of 8 in Mixtral's table 5,
    12.5 % for 1 of 8. `next_k` is k by default.
    """
    check_int("n_experts", n_experts, 1)
    check_int("k", k, 1, n_experts)
    other = k if next_k is None else check_int("next_k", next_k, 1, n_experts)
    few = np.arange(min(k, other))
    return float(1 - np.prod((n_experts - max(k, other) - few) / (n_experts - few)))


def repeats(
    routing: Routing, rank: int | None = 0, sequence_N: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbouring tokens that both have an expert, and whether they share one.

    Returns
    -------
    tuple
        The first token of each pair, (P,), and whether the next one repeats its expert, (P,). The
        parameters are those of `repetition`.
    """
    first_N = first_choices(routing, rank or 0)
    served_N = first_N >= 0
    if rank is None:
        served_N = np.bincount(routing.token_A, minlength=routing.n_tokens) > 0
    near = served_N[1:] & served_N[:-1]
    if sequence_N is not None:
        near &= np.asarray(sequence_N)[1:] == np.asarray(sequence_N)[:-1]
    token_P = np.flatnonzero(near)
    if rank is not None:
        return token_P, first_N[token_P + 1] == first_N[token_P]
    # Adding E to the key of an assignment gives the same expert at the next token.
    key_A = routing.token_A.astype(np.int64) * routing.n_experts + routing.expert_A
    shared = np.intersect1d(key_A, key_A + routing.n_experts, assume_unique=True)
    again_N = np.zeros(routing.n_tokens + 1, bool)
    again_N[shared // routing.n_experts - 1] = True
    return token_P, again_N[token_P]


def repetition(
    routing: Routing, rank: int | None = 0, sequence_N: np.ndarray | None = None
) -> float:
    """Share of neighbouring tokens that repeat an expert; 0 if no neighbours have any.

    Parameters
    ----------
    sequence_N
        Number of each token's sequence; only tokens of the same sequence are neighbours.
    rank
        0: the first choice repeats (at random: 1 / E). None: any of a token's experts is among the
        next token's (k of E at random: 1 - C(E-k, k) / C(E, k)). Source: Mixtral, arXiv
        2401.04088, table 5. Pairs in which a token has no such expert are left out.
    """
    again_P = repeats(routing, rank, sequence_N)[1]
    return float(again_P.mean()) if len(again_P) else 0.0


def chance_repetition(routing: Routing, sequence_N: np.ndarray | None = None) -> float:
    """Expected `repetition` of any expert if each token chose as many experts at random.

    It is the mean over the same pairs of 1 - C(E-a, b) / C(E, b), if the tokens have a and b
    experts.
    """
    token_P = repeats(routing, None, sequence_N)[0]
    if not len(token_P):
        return 0.0
    count_N = np.bincount(routing.token_A, minlength=routing.n_tokens).astype(np.int64)
    width = int(count_N.max()) + 1
    low_P = np.minimum(count_N[token_P], count_N[token_P + 1])
    high_P = np.maximum(count_N[token_P], count_N[token_P + 1])
    key, times = tally(low_P * width + high_P, width**2)
    chance = [random_repetition(routing.n_experts, *divmod(pair, width)) for pair in key.tolist()]
    return float(np.average(chance, weights=times))


def _shares(scores_NE: np.ndarray) -> np.ndarray:
    scores_NE = check_array("scores_NE", scores_NE, (None, None)).astype(np.float64)
    if scores_NE.size and scores_NE.min() < 0:
        raise ValueError("scores_NE: got negative scores, allowed are scores >= 0")
    return np.asarray(scores_NE / np.maximum(scores_NE.sum(axis=1, keepdims=True), 1e-300))


def _entropy(p_NE: np.ndarray) -> np.ndarray:
    log_NE = np.log(np.where(p_NE > 0, p_NE, 1.0))
    return np.asarray(-(p_NE * log_NE).sum(axis=1))
