"""The same tokens within every limit on groups: one draw and one look at the scores for all.

DeepSeek-V3's router chooses as `moe.routers` has it. Asked for one limit after the other it reads
all scores again each time; but a token's choice within any limit is among the k best experts of
each group, and which group comes first does not depend on the limit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .. import kernels
from ..errors import check_array, check_int
from ..routers.deepseek_v3 import DeepSeekV3
from ..scores import make_scores
from .sampling import popularity

AT_ONCE = 1024  # tokens: their logits and scores stay in the second cache


def choose_within(scores_NE: np.ndarray, k: int, n_group: int) -> np.ndarray:
    """Choose k experts of each token within 1, 2, ... of its best groups.

    Parameters
    ----------
    scores_NE
        Selection scores, float32, of which equal ones go to the lower expert.
    k, n_group
        Experts per token, and groups; a group holds k experts or more.

    Returns
    -------
    expert_GNK
        Experts within one group, two groups, ... all groups; best first, integers without a sign.

    Raises
    ------
    ValueError
        If the groups do not divide the experts, or hold fewer than k, or scores are not float32.
    """
    scores_NE = check_array("scores_NE", scores_NE, (None, None), finite=False)
    if scores_NE.dtype != np.float32:
        raise ValueError(f"scores_NE: got {scores_NE.dtype}, allowed is float32")
    n_experts = scores_NE.shape[1]
    check_int("n_group", n_group, 1)
    if n_experts % n_group:
        raise ValueError(f"n_group: got {n_group}, allowed is a divisor of {n_experts} experts")
    size = n_experts // n_group
    check_int("k", k, 1, size, f"a group holds {size} experts")
    best_of = min(DeepSeekV3.group_score_of, size)
    return np.asarray(kernels.topk_within(scores_NE, k, n_group, best_of))


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
    popularity_E = popularity(n_experts, skew, seed[0])
    noise, parts = kernels.Normals(seed), []
    logits_NE = np.empty((min(AT_ONCE, n_tokens), n_experts), np.float32)
    for first in range(0, n_tokens, AT_ONCE):
        part_NE = logits_NE[: n_tokens - first]
        noise.fill(part_NE)
        part_NE += popularity_E
        parts.append(choose_within(make_scores(part_NE, DeepSeekV3.score), k, n_group))
    expert_GNK = np.concatenate(parts, axis=1)
    expert_GNK.flags.writeable = False
    return expert_GNK
