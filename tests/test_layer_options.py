"""What published layers add: a gate on the shared experts, weights on the input, expert biases."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe import kernels
from moe.capacity import Capacity
from moe.experts import up_bias_name, up_name
from moe.kernels.backend import BACKENDS
from moe.layer import MoELayer
from tests.gradients import layer_error
from tests.plain import sigmoid, silu

ACTIVATIONS = {
    "clamped": "clamped_swiglu(alpha=1.4,limit=0.8)",
    "clamped_without": "clamped_swiglu(alpha=1.0,limit=0.8,plus=0)",
    "relu2": "relu2",
    "biases_relu": "relu",
    "biases_clamped": "clamped_swiglu(alpha=1.4,limit=0.8)",
}


def make(kind: str, rng: np.random.Generator, **options: object) -> MoELayer:
    """A small float64 layer with one of the additions."""
    if kind in ACTIVATIONS:
        options["activation"] = ACTIVATIONS[kind]
    if kind == "latent":
        options["d_latent"] = 3
    router = moe.make_router("topk", k=2)
    if kind == "weigh_input":
        router = moe.make_router(
            "topk", k=2, score="sigmoid", renormalize=False, weigh_input=True, scale=1.3
        )
    layer = MoELayer.init(6, 5, 4, router, n_shared=2, dtype="float64", **options)  # type: ignore[arg-type]
    if kind == "shared_gate":
        layer.params["shared_gate_D1"] = rng.standard_normal((6, 1))
    if kind.startswith("biases"):
        width = layer.params[up_name(layer.activation)].shape[2]
        layer.params[up_bias_name(layer.activation)] = rng.standard_normal((4, width))
        layer.params["b_down_ED"] = rng.standard_normal((4, 6))
    return layer


KINDS = ["shared_gate", "weigh_input", "biases", "latent", *ACTIVATIONS]
CAPACITIES = [None, Capacity(0.5, "order"), Capacity(0.7, "reroute")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", CAPACITIES, ids=["free", "dropping", "rerouting"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_equal_finite_differences(
    kind: str, capacity: Capacity | None, backend: str, rng: np.random.Generator
) -> None:
    layer = make(kind, rng, capacity=capacity)
    x_ND, g_ND = rng.standard_normal((2, 17, 6))
    with kernels.using(backend):
        assert layer_error(layer, x_ND, g_ND) <= 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_both_backends_and_any_number_of_threads_agree(kind: str, rng: np.random.Generator) -> None:
    layer = make(kind, rng).astype("float32")
    x_ND = rng.standard_normal((700, 6)).astype(np.float32)
    results = []
    for backend, threads in (("numpy", 1), ("numba", 1), ("numba", 2)):
        with kernels.using(backend, threads):
            y_ND, ctx = layer.forward(x_ND)
            dx_ND, grads = layer.backward(y_ND, ctx)
            results.append([y_ND, dx_ND, *grads.values()])
    for plain, one, two in zip(*results, strict=True):
        assert one.dtype == np.float32 and one.tobytes() == two.tobytes()
        assert np.allclose(plain, one, rtol=1e-4, atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_tokens", [0, 1])
def test_empty_batch_and_experts_that_nobody_chose(
    kind: str, n_tokens: int, rng: np.random.Generator
) -> None:
    layer = make(kind, rng)
    y_ND, ctx = layer.forward(np.ones((n_tokens, 6)))
    dx_ND, grads = layer.backward(np.ones_like(y_ND), ctx)
    assert y_ND.shape == dx_ND.shape == (n_tokens, 6)
    assert all(np.isfinite(grad).all() for grad in grads.values())
    idle = ctx.routing.load == 0
    assert idle.sum() >= 2
    for name, grad in grads.items():
        if len(grad) == 4:  # an expert's array
            assert not grad[idle].any(), name


def test_the_shared_result_is_weighed_by_its_gate(rng: np.random.Generator) -> None:
    """transformers modeling_qwen2_moe.py: sigmoid(shared_expert_gate(x)) * shared_expert(x)."""
    layer = make("shared_gate", rng)
    x_ND = rng.standard_normal((9, 6))
    without = replace(layer, params={n: a for n, a in layer.params.items() if "shared" not in n})
    up_DH, down_FD = layer.params["shared_w_gate_up_D2F"], layer.params["shared_w_down_FD"]
    gate_NF, up_NF = np.split(x_ND @ up_DH, 2, axis=1)
    shared_ND = sigmoid(x_ND @ layer.params["shared_gate_D1"]) * (silu(gate_NF) * up_NF @ down_FD)
    y_ND, ctx = layer.forward(x_ND)
    assert np.allclose(y_ND, without(x_ND) + shared_ND, rtol=1e-12)
    gate_flops = 2 * 9 * 6
    ungated = {n: a for n, a in layer.params.items() if n != "shared_gate_D1"}
    _, plain = replace(layer, params=ungated).forward(x_ND)
    assert ctx.executed_flops == plain.executed_flops + gate_flops


def test_weights_on_the_input(rng: np.random.Generator) -> None:
    """transformers modeling_llama4.py: experts(x * sigmoid(score)), added up as they are."""
    layer = make("weigh_input", rng)
    x_ND = rng.standard_normal((9, 6))
    y_ND, ctx = layer.forward(x_ND)
    shared = moe.DenseFFN(
        "swiglu",
        {n.removeprefix("shared_"): a for n, a in layer.params.items() if "shared" in n},
    )
    truth_ND = shared(x_ND)
    for n, e, w in zip(ctx.routing.token_A, ctx.routing.expert_A, ctx.routing.weight_A):
        assert w == pytest.approx(1.3 * sigmoid(x_ND[n] @ layer.params["gate_DE"][:, e]))
        gate_F, up_F = np.split(w * x_ND[n] @ layer.params["w_gate_up_ED2F"][e], 2)
        truth_ND[n] += silu(gate_F) * up_F @ layer.params["w_down_EFD"][e]
    assert np.allclose(y_ND, truth_ND, rtol=1e-12)
    assert layer.expert_outputs(ctx, 3)[1].sum(axis=0) == pytest.approx((y_ND - shared(x_ND))[3])


def test_weights_on_the_input_are_refused_where_copies_must_add_up() -> None:
    dense = moe.DenseFFN.init(4, 8)
    router = moe.make_router("topk", weigh_input=True)
    with pytest.raises(ValueError, match="router: got weigh_input=True"):
        moe.upcycle(dense, 4, router)


def clamped(h_NH: np.ndarray, alpha: float, limit: float) -> np.ndarray:
    """transformers modeling_gpt_oss.py, GptOssExperts._apply_gate, halves side by side."""
    gate_NF, up_NF = np.split(h_NH, 2, axis=-1)
    gate_NF, up_NF = np.minimum(gate_NF, limit), np.clip(up_NF, -limit, limit)
    return (up_NF + 1) * gate_NF * sigmoid(alpha * gate_NF)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_tokens", [3, 200])  # few slots and many take different kernels
def test_biased_experts_are_their_definition(
    backend: str, n_tokens: int, rng: np.random.Generator
) -> None:
    layer = make("biases_clamped", rng)
    up_EDH, down_EFD = layer.params["w_gate_up_ED2F"], layer.params["w_down_EFD"]
    b_up_EH, b_down_ED = layer.params["b_gate_up_E2F"], layer.params["b_down_ED"]
    x_ND = rng.standard_normal((n_tokens, 6))
    with kernels.using(backend):
        y_ND, ctx = layer.forward(x_ND)
        assert np.allclose(layer(x_ND), y_ND, rtol=1e-12)
    up_DH, down_FD = layer.params["shared_w_gate_up_D2F"], layer.params["shared_w_down_FD"]
    truth_ND = clamped(x_ND @ up_DH, 1.4, 0.8) @ down_FD
    for n, e, w in zip(ctx.routing.token_A, ctx.routing.expert_A, ctx.routing.weight_A):
        a_F = clamped(x_ND[n] @ up_EDH[e] + b_up_EH[e], 1.4, 0.8)
        truth_ND[n] += w * (a_F @ down_EFD[e] + b_down_ED[e])
    assert np.allclose(y_ND, truth_ND, rtol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clamped_value_passes_its_gradient_at_the_limit_and_not_beyond(backend: str) -> None:
    """As torch.clamp: one at equality, zero outside."""
    layer = MoELayer.init(1, 4, 1, k=1, activation="clamped_swiglu(limit=2)", dtype="float64")
    layer.params["w_gate_up_ED2F"][:] = [[[1.0, 2.0, 2.5, -9.0, 2.0, -2.0, 2.5, -2.5]]]
    with kernels.using(backend):
        y_ND, ctx = layer.forward(np.ones((1, 1)))
        _, grads = layer.backward(np.ones_like(y_ND), ctx)
    passes = grads["w_gate_up_ED2F"][0, 0] != 0
    assert passes.tolist() == [True, True, False, True, True, True, False, False]


@pytest.mark.parametrize("name", ["b_gate_up_E2F", "b_down_ED"])
def test_biases_of_another_shape_are_named(name: str, rng: np.random.Generator) -> None:
    layer = make("biases", rng)
    layer.params[name] = layer.params[name][:, :-1]
    with pytest.raises(ValueError, match=rf"{name}: got shape \(4, \d+\), allowed is \(4, \d+\)"):
        layer(np.ones((3, 6)))


BAD_ACTIVATIONS = {
    "clamped_swiglu(beta=1)": "option of activation clamped_swiglu: got 'beta'",
    "clamped_swiglu(alpha=x)": "alpha: got 'x'",
    "clamped_swiglu(limit=0)": "limit: got 0.0",
    "clamped_swiglu(limit=nan)": "limit: got nan",
    "swiglu(alpha=1)": "activation: got 'swiglu(alpha=1)', allowed is one of swiglu",
}


@pytest.mark.parametrize("text", BAD_ACTIVATIONS)
def test_a_bad_activation_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(BAD_ACTIVATIONS[text])):
        MoELayer.init(4, 4, 4, activation=text)


def test_a_clamped_swiglu_without_its_one_and_with_a_far_limit_is_swiglu() -> None:
    x_ND = np.linspace(-3, 3, 40).reshape(10, 4)
    layers = [
        MoELayer.init(4, 4, 4, activation=text, dtype="float64")
        for text in ("swiglu", "clamped_swiglu(alpha=1,limit=99,plus=0)")
    ]
    assert np.allclose(layers[0](x_ND), layers[1](x_ND), rtol=1e-13)


def test_the_square_of_relu_is_its_square() -> None:
    layer = MoELayer.init(3, 5, 1, k=1, activation="relu2", dtype="float64")
    x_ND = np.random.default_rng(0).standard_normal((7, 3))
    truth_ND = np.maximum(x_ND @ layer.params["w_up_EDF"][0], 0) ** 2
    assert np.allclose(layer(x_ND), truth_ND @ layer.params["w_down_EFD"][0], rtol=1e-13)


def test_an_activation_without_options_takes_those_of_gpt_oss() -> None:
    x_ND = np.linspace(-30, 30, 40).reshape(10, 4)
    plain, same = (
        MoELayer.init(4, 4, 4, activation=text, dtype="float64")
        for text in ("clamped_swiglu", "clamped_swiglu(alpha=1.702, limit=7.0)")
    )
    assert plain(x_ND).tobytes() == same(x_ND).tobytes()
