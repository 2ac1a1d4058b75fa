"""The same tokens within every limit on groups: one draw and one look at the scores for all.

DeepSeek-V3's router chooses as `moe.routers` has it. Asked for one limit after the other it reads
all scores again each time; but a token's choice within any limit is among the k best experts of
each group, and which group comes first does not depend on the limit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .. import kernels
from ..errors import check_int
from ..routers.deepseek_v3 import DeepSeekV3
from ..scores import make_scores
from .sampling import CHUNK, popularity


def choose_within(scores_NE: np.ndarray, k: int, n_group: int) -> np.ndarray:
    """Choose k experts of each token within 1, 2, ... of its best groups.

    Parameters
    ----------
    scores_NE
        Selection scores, of which equal ones go to the lower expert.
    k, n_group
        Experts per token, and groups; a group holds k experts or more.

    Returns
    -------
    expert_GNK
        Experts within one group, two groups, ... all groups; best first, integers without a sign.

    Raises
    ------
    ValueError
        If the groups do not divide the experts, or hold fewer than k.
    """
    n_tokens, n_experts = scores_NE.shape
    if n_experts % n_group:
        raise ValueError(f"n_group: got {n_group}, allowed is a divisor of {n_experts} experts")
    size = n_experts // n_group
    check_int("k", k, 1, size, f"a group holds {size} experts")
    of_group_RS = np.ascontiguousarray(scores_NE).reshape(n_tokens * n_group, size)
    best_RK = kernels.topk(of_group_RS, k)
    score_RK = np.take_along_axis(of_group_RS, best_RK, axis=1)
    # Candidates stand in the order of groups, and of experts where scores are equal: so the lower
    # expert still leads.
    score_NC = score_RK.reshape(n_tokens, n_group * k)
    first_R1 = (np.arange(len(best_RK)) % n_group * size)[:, None]
    expert_NC = (best_RK + first_R1).reshape(n_tokens, n_group * k)
    kind = np.min_scalar_type(n_experts - 1)
    score_NG = score_RK[:, : DeepSeekV3.group_score_of].sum(axis=1).reshape(n_tokens, n_group)
    order_NG = kernels.topk(score_NG, n_group)
    open_NGK = np.full((n_tokens, n_group, k), -np.inf, scores_NE.dtype)
    score_NGK = score_NC.reshape(n_tokens, n_group, k)
    expert_GNK = np.empty((n_group, n_tokens, k), kind)
    every_N = np.arange(n_tokens)
    for g in range(n_group):
        opened_N = order_NG[:, g]
        open_NGK[every_N, opened_N] = score_NGK[every_N, opened_N]
        chosen_NK = kernels.topk(open_NGK.reshape(n_tokens, -1), k)
        expert_GNK[g] = np.take_along_axis(expert_NC, chosen_NK, axis=1)
    return expert_GNK


@lru_cache(maxsize=16)
def sample_within(
    n_tokens: int,
    n_experts: int,
    k: int,
    n_group: int,
    skew: float,
    seed: tuple[int, ...],
    backend: str,
) -> np.ndarray:
    """Experts of sampled tokens within every limit on groups, as `choose_within` has them.

    Logits are those of `sample_routings`, and their popularity has the first number of the seed.
    Kept, since settings that are compared differ in how tokens are sent more often than in who is
    chosen; read-only.

    Parameters
    ----------
    n_tokens, n_experts, k, n_group
        N, E, K and G.
    skew, seed
        Of `popularity`, and of the noise.
    backend
        In use, since backends round scores in ways of their own.
    """
    rng = np.random.Generator(np.random.SFC64(seed))
    popularity_E = popularity(n_experts, skew, seed[0])
    parts = []
    for first in range(0, n_tokens, CHUNK):
        shape = min(CHUNK, n_tokens - first), n_experts
        logits_NE = rng.standard_normal(shape, np.float32)
        logits_NE += popularity_E
        parts.append(choose_within(make_scores(logits_NE, DeepSeekV3.score), k, n_group))
    expert_GNK = np.concatenate(parts, axis=1)
    expert_GNK.flags.writeable = False
    return expert_GNK
