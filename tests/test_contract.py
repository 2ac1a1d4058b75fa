"""What holds for every entry of the registries, whatever comes later."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe.balance import affinity, make_balancer_for_run
from moe.context import LayerContext
from moe.training import suits
from tests.gradients import worst_error

ROUTERS = list(moe.ROUTERS)
BALANCERS = list(moe.BALANCERS)


def check_routing(routing: moe.Routing, n_tokens: int, n_experts: int) -> None:
    """Assert that it is a valid list of assignments."""
    assert (routing.n_tokens, routing.n_experts) == (n_tokens, n_experts)
    sizes = {
        a.shape
        for a in (
            routing.token_A, routing.expert_A, routing.weight_A, routing.rank_A, routing.kept_A
        )
    }  # fmt: skip
    assert sizes == {(routing.n_assignments,)}
    assert np.isfinite(routing.weight_A).all()
    assert routing.kept_A.dtype == bool
    if routing.n_assignments:
        assert routing.token_A.min() >= 0 and routing.token_A.max() < n_tokens
        assert routing.expert_A.min() >= 0 and routing.expert_A.max() < n_experts
    pairs = routing.token_A.astype(np.int64) * n_experts + routing.expert_A
    assert np.unique(pairs).size == pairs.size, "a (token, expert) pair occurs twice"
    assert routing.load.sum() == routing.kept_A.sum()
    assert routing.proposed_load.sum() == routing.n_assignments
    assert routing.dropped == routing.n_assignments - routing.load.sum()
    dense_NE = routing.combine()
    assert dense_NE.shape == (n_tokens, n_experts)
    assert np.isclose(dense_NE.sum(), routing.weight_A[routing.kept_A].sum())


@pytest.mark.parametrize("name", ROUTERS)
@given(
    n=st.integers(0, 40),
    e=st.integers(4, 24),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    dtype=st.sampled_from(["float32", "float64"]),
    noise=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_routing_is_valid_and_deterministic(
    name: str, n: int, e: int, scale: float, dtype: str, noise: bool, seed: int
) -> None:
    logits_NE = (scale * np.random.default_rng(seed).standard_normal((n, e))).astype(dtype)
    before = logits_NE.copy()
    router = moe.make_router(name)
    ids = np.arange(n)

    def route() -> moe.Routing:
        rng = np.random.default_rng(seed) if noise else None
        return router.choose(logits_NE, rng=rng, token_ids=ids)

    first, second = route(), route()
    check_routing(first, n, e)
    assert np.array_equal(logits_NE, before)
    assert first.weight_A.dtype == dtype
    assert first.weight_A.tobytes() == second.weight_A.tobytes()
    assert first.expert_A.tobytes() == second.expert_A.tobytes()
    dlogits_NE = router.backward(first, np.ones_like(first.weight_A))
    assert dlogits_NE.shape == logits_NE.shape and np.isfinite(dlogits_NE).all()


@pytest.mark.parametrize("name", ROUTERS)
def test_registry_entry_names_itself(name: str) -> None:
    router = moe.ROUTERS[name]
    assert router.name == name and router.title and router.source and router.formula
    assert isinstance(router.causal, bool)
    assert dataclasses.is_dataclass(router) and router.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "Examples\n    --------" in (router.__doc__ or "")


@pytest.mark.parametrize("name", [n for n in ROUTERS if not moe.ROUTERS[n].straight_through])
@pytest.mark.parametrize("activation", ["swiglu", "gelu", "relu"])
@pytest.mark.parametrize("n_shared", [0, 2])
def test_gradients_equal_finite_differences(
    name: str, activation: str, n_shared: int, rng: np.random.Generator
) -> None:
    layer = moe.MoELayer.init(
        10, 7, 6, router=name, k=3, n_shared=n_shared, activation=activation, dtype="float64"
    )
    for array in layer.buffers.values():
        array[:] = np.linspace(-0.05, 0.05, array.size)
    for array in layer.params.values():
        if not array.any():
            array[:] = 0.1 * rng.standard_normal(array.shape)
    x_ND, g_ND = rng.standard_normal((2, 23, 10))

    def forward() -> tuple[np.ndarray, object]:
        return layer.forward(x_ND, rng=np.random.default_rng(7))

    _, ctx = forward()
    dx_ND, grads = layer.backward(g_ND, ctx)  # type: ignore[arg-type]
    assert list(grads) == list(layer.params)
    error = worst_error(
        lambda: float((forward()[0] * g_ND).sum()),
        layer.params | {"x": x_ND},
        grads | {"x": dx_ND},
    )
    assert error <= 1e-6


@pytest.mark.parametrize("name", ROUTERS)
@pytest.mark.parametrize("n_tokens", [0, 1])
def test_empty_batch_and_single_token(name: str, n_tokens: int) -> None:
    layer = moe.MoELayer.init(6, 5, 4, router=name, n_shared=1)
    y_ND, ctx = layer.forward(np.ones((n_tokens, 6), np.float32))
    dx_ND, grads = layer.backward(np.ones_like(y_ND), ctx)
    assert y_ND.shape == dx_ND.shape == (n_tokens, 6)
    assert all(np.isfinite(grad).all() for grad in grads.values())
    if n_tokens == 0:
        assert not any(grad.any() for grad in grads.values())


@pytest.mark.parametrize("name", [n for n in ROUTERS if "k" in moe.make_router(n).options()])
def test_k_may_be_as_large_as_e_and_no_larger(name: str) -> None:
    logits_NE = np.random.default_rng(0).standard_normal((5, 4))
    check_routing(moe.make_router(name, k=4).choose(logits_NE), 5, 4)
    with pytest.raises(ValueError, match=r"k: got 5, allowed is a whole number in 1\.\.4"):
        moe.make_router(name, k=5).choose(logits_NE)


# What a tie means where the whole batch, or the token's identity, decides.
OTHER_TIES = {"base", "expert_choice", "hash"}


@pytest.mark.parametrize("name", [name for name in ROUTERS if name not in OTHER_TIES])
def test_ties_go_to_the_lower_expert(name: str) -> None:
    routing = moe.make_router(name).choose(np.zeros((3, 8)))
    counts = np.bincount(routing.token_A, minlength=3)
    assert routing.expert_A.tolist() == [e for n in counts for e in range(n)]


@pytest.mark.parametrize("name", ROUTERS)
def test_the_selection_bias_never_enters_the_weights(name: str, rng: np.random.Generator) -> None:
    if "select_bias_E" not in moe.ROUTERS[name].buffers:
        return
    router = moe.make_router(name)
    logits_NE = rng.standard_normal((50, 8))
    free = router.choose(logits_NE)
    steered = router.choose(logits_NE, select_bias_E=np.full(8, -0.3))
    assert np.array_equal(free.expert_A, steered.expert_A)  # a common bias moves nobody
    assert np.array_equal(free.weight_A, steered.weight_A)
    pull_E = np.zeros(8)
    pull_E[3] = 10
    assert (router.choose(logits_NE, select_bias_E=pull_E).load[3]) == 50


PAIRS = [(name, router) for name in BALANCERS for router in ROUTERS if suits(name, router)]


@pytest.mark.parametrize(("name", "router"), PAIRS)
def test_balance_loss_gradient_equals_finite_differences(
    name: str, router: str, rng: np.random.Generator
) -> None:
    """Through the layer, at x and at every parameter of the router, with its noise."""
    balancer = make_balancer_for_run(name, None, {"sequence_length": 8})
    layer = moe.MoELayer.init(6, 5, 8, router=router, k=2, dtype="float64")
    layer.buffers |= balancer.init_state(8)
    for array in layer.params.values():
        if not array.any():
            array[:] = 0.1 * rng.standard_normal(array.shape)
    x_ND = rng.standard_normal((20, 6))

    def forward() -> tuple[np.ndarray, LayerContext]:
        return layer.forward(x_ND, rng=np.random.default_rng(7))

    def value() -> float:
        loss = balancer.loss(forward()[1].routing, layer.buffers)
        return loss.value + balancer.param_loss(layer.params)[0]

    y_ND, ctx = forward()
    loss = balancer.loss(ctx.routing, layer.buffers)
    dx_ND, grads = layer.backward(np.zeros_like(y_ND), ctx, loss.dlogits_NE, loss.extra)
    for param, grad in balancer.param_loss(layer.params)[1].items():
        grads[param] = grads[param] + grad
    error = worst_error(value, layer.params | {"x": x_ND}, grads | {"x": dx_ND}, probes=6)
    assert error <= 1e-7
    if value() == 0:
        assert not any(grad.any() for grad in grads.values())


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("n_tokens", [0, 1])
def test_balancers_accept_an_empty_batch_and_a_single_token(name: str, n_tokens: int) -> None:
    router = next(router for router in ROUTERS if suits(name, router))
    layer = moe.MoELayer.init(4, 4, 6, router=router, k=2)
    balancer = make_balancer_for_run(name, None, {"sequence_length": 8})
    layer.buffers |= balancer.init_state(6)
    before = {buffer: array.copy() for buffer, array in layer.buffers.items()}
    routing = layer.route(np.ones((n_tokens, 4)))
    loss = balancer.loss(routing, layer.buffers)
    balancer.update(layer.buffers, routing)
    assert np.isfinite(loss.value)
    assert all(np.isfinite(array).all() for array in layer.buffers.values())
    for gradient in [loss.dlogits_NE, *loss.extra.values()]:
        assert gradient is None or np.isfinite(gradient).all()
    if not n_tokens:
        assert loss.value == 0
        assert all(np.array_equal(layer.buffers[b], array) for b, array in before.items())


@pytest.mark.parametrize("name", BALANCERS)
def test_a_balancer_without_state_starts_at_its_first_values(
    name: str, rng: np.random.Generator
) -> None:
    router = moe.make_router(next(router for router in ROUTERS if suits(name, router)))
    routing, balancer = router.choose(rng.standard_normal((12, 8))), moe.make_balancer(name)
    bare = {buffer: np.zeros(8) for buffer in router.buffers}
    full = {buffer: np.zeros(8) for buffer in router.buffers} | balancer.init_state(8)
    assert balancer.loss(routing).value == balancer.loss(routing, full).value
    balancer.update(bare, routing)
    balancer.update(full, routing)
    assert all(np.array_equal(bare[buffer], array) for buffer, array in full.items())


@pytest.mark.parametrize("name", BALANCERS)
def test_balancer_names_itself(name: str) -> None:
    balancer = moe.BALANCERS[name]
    assert balancer.name == name and balancer.title and balancer.source
    assert balancer.formula and "$" not in balancer.formula
    assert balancer.formula.count("{") == balancer.formula.count("}")
    assert "Examples\n    --------" in (balancer.__doc__ or "")
    if balancer.rate_name:
        assert balancer.short_run_rate > 0
        with pytest.raises(ValueError, match=balancer.rate_name):
            moe.make_balancer(name, **{balancer.rate_name: -1.0})


@pytest.mark.parametrize("router", [name for name in ROUTERS if moe.ROUTERS[name].scored])
def test_affinities_sum_to_one(router: str, rng: np.random.Generator) -> None:
    p_NE = affinity(moe.make_router(router).choose(rng.standard_normal((9, 5))))
    assert np.allclose(p_NE.sum(axis=1), 1)
