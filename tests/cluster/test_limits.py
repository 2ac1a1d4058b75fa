"""One look at the scores chooses within every limit as the router does, asked once for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe import kernels
from moe.cluster.limits import choose_within, sample_within
from moe.cluster.sampling import CHUNK, popularity, sample_routings
from moe.kernels.within import topk_within_oracle
from moe.routers import make_router
from moe.routers.deepseek_v3 import DeepSeekV3


@pytest.mark.parametrize(
    ("n_experts", "k", "n_group"), [(256, 8, 8), (64, 4, 4), (24, 3, 8), (16, 1, 4)]
)
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


@pytest.mark.parametrize(
    ("k", "n_group", "kind", "message"),
    [
        (4, 8, "float32", "k: got 4"),
        (2, 5, "float32", "n_group: got 5"),
        (2, 0, "float32", "n_group: got 0"),
        (2, 4, "float64", "scores_NE: got float64, allowed is float32"),
    ],
)
def test_what_does_not_fit_is_named(k: int, n_group: int, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_within(np.zeros((2, 16), kind), k, n_group)


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 300),
    st.sampled_from([(1, 4), (4, 3), (3, 5), (8, 2)]), st.sampled_from([0, 3]),
    st.sampled_from([1, 2]),
)  # fmt: skip
@settings(deadline=None, max_examples=60)  # the first call compiles
def test_the_kernel_chooses_what_its_oracle_chooses(
    seed: int, n_tokens: int, shape: tuple[int, int], steps: int, best_of: int
) -> None:
    """Also of equal scores, of both signs of zero, and of NaN, which goes first."""
    n_group, size = shape
    rng = np.random.default_rng(seed)
    scores_NE = rng.standard_normal((n_tokens, n_group * size)).astype(np.float32)
    if steps:
        scores_NE = np.round(scores_NE * steps) / np.float32(steps)
    scores_NE[rng.random(scores_NE.shape) < 0.02] = np.nan
    for k in range(1, size + 1):
        given_ = scores_NE, k, n_group, best_of
        with kernels.using("numba"):
            mine = kernels.topk_within(*given_)
        wanted = topk_within_oracle(*given_)
        assert mine.dtype == wanted.dtype and np.array_equal(mine, wanted)
