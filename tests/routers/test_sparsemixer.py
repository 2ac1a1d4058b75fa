"""SparseMixer against plain loops written from transformers modeling_phimoe.py, sparsemixer."""

from __future__ import annotations

import math

import numpy as np
import pytest

import moe
from moe import kernels
from moe.kernels.backend import BACKENDS
from tests.gradients import layer_error


def close_logits(rng: np.random.Generator) -> np.ndarray:
    """Scores of which several often lie within two percent of the best, of both signs."""
    logits_NE = 3 + 0.05 * rng.standard_normal((60, 8))
    logits_NE[::2] *= -1
    logits_NE[:6] = rng.standard_normal((6, 8))
    logits_NE[7], logits_NE[8, 1:] = 0, -1
    return logits_NE


def competitors(row: list[float], out: set[int], eps: float) -> tuple[int, list[int]]:
    """Best expert outside `out`, and those who compete with it."""
    inside = [e for e in range(len(row)) if e not in out]
    top = max(row[e] for e in inside)
    kept = []
    for e in inside:
        factor = max(abs(row[e]), top)
        if factor == 0 or not (top - row[e]) / factor > 2 * eps:
            kept.append(e)
    return next(e for e in inside if row[e] == top), kept


def share(row: list[float], expert: int, kept: list[int]) -> float:
    return 1 / sum(math.exp(row[e] - row[expert]) for e in kept)


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_without_noise_it_equals_its_source(
    eps: float, backend: str, rng: np.random.Generator
) -> None:
    logits_NE = close_logits(rng)
    with kernels.using(backend):
        routing = moe.make_router("sparsemixer", jitter_eps=eps).choose(logits_NE)
    sizes = set()
    for token, row in enumerate(logits_NE.tolist()):
        first, kept = competitors(row, set(), eps)
        second, others = competitors(row, {first}, eps)
        assert routing.expert_A[2 * token : 2 * token + 2].tolist() == [first, second]
        assert routing.weight_A[2 * token : 2 * token + 2] == pytest.approx(
            [share(row, first, kept), share(row, second, others)], rel=1e-12
        )
        sizes |= {len(kept), len(others)}
    assert eps == 0 or len(sizes) > 2  # the case tells masks apart


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_equals_finite_differences(backend: str, rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 8, router="sparsemixer", dtype="float64")
    # Scores around a common value: several experts compete.
    layer.params["gate_DE"] *= 0.03
    layer.params["gate_DE"] += rng.standard_normal((6, 1))
    x_ND, g_ND = rng.standard_normal((2, 23, 6))
    with kernels.using(backend):
        assert layer_error(layer, x_ND, g_ND, step=1e-7, probes=30) <= 1e-6
        _, ctx = layer.forward(x_ND)
        _, grads = layer.backward(g_ND, ctx)
    assert (ctx.routing.weight_A < 0.9).any() and grads["gate_DE"].any()


def test_with_noise_it_draws_from_the_softmax_and_scales_as_its_source() -> None:
    row = [2.0, 1.98, 1.97, 0.5]
    n = 40_000
    routing = moe.make_router("sparsemixer").choose(
        np.tile(np.array(row), (n, 1)), rng=np.random.default_rng(0)
    )
    first_N, weight_N = routing.expert_A[::2], routing.weight_A[::2]
    parts = [share(row, e, [0, 1, 2]) for e in range(3)]
    assert np.bincount(first_N, minlength=4) / n == pytest.approx([*parts, 0], abs=0.01)
    assert weight_N[first_N == 0] == pytest.approx(parts[0])
    other_N = weight_N[first_N == 1]
    whole_N = np.isclose(other_N, parts[1])
    assert np.allclose(other_N[~whole_N], 0.3333 * parts[1])
    assert whole_N.mean() == pytest.approx(0.25, abs=0.02)
    assert (routing.expert_A[1::2] != first_N).all()


def test_with_noise_the_gradient_is_that_of_the_whole_weight() -> None:
    """PhimoeMultiplier.backward: g p (onehot - p), whatever the factor in front was."""
    logits_NE = np.tile(np.array([2.0, 1.98, 1.97, 0.5]), (200, 1))
    router = moe.make_router("sparsemixer")
    routing = router.choose(logits_NE, rng=np.random.default_rng(1))
    dweight_A = np.random.default_rng(2).standard_normal(400)
    dlogits_NE = router.backward(routing, dweight_A)
    expected_NE = np.zeros_like(logits_NE)
    for turn, name in enumerate(("first_NE", "second_NE")):
        p_NE, expert_N = routing.saved[name], routing.expert_A[turn::2]
        p_N = p_NE[np.arange(200), expert_N]
        onehot_NE = np.eye(4)[expert_N]
        expected_NE += (dweight_A[turn::2] * p_N)[:, None] * (onehot_NE - p_NE)
    assert np.allclose(dlogits_NE, expected_NE, rtol=1e-12, atol=1e-15)


def test_one_expert_is_refused_and_so_is_a_negative_distance() -> None:
    with pytest.raises(ValueError, match="n_experts: got 1"):
        moe.MoELayer.init(4, 4, 1, router="sparsemixer")
    with pytest.raises(ValueError, match=r"jitter_eps: got -0\.1"):
        moe.make_router("sparsemixer", jitter_eps=-0.1)
