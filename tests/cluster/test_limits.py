"""One look at the scores chooses within every limit as the router does, asked once for each."""

from __future__ import annotations

import numpy as np
import pytest

from moe import kernels
from moe.cluster.limits import choose_within, sample_within
from moe.cluster.sampling import CHUNK, popularity, sample_routings
from moe.routers import make_router
from moe.routers.deepseek_v3 import DeepSeekV3


@pytest.mark.parametrize(("n_experts", "k", "n_group"), [(256, 8, 8), (64, 4, 4), (24, 3, 8)])
@pytest.mark.parametrize("steps", [None, 4])
def test_every_limit_is_the_routers_choice(
    rng: np.random.Generator, n_experts: int, k: int, n_group: int, steps: int | None
) -> None:
    scores_NE = rng.random((300, n_experts), np.float32)
    if steps:  # many equal scores, of which the lower expert goes first
        scores_NE = np.round(scores_NE * steps) / np.float32(steps)
    within_GNK = choose_within(scores_NE, k, n_group)
    for reach, expert_NK in enumerate(within_GNK, 1):
        router = DeepSeekV3(k=k, n_group=n_group, topk_group=reach)
        np.testing.assert_array_equal(expert_NK, router.select(scores_NE, scores_NE))


@pytest.mark.parametrize("n_tokens", [10, CHUNK + 5])
def test_sampled_tokens_are_those_of_the_simulation(n_tokens: int) -> None:
    seed, groups = (3, 1), 4
    sampled = sample_within(n_tokens, 64, 4, groups, 0.5, seed, kernels.backend_name())
    assert sampled.shape == (groups, n_tokens, 4) and sampled.dtype == np.uint8
    assert not sampled.flags.writeable
    for reach in range(1, groups + 1):
        rng = np.random.Generator(np.random.SFC64(seed))
        router = make_router("deepseek_v3", k=4, n_group=groups, topk_group=reach)
        routed = sample_routings(router, n_tokens, popularity(64, 0.5, seed[0]), rng)
        expected = np.concatenate([part.expert_A.reshape(-1, 4) for part in routed])
        np.testing.assert_array_equal(sampled[reach - 1], expected)


@pytest.mark.parametrize(("k", "n_group"), [(4, 8), (2, 5)])
def test_what_does_not_fit_is_named(k: int, n_group: int) -> None:
    with pytest.raises(ValueError, match="k: got 4" if k == 4 else "n_group: got 5"):
        choose_within(np.zeros((2, 16), np.float32), k, n_group)
