"""The replay of a cache: the kernel against its oracle, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe import kernels
from moe.kernels.residence import replay_cache_oracle


@st.composite
def replays(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, bool]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k, ahead, n_experts = (draw(st.integers(low, 6)) for low in (0, 1, 0, 6))
    order_NE = np.argsort(rng.random((n, n_experts)), axis=1)
    expert_NK = np.where(rng.random((n, k)) < 0.9, order_NE[:, :k], -1).astype(np.int16)
    worth_NK = rng.integers(-4, 4, (n, k))
    ahead_NP = rng.integers(-1, n_experts, (n, ahead))
    return expert_NK, worth_NK, ahead_NP, draw(st.integers(1, 7)), n_experts, draw(st.booleans())


@given(replays())
@settings(deadline=None)  # the first call compiles
def test_the_kernel_counts_what_its_oracle_counts(given_: tuple) -> None:
    with kernels.using("numba"):
        assert kernels.replay_cache(*given_) == replay_cache_oracle(*given_)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_a_replay_by_hand(backend: str) -> None:
    experts = np.array([[0, 1], [2, 0], [1, -1], [0, 2]], np.int16)
    turns = 2 * np.arange(8).reshape(4, 2) + 1
    none = np.full((4, 0), -1)
    with kernels.using(backend):
        # All are missed but the last token's 0: each takes the place of the one unused longest.
        assert kernels.replay_cache(experts, turns, none, 2, 3, False) == (1, 0, 6)
        # Experts worth nothing do not come in once both places are taken: 0 and 1 stay.
        worth = np.where(experts < 2, 1, 0)
        assert kernels.replay_cache(experts, worth, none, 2, 3, True) == (3, 0, 4)
        # 2 is read before the second token asks, and 1 before the third, each once and in time.
        ahead = np.array([[-1], [2], [1], [-1]])
        assert kernels.replay_cache(experts, turns, ahead, 3, 3, False) == (4, 1, 3)
        assert kernels.replay_cache(experts, turns, ahead, 2, 3, False) == (1, 2, 6)


def test_what_was_read_ahead_and_never_used_is_read_all_the_same() -> None:
    experts, worth = np.array([[0], [0]], np.int16), np.array([[0], [1]])
    ahead = np.array([[1], [2]])
    assert kernels.replay_cache(experts, worth, ahead, 3, 3, False) == (1, 0, 3)
