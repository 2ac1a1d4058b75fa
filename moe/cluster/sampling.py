"""Routings to count without a model: random logits with a chosen skew, or random experts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .. import kernels
from ..errors import check_float, check_int
from ..routers import Router
from ..routing import Routing

CHUNK = 8192  # tokens at a time: their logits stay in the cache, and memory stays small


def expected_copies(n_experts: int, k: int, n_places: int, reach: int | None = None) -> float:
    """Mean number of distinct places among a token's k experts, chosen evenly at random.

    m (1 - C(R - E/n, k) / C(R, k)), with R = m E/n experts in reach.

    Parameters
    ----------
    n_experts, k
        E and K.
    n_places
        n nodes (or GPUs, or groups) that hold E/n experts each.
    reach
        m, the places that a token may use, themselves chosen at random; by default all.

    Examples
    --------
    >>> [round(expected_copies(256, 8, 8, reach), 2) for reach in (None, 4)]
    [5.29, 3.63]
    """
    check_int("n_experts", n_experts, 1)
    check_int("n_places", n_places, 1, n_experts)
    if n_experts % n_places:
        raise ValueError(f"n_places: got {n_places}, allowed is a divisor of {n_experts} experts")
    reach = n_places if reach is None else check_int("reach", reach, 1, n_places)
    each = n_experts // n_places
    check_int("k", k, 1, reach * each, f"{reach} places hold {reach * each} experts")
    missed = math.comb(reach * each - each, k) / math.comb(reach * each, k)
    return reach * (1 - missed)


def random_experts(
    n_tokens: int,
    n_experts: int,
    k: int,
    rng: np.random.Generator,
    *,
    n_group: int = 1,
    topk_group: int = 1,
) -> np.ndarray:
    """Choose k of E experts evenly, inside `topk_group` groups chosen evenly; (N, k) int32."""
    score_NE = rng.random((n_tokens, n_experts), np.float32)
    if topk_group < n_group:
        score_NG = rng.random((n_tokens, n_group), np.float32)
        allowed_NG = np.zeros(score_NG.shape, bool)
        np.put_along_axis(allowed_NG, kernels.topk(score_NG, topk_group), True, axis=1)
        score_NE[~np.repeat(allowed_NG, n_experts // n_group, axis=1)] = -1
    return np.asarray(kernels.topk(score_NE, k))


def popularity(n_experts: int, skew: float, seed: int = 0) -> np.ndarray:
    """Mean logit of each expert, skew times a standard normal number; (E,) float32.

    Skew 0 gives every expert the same chance; at 1 popularity decides as much as the token.
    """
    check_int("n_experts", n_experts, 1)
    check_float("skew", skew, 0.0)
    rng = np.random.Generator(np.random.SFC64(seed))
    return (skew * rng.standard_normal(n_experts)).astype(np.float32)


def sample_routings(
    router: Router, n_tokens: int, popularity_E: np.ndarray, rng: np.random.Generator
) -> Iterator[Routing]:
    """Route tokens whose logits are the experts' popularity plus standard normal noise.

    Parameters
    ----------
    router
        Any router that needs logits only.
    n_tokens
        N.
    popularity_E
        As made by `popularity`.
    rng
        Of the noise.

    Yields
    ------
    Routing
        Of up to 8,192 tokens each.
    """
    check_int("n_tokens", n_tokens, 0)
    for first in range(0, n_tokens, CHUNK):
        n = min(CHUNK, n_tokens - first)
        logits_NE = rng.standard_normal((n, popularity_E.size), np.float32) + popularity_E
        yield router.choose(logits_NE, rng=rng, token_ids=np.arange(first, first + n))
