"""Latent experts: two products around the routed experts, whose router sees the full width."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.checkpoints.layer_spec import layer_spec, layers_in
from moe.cost import model_from_config
from moe.cost.tables import configs
from moe.kernels.backend import BACKENDS
from moe.layer import MoELayer
from tests.gradients import layer_error
from tests.plain import silu

D, F, E, L = 6, 5, 4, 3
CASE = Path(__file__).parent / "parity" / "nemotron_h-latent"


def composed(layer: MoELayer, x_ND: np.ndarray) -> np.ndarray:
    """The same in plain numpy, a token and an expert at a time; k = 2, with a shared expert."""
    params, y_ND = layer.params, np.zeros_like(x_ND)
    for token, x_D in enumerate(x_ND):
        logits_E = x_D @ params["gate_DE"]
        chosen = np.argsort(-logits_E, kind="stable")[:2]
        share = np.exp(logits_E[chosen] - logits_E[chosen].max())
        z_L, sum_L = x_D @ params["latent_down_DL"], np.zeros(L)
        for expert, weight in zip(chosen, share / share.sum(), strict=True):
            gate_F, up_F = np.split(z_L @ params["w_gate_up_ED2F"][expert], 2)
            sum_L += weight * (silu(gate_F) * up_F) @ params["w_down_EFD"][expert]
        gate_F, up_F = np.split(x_D @ params["shared_w_gate_up_D2F"], 2)
        shared_D = (silu(gate_F) * up_F) @ params["shared_w_down_FD"]
        y_ND[token] = sum_L @ params["latent_up_LD"] + shared_D
    return y_ND


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layer_is_the_plain_composition(backend: str, rng: np.random.Generator) -> None:
    layer = MoELayer.init(D, F, E, n_shared=1, dtype="float64", d_latent=L)
    x_ND = rng.standard_normal((50, D))
    with moe.kernels.using(backend):
        y_ND = layer(x_ND)
    assert np.abs(y_ND - composed(layer, x_ND)).max() <= 1e-12
    assert (layer.d_model, layer.d_expert, layer.d_latent) == (D, F, L)
    assert MoELayer.init(D, F, E).d_latent == 0


@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "soft", "expert_choice", "null_experts"])
def test_gradients_equal_finite_differences(router: str, rng: np.random.Generator) -> None:
    capacity = moe.Capacity(0.5, "order") if router == "topk" else None
    layer = MoELayer.init(
        D, F, E, router, n_shared=1, dtype="float64", d_latent=L, capacity=capacity
    )
    x_ND, g_ND = rng.standard_normal((2, 17, D))
    assert layer_error(layer, x_ND, g_ND) <= 1e-6


def test_weights_on_the_input_stand_on_the_latent_vector(rng: np.random.Generator) -> None:
    router = moe.make_router("topk", k=2, score="sigmoid", renormalize=False, weigh_input=True)
    layer = MoELayer.init(D, F, E, router, dtype="float64", d_latent=L, activation="relu2")
    x_ND, g_ND = rng.standard_normal((2, 9, D))
    assert layer_error(layer, x_ND, g_ND) <= 1e-6
    # The square of ReLU makes of a factor on its input the factor's square on its output.
    plain = replace(layer, router=replace(router, weigh_input=False))
    routing = plain.route(x_ND)
    squared = replace(routing, weight_A=routing.weight_A**2)
    results = np.zeros_like(x_ND)
    for token in range(len(x_ND)):
        experts, result_KL = plain.expert_outputs(plain.forward(x_ND)[1], token)
        assert result_KL.shape == (2, L)
        weights = [
            squared.weight_A[(routing.token_A == token) & (routing.expert_A == e)] for e in experts
        ]
        results[token] = (np.concatenate(weights) @ result_KL) @ layer.params["latent_up_LD"]
    assert np.abs(results - layer(x_ND)).max() <= 1e-12


def test_a_latent_space_that_is_the_model_s_own_changes_no_bit(rng: np.random.Generator) -> None:
    plain = MoELayer.init(D, F, E, n_shared=1)
    same = {name: np.eye(D, dtype=np.float32) for name in ("latent_down_DL", "latent_up_LD")}
    latent = replace(plain, params=plain.params | same)
    x_ND = rng.standard_normal((40, D)).astype(np.float32)
    (y_ND, ctx), (same_ND, context) = plain.forward(x_ND), latent.forward(x_ND)
    assert y_ND.tobytes() == same_ND.tobytes()
    (dx_ND, grads), (also_ND, others) = plain.backward(x_ND, ctx), latent.backward(x_ND, context)
    assert dx_ND.tobytes() == also_ND.tobytes()
    assert all(others[name].tobytes() == grad.tobytes() for name, grad in grads.items())


def test_router_and_shared_expert_see_the_full_width(rng: np.random.Generator) -> None:
    layer = MoELayer.init(D, F, E, n_shared=1, dtype="float64", d_latent=1)
    x_ND = rng.standard_normal((30, D))
    routing = layer.route(x_ND)
    assert np.array_equal(routing.logits_NE, x_ND @ layer.params["gate_DE"])
    layer.params["latent_up_LD"][:] = 0
    gate_NF, up_NF = np.split(x_ND @ layer.params["shared_w_gate_up_D2F"], 2, axis=1)
    shared_ND = (silu(gate_NF) * up_NF) @ layer.params["shared_w_down_FD"]
    assert np.abs(layer(x_ND) - shared_ND).max() <= 1e-12


def test_fresh_weights_are_normal_and_draw_after_all_others() -> None:
    layer = MoELayer.init(64, 16, 8, n_shared=1, dtype="float64", d_latent=16)
    plain = MoELayer.init(64, 16, 8, n_shared=1, dtype="float64")
    assert np.array_equal(layer.params["gate_DE"], plain.params["gate_DE"])
    assert layer.params["w_gate_up_ED2F"].shape == (8, 16, 32)
    assert layer.params["latent_down_DL"].std() == pytest.approx(1 / 8, rel=0.1)
    assert layer.params["latent_up_LD"].std() == pytest.approx(1 / 4, rel=0.1)
    assert repr(layer).endswith("E=8, F=16, L=16, D=64, float64, 11,776 numbers)")
    assert layer.n_params == 64 * 8 + 8 * 3 * 16 * 16 + 3 * 64 * 16 + 2 * 64 * 16


def test_operations_and_parameters_are_those_of_the_formula(rng: np.random.Generator) -> None:
    layer = moe.load_layer(CASE, 1)
    d, latent, f, shared = 8, 5, 4, 7
    _, ctx = layer.forward(rng.standard_normal((10, d)).astype(np.float32))
    multiplied = d * 6 + 2 * d * latent + 2 * (2 * latent * f) + 2 * d * shared
    assert ctx.executed_flops == 10 * 2 * multiplied
    counted = model_from_config(CASE).params
    bias = layer.n_experts  # the selection bias is a buffer here, and a parameter there
    assert layer.n_params + bias == counted.experts + counted.shared + counted.router


def test_arrays_in_the_order_of_nn_linear_are_taken(rng: np.random.Generator) -> None:
    layer = MoELayer.init(D, F, E, n_shared=1, dtype="float64", d_latent=L)
    params = layer.params
    gate_EDF, up_EDF = np.split(params["w_gate_up_ED2F"], 2, axis=2)
    shared_gate_DF, shared_up_DF = np.split(params["shared_w_gate_up_D2F"], 2, axis=1)
    given = {
        "gate": params["gate_DE"].T,
        "gate_proj": gate_EDF.swapaxes(1, 2),
        "up_proj": up_EDF.swapaxes(1, 2),
        "down_proj": params["w_down_EFD"].swapaxes(1, 2),
        "shared_gate_proj": shared_gate_DF.T,
        "shared_up_proj": shared_up_DF.T,
        "shared_down_proj": params["shared_w_down_FD"].T,
        "latent_down_proj": params["latent_down_DL"].T,
        "latent_up_proj": params["latent_up_LD"].T,
    }
    assert MoELayer.from_arrays(given, "torch") == layer
    assert MoELayer.from_arrays(params) == layer
    for name in ("latent_down_proj", "latent_up_proj"):
        with pytest.raises(ValueError, match=f"got {name} alone, allowed are latent_down_proj and"):
            others = {"latent_down_proj", "latent_up_proj"} - {name}
            MoELayer.from_arrays({n: a for n, a in given.items() if n not in others}, "torch")
    given["latent_up_proj"] = given["latent_up_proj"].T
    with pytest.raises(
        ValueError, match=r"latent_up_proj: got shape \(3, 6\), allowed is \(6, 3\)"
    ):
        MoELayer.from_arrays(given, "torch")


def test_what_does_not_fit_is_refused() -> None:
    layer = MoELayer.init(D, F, E, d_latent=L)
    for name in ("latent_down_DL", "latent_up_LD"):
        rest = {n: a for n, a in layer.params.items() if n != name}
        with pytest.raises(ValueError, match=f"params: got no {name}"):
            replace(layer, params=rest).check()
    wrong = np.ones((L + 1, D), np.float32)
    says = (
        r"latent_up_LD: got shape \(4, 6\), allowed is \(3, 6\) \(w_down_EFD says .*L = 3; .*D = 6"
    )
    with pytest.raises(ValueError, match=says):
        replace(layer, params=layer.params | {"latent_up_LD": wrong}).check()
    for flat in (np.ones(D, np.float32), np.ones((0, L), np.float32)):
        with pytest.raises(ValueError, match=r"latent_down_DL: got shape .*, allowed is \(D, L\)"):
            replace(layer, params=layer.params | {"latent_down_DL": flat}).check()
    with pytest.raises(ValueError, match="d_latent: got -1, allowed"):
        MoELayer.init(D, F, E, d_latent=-1)
    says = "got latent experts and a router with the experts constant, copy, zero, allowed is one"
    with pytest.raises(ValueError, match=f"d_latent: {says}"):
        MoELayer.init(D, F, 8, "moe_pp", d_latent=L)
    with pytest.raises(ValueError, match=f"latent_down_DL: {says}"):
        replace(layer, router=moe.make_router("moe_pp")).check()


@pytest.mark.parametrize("name", ["Nemotron-3-Super-120B-A12B", "Nemotron-3-Ultra-550B-A55B"])
def test_tensors_of_the_published_models_are_what_the_cost_model_counts(name: str) -> None:
    config = configs()[name]
    layers = layers_in(config)
    spec = layer_spec(config, layers[0])
    assert spec.sizes.d_latent == config["moe_latent_size"]
    stored = sum(math.prod(slot.shape) for slot in spec.slots())
    counted = model_from_config(config).params
    assert stored * len(layers) == counted.experts + counted.shared + counted.router


def test_training_settings_make_such_a_layer() -> None:
    settings = moe.TrainSettings(task="linear_maps", d_latent=8, steps=2, batch=32)
    trainer = moe.Trainer(settings)
    before = trainer.layer.params["latent_down_DL"].copy()
    trainer.step()
    assert trainer.layer.d_latent == 8
    assert (trainer.layer.params["latent_down_DL"] != before).any()
