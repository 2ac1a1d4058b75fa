"""What holds for every router of the registry, whatever comes later: numbers, not only shapes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import moe
from moe import kernels, metrics
from moe.kernels.backend import BACKENDS
from tests.gradients import worst_error

ROUTERS = list(moe.ROUTERS)
WITH_K = [name for name in ROUTERS if "k" in moe.make_router(name).options()]
EXACT = [name for name in ROUTERS if not moe.ROUTERS[name].straight_through]


@contextmanager
def no_warnings() -> Iterator[None]:
    """Turn warnings and floating-point errors other than underflow into exceptions."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


def with_k(name: str, k: int) -> moe.Router:
    """Build a router from its defaults, and k if it takes one."""
    return moe.make_router(name, **({"k": k} if name in WITH_K else {}))


def extreme_logits() -> np.ndarray:
    """Rows of +-1e4: random signs, all high, all low, one high, one low, and a mild row."""
    rows_NE = np.random.default_rng(0).choice([-1e4, 1e4], (12, 6))
    rows_NE[0], rows_NE[1], rows_NE[2], rows_NE[3] = 1e4, -1e4, -1e4, 1e4
    rows_NE[2, 4], rows_NE[3, 1] = 1e4, -1e4
    rows_NE[4] = np.linspace(-1, 1, 6)
    return rows_NE


@pytest.mark.parametrize("name", ROUTERS)
def test_formula_is_latex(name: str) -> None:
    formula = moe.ROUTERS[name].formula
    assert formula and "$" not in formula
    assert formula.count(r"\begin{aligned}") == formula.count(r"\end{aligned}") <= 1
    assert formula.count("{") == formula.count("}")
    lines = formula.removeprefix(r"\begin{aligned}").removesuffix(r"\end{aligned}").split(r"\\")
    if len(lines) > 1:
        assert all(line.count("&") == 1 for line in lines), "each line is aligned at one place"


@pytest.mark.parametrize("name", ROUTERS)
@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("noise", [False, True])
def test_extreme_logits_give_finite_weights_and_gradients(
    name: str, k: int, dtype: str, backend: str, noise: bool
) -> None:
    router, logits_NE = with_k(name, k), extreme_logits().astype(dtype)
    rng = np.random.default_rng(1) if noise else None
    with no_warnings(), kernels.using(backend):
        routing = router.choose(logits_NE, rng=rng)
        dweight_A = np.ones_like(routing.weight_A)
        dlogits_NE = router.backward(routing, dweight_A)
        state = router.backward_state(routing, dweight_A, dlogits_NE, dlogits_NE)
    assert np.isfinite(routing.weight_A).all() and routing.weight_A.dtype == dtype
    assert all(np.isfinite(g).all() for g in (dlogits_NE, *state.values()))


@pytest.mark.parametrize("name", ROUTERS)
@pytest.mark.parametrize("k", [1, 3, 8])
def test_both_backends_agree(name: str, k: int, rng: np.random.Generator) -> None:
    router, logits_NE = with_k(name, k), 2 * rng.standard_normal((37, 8))
    results = []
    for backend in BACKENDS:
        with kernels.using(backend):
            routing = router.choose(logits_NE, rng=np.random.default_rng(3))
            dweight_A = np.linspace(-1, 1, routing.n_assignments)
            results.append((routing, router.backward(routing, dweight_A)))
    (one, done), (two, dtwo) = results
    assert np.array_equal(one.token_A, two.token_A) and np.array_equal(one.expert_A, two.expert_A)
    assert np.allclose(one.weight_A, two.weight_A, atol=1e-13)
    assert np.allclose(done, dtwo, atol=1e-13)


@pytest.mark.parametrize("name", ROUTERS)
def test_float32_agrees_with_float64(name: str, rng: np.random.Generator) -> None:
    router, logits_NE = moe.make_router(name), 2 * rng.standard_normal((50, 8))
    logits_NE = logits_NE.astype(np.float32).astype(np.float64)
    wide, narrow = router.choose(logits_NE), router.choose(logits_NE.astype(np.float32))
    assert np.array_equal(wide.expert_A, narrow.expert_A)
    assert np.allclose(wide.weight_A, narrow.weight_A, rtol=1e-5, atol=1e-6)
    dweight_A = np.linspace(-1, 1, wide.n_assignments)
    dlogits = [router.backward(r, dweight_A.astype(r.weight_A.dtype)) for r in (wide, narrow)]
    assert np.allclose(*dlogits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("n", "k"), [(1, 2), (9, 1), (9, 6)])
def test_gradient_at_the_logits_equals_finite_differences(
    name: str, n: int, k: int, rng: np.random.Generator
) -> None:
    logits_gradient_is_exact(with_k(name, k), n, rng)


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_so_does_it_with_something_added_to_the_sum(score: str, rng: np.random.Generator) -> None:
    logits_gradient_is_exact(moe.make_router("topk", score=score, norm_eps=0.25), 9, rng)


def logits_gradient_is_exact(router: moe.Router, n: int, rng: np.random.Generator) -> None:
    """Compare the gradient of a weighted sum of the weights with finite differences."""
    logits_NE = rng.standard_normal((n, 6))
    routing = router.choose(logits_NE)
    g_NE = rng.standard_normal((n, 6))
    dlogits_NE = router.backward(routing, g_NE[routing.token_A, routing.expert_A])
    error = worst_error(
        lambda: float((router.choose(logits_NE).combine() * g_NE).sum()),
        {"logits": logits_NE},
        {"logits": dlogits_NE},
        probes=40,
    )
    assert error <= 1e-7


@pytest.mark.parametrize("name", ROUTERS)
def test_gradient_of_the_projections_equals_finite_differences(
    name: str, rng: np.random.Generator
) -> None:
    router = moe.make_router(name)
    params = router.init_params(5, 6, rng)
    for array in params.values():
        array += 0.3 * rng.standard_normal(array.shape)
    x_ND = rng.standard_normal((11, 5))
    made = router.project(x_ND, params, 6)
    g = {key: rng.standard_normal(array.shape) for key, array in made.items()}
    dx_ND, grads = router.project_backward(x_ND, params, g)
    arrays = {key: params[key] for key in grads}

    def value() -> float:
        made = router.project(x_ND, params, 6)
        return float(sum((array * g[key]).sum() for key, array in made.items()))

    assert set(grads) == set(params) - set(router.choice_params)
    assert worst_error(value, arrays | {"x": x_ND}, grads | {"x": dx_ND}) <= 1e-7


@pytest.mark.parametrize("name", WITH_K)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_total_collapse_of_top_k_is_at_its_bound(name: str, k: int) -> None:
    """Every token wants the same k experts: MaxVio is E / k - 1, and no more is possible."""
    n_experts = 10
    logits_NE = np.tile(np.linspace(2, -2, n_experts), (40, 1))
    routing = moe.make_router(name, k=k).choose(logits_NE, token_ids=np.zeros(40, int))
    assert (np.sort(routing.proposed_load)[-k:] == 40).all()
    assert metrics.max_vio(routing.proposed_load) == pytest.approx(n_experts / k - 1)


def test_random_routing_repeats_as_mixtral_says() -> None:
    """Mixtral, arXiv 2401.04088, table 5: by chance 12.5 % and 46.4 % for E = 8, k = 2."""
    n_tokens, n_experts, k = 200_000, 8, 2
    logits_NE = np.random.default_rng(0).standard_normal((n_tokens, n_experts))
    routing = moe.make_router("topk", k=k).choose(logits_NE)
    first, either = metrics.repetition(routing), metrics.repetition(routing, rank=None)
    by_chance = 1 - math.comb(n_experts - k, k) / math.comb(n_experts, k)
    print(f"first choice repeats {first:.2%} (1/E = {1 / n_experts:.2%})")
    print(f"first or second repeats {either:.2%} (1 - C(6,2)/C(8,2) = {by_chance:.2%})")
    assert by_chance == pytest.approx(0.464, abs=5e-4)
    assert first == pytest.approx(0.125, abs=0.003)  # four standard deviations
    assert either == pytest.approx(by_chance, abs=0.0045)
