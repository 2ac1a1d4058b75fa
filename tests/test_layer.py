"""The layer: dense parity, counting, in-place edits, empty experts, and clear errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moe
from moe.capacity import Capacity
from moe.cost import FeedForward
from moe.experts import dense_name, up_name
from tests.gradients import layer_error, worst_error


@given(
    n=st.integers(0, 40),
    d=st.integers(1, 20),
    f=st.integers(1, 20),
    activation=st.sampled_from(["swiglu", "gelu", "relu"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_one_expert_equals_the_dense_layer_bit_for_bit(
    n: int, d: int, f: int, activation: str, seed: int
) -> None:
    layer = moe.MoELayer.init(d, f, 1, k=1, activation=activation, seed=seed)
    dense = moe.DenseFFN.init(d, f, activation=activation, seed=seed)
    for mine, theirs in zip(list(layer.params.values())[1:], dense.params.values(), strict=True):
        theirs[:] = mine[0]
    x_ND = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    assert layer(x_ND).tobytes() == dense(x_ND).tobytes()


@given(
    n=st.integers(0, 60),
    d=st.integers(1, 16),
    f=st.integers(1, 16),
    e=st.integers(1, 12),
    shared=st.integers(0, 2),
    activation=st.sampled_from(["swiglu", "gelu", "relu"]),
    data=st.data(),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_the_layer_equals_its_definition(
    n: int, d: int, f: int, e: int, shared: int, activation: str, data: st.DataObject, seed: int
) -> None:
    """y = sum_e combine[n, e] f_e(x) + shared(x), every expert written out."""
    k = data.draw(st.integers(1, e))
    capacity = data.draw(st.sampled_from([None, Capacity(0.5, "order"), Capacity(0.7, "reroute")]))
    layer = moe.MoELayer.init(
        d, f, e, k=k, n_shared=shared, activation=activation, seed=seed, dtype="float64",
        capacity=capacity,
    )  # fmt: skip
    x_ND = np.random.default_rng(seed).standard_normal((n, d))
    y_ND, ctx = layer.forward(x_ND)
    up_EDH, down_EFD = list(layer.params.values())[1:3]
    truth_ND, up = np.zeros((n, d)), dense_name(up_name(activation))
    for expert in range(e):
        dense = moe.DenseFFN(activation, {up: up_EDH[expert], "w_down_FD": down_EFD[expert]})
        truth_ND += ctx.routing.combine()[:, expert, None] * dense(x_ND)
    if shared:
        up_DH, down_FD = list(layer.params.values())[3:]
        truth_ND += moe.DenseFFN(activation, {up: up_DH, "w_down_FD": down_FD})(x_ND)
    assert np.allclose(y_ND, truth_ND, atol=1e-10)
    assert ctx.executed_rows == ctx.routing.load.sum()


def test_it_executes_only_the_chosen_experts_and_counts_them(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(16, 8, 64, k=2, n_shared=1)
    for name in ("w_gate_up_ED2F", "w_down_EFD"):
        layer.params[name][5:] = np.nan  # whoever touches an expert that nobody chose will show it
    layer.params["gate_DE"][:] = 0
    x_ND = rng.standard_normal((100, 16)).astype(np.float32)
    y_ND, ctx = layer.forward(x_ND)  # all tie: experts 0 and 1
    assert np.isfinite(y_ND).all()
    assert ctx.executed_rows == 200
    shape = FeedForward(16, 8, 64, 2, 1)
    assert ctx.executed_flops == 100 * shape.flops_per_token
    _, grads = layer.backward(y_ND, ctx)
    assert not grads["w_down_EFD"][2:].any()


def test_counted_operations_by_hand() -> None:
    # 2 * 3 * D * F per expert, 2 * D * E for the gate; D = 4, F = 5, E = 8, k = 3, 1 shared
    layer = moe.MoELayer.init(4, 5, 8, k=3, n_shared=1)
    _, ctx = layer.forward(np.ones((7, 4), np.float32))
    assert ctx.executed_flops == 7 * ((3 + 1) * 2 * 3 * 4 * 5 + 2 * 4 * 8)


def test_in_place_edits_take_effect_at_the_next_call(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4, dtype="float64")
    x_ND = rng.standard_normal((9, 6))
    before = layer(x_ND)
    for name in list(layer.params):
        kept = layer.params[name].copy()
        layer.params[name] *= 1.5
        assert not np.allclose(layer(x_ND), before), name
        layer.params[name][:] = kept
    assert layer(x_ND).tobytes() == before.tobytes()
    layer.buffers["select_bias_E"][2] = 10
    assert layer.route(x_ND).load[2] == 9


def test_backward_may_run_twice(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4, n_shared=1)
    y_ND, ctx = layer.forward(rng.standard_normal((9, 6)))
    first, second = (layer.backward(y_ND, ctx) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    for name in first[1]:
        assert first[1][name].tobytes() == second[1][name].tobytes()


def test_float32_input_to_a_float64_layer_and_back(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4)
    x_ND = rng.standard_normal((9, 6))
    assert layer(x_ND).dtype == np.float32
    layer64 = layer.astype("float64")
    assert layer64(x_ND.astype(np.float32)).dtype == np.float64
    assert np.allclose(layer64(x_ND), layer(x_ND), atol=1e-4)
    assert np.array_equal(layer64.params["gate_DE"], layer.params["gate_DE"])


@pytest.mark.parametrize("order", ["F", "strided", "reversed"])
def test_any_memory_layout_of_x(order: str, rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4)
    x_ND = rng.standard_normal((12, 6)).astype(np.float32)
    same = {
        "F": np.asfortranarray(x_ND),
        "strided": np.repeat(x_ND, 2, axis=0)[::2],
        "reversed": np.ascontiguousarray(x_ND[::-1])[::-1],
    }[order]
    assert layer(same).tobytes() == layer(x_ND).tobytes()


def test_nan_in_one_token_never_reaches_another(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 4, k=2)
    x_ND = rng.standard_normal((20, 6)).astype(np.float32)
    clean = layer(x_ND)
    x_ND[7, 2] = np.nan
    with pytest.raises(ValueError, match="x_ND: got NaN or infinity"):
        layer(x_ND)
    layer.check_finite = False
    y_ND = layer(x_ND)
    others = np.arange(20) != 7
    assert np.array_equal(y_ND[others], clean[others]) and np.isnan(y_ND[7]).all()


def test_same_seed_same_bits() -> None:
    one, two, other = (moe.MoELayer.init(8, 6, 4, seed=s) for s in (3, 3, 4))
    for name in one.params:
        assert one.params[name].tobytes() == two.params[name].tobytes()
    assert one.params["gate_DE"].tobytes() != other.params["gate_DE"].tobytes()


def test_shared_experts_are_one_wide_network() -> None:
    layer = moe.MoELayer.init(8, 6, 4, n_shared=3)
    assert layer.params["shared_w_gate_up_D2F"].shape == (8, 36)
    assert layer.params["shared_w_down_FD"].shape == (18, 8)


BAD_INIT = {
    "k > E": (dict(k=5), "k: got 5, allowed is a whole number in 1..4 (n_experts is 4)"),
    "k = 0": (dict(k=0), "k: got 0, allowed is a whole number >= 1"),
    "E = 0": (dict(n_experts=0), "n_experts: got 0, allowed is a whole number >= 1"),
    "D < 0": (dict(d_model=-3), "d_model: got -3, allowed is a whole number >= 1"),
    "router": (
        dict(router="magic"),
        "router: got 'magic', allowed is one of topk, noisy_topk, switch",
    ),
    "activation": (
        dict(activation="tanh"),
        "activation: got 'tanh', allowed is one of swiglu, gelu, relu",
    ),
    "dtype": (dict(dtype="int8"), "dtype: got 'int8', allowed is one of float32, float64"),
    "seed": (dict(seed=1.5), "seed: got 1.5, allowed is a whole number >= 0"),
}


@pytest.mark.parametrize("case", BAD_INIT)
def test_bad_options_are_named(case: str) -> None:
    change, message = BAD_INIT[case]
    options = dict(d_model=4, d_expert=4, n_experts=4) | change
    with pytest.raises(ValueError, match=re.escape(message)):
        moe.MoELayer.init(**options)  # type: ignore[arg-type]


BAD_X = {
    "wrong width": (np.ones((3, 5)), "x_ND: got shape (3, 5), allowed is (any, 4)"),
    "one axis": (np.ones(4), "x_ND: got shape (4,), allowed is (any, 4)"),
    "integers": (np.ones((3, 4), int), "x_ND: got dtype int64, allowed are float32 and float64"),
    "NaN": (np.full((1, 4), np.nan), "x_ND: got NaN or infinity"),
    "infinity": (np.full((1, 4), np.inf), "x_ND: got NaN or infinity"),
}


@pytest.mark.parametrize("case", BAD_X)
@pytest.mark.parametrize("kind", ["moe", "dense"])
def test_bad_input_is_named(case: str, kind: str) -> None:
    layer = moe.MoELayer.init(4, 4, 4) if kind == "moe" else moe.DenseFFN.init(4, 4)
    x, message = BAD_X[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(x)


def test_bad_gradient_and_bad_ids_are_named() -> None:
    layer = moe.MoELayer.init(4, 4, 4)
    y_ND, ctx = layer.forward(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"dy_ND: got shape \(2, 4\), allowed is \(3, 4\)"):
        layer.backward(y_ND[:2], ctx)
    with pytest.raises(ValueError, match="token_ids"):
        layer.forward(np.ones((3, 4)), token_ids=np.ones(3))


@pytest.mark.parametrize("factor", [-1.0, 0.0, float("nan"), float("inf"), "wide"])
def test_bad_capacity_is_named(factor: object) -> None:
    with pytest.raises(ValueError, match="capacity_factor: got"):
        Capacity(factor)  # type: ignore[arg-type]


def test_dense_gradients_equal_finite_differences(rng: np.random.Generator) -> None:
    for activation in ("swiglu", "gelu", "relu"):
        dense = moe.DenseFFN.init(7, 9, activation=activation, dtype="float64")
        x_ND, g_ND = rng.standard_normal((2, 11, 7))
        assert layer_error(dense, x_ND, g_ND) <= 1e-6


TABLES = [("hash", {}), ("hash", {"k": 2}), ("deepseek_v4", {"by_token": True})]


@pytest.mark.parametrize(("name", "options"), TABLES)
def test_token_ids_reach_a_table_from_every_call(
    name: str, options: dict[str, object], rng: np.random.Generator
) -> None:
    """Call, route and forward take them alike; without ids positions stand for them."""
    layer = moe.MoELayer.init(6, 5, 8, router=moe.make_router(name, **options), dtype="float64")
    x_ND, ids_N = rng.standard_normal((12, 6)), rng.integers(0, 256, 12)
    y_ND, ctx = layer.forward(x_ND, token_ids=ids_N)
    assert layer(x_ND, token_ids=ids_N).tobytes() == y_ND.tobytes() != layer(x_ND).tobytes()
    assert np.array_equal(layer.route(x_ND, token_ids=ids_N).expert_A, ctx.routing.expert_A)
    assert layer(x_ND).tobytes() == layer(x_ND, token_ids=np.arange(12)).tobytes()
    dx_ND, _ = layer.backward(np.ones_like(y_ND), ctx)  # the context knows who went where
    error = worst_error(
        lambda: float(layer(x_ND, token_ids=ids_N).sum()), {"x": x_ND}, {"x": dx_ND}
    )
    assert error <= 1e-6
    for call in (layer, layer.route, layer.forward):
        with pytest.raises(ValueError, match=r"token_ids: got float64 of shape \(12,\)"):
            call(x_ND, token_ids=np.ones(12))


def test_the_gating_residual_reaches_every_call(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(6, 5, 8, router="moe_pp", dtype="float64")
    layer.params["residual_EE"][:] = rng.standard_normal((8, 8))
    x_ND, previous_NE = rng.standard_normal((9, 6)), rng.standard_normal((9, 8))
    y_ND, ctx = layer.forward(x_ND, previous_NE=previous_NE)
    assert layer(x_ND, previous_NE=previous_NE).tobytes() == y_ND.tobytes()
    routing = layer.route(x_ND, previous_NE=previous_NE)
    assert np.array_equal(routing.logits_NE, ctx.routing.logits_NE)
