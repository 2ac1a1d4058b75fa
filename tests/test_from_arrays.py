"""`MoELayer.from_arrays`: the same layer from every order, and mistakes by name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import moe
from moe.checkpoints.layouts import ORDERS
from moe.layer import MoELayer
from tests.plain import sigmoid, silu

E, F, D, G = 4, 5, 6, 7


def parts(gated: bool = True) -> dict[str, np.ndarray]:
    """Weights as nn.Linear keeps them, (out, in), of all experts and a shared one."""
    rng = np.random.default_rng(0)
    shapes = {
        "gate": (E, D), "gate_bias": (E,), "select_bias": (E,), "gate_proj": (E, F, D),
        "up_proj": (E, F, D), "down_proj": (E, D, F), "gate_proj_bias": (E, F),
        "up_proj_bias": (E, F), "down_proj_bias": (E, D), "shared_gate_proj": (G, D),
        "shared_up_proj": (G, D), "shared_down_proj": (D, G), "shared_gate": (1, D),
    }  # fmt: skip
    return {
        name: rng.standard_normal(shape)
        for name, shape in shapes.items()
        if gated or name not in ("gate_proj", "gate_proj_bias", "shared_gate_proj")
    }


def by_hand(p: dict[str, np.ndarray], x_ND: np.ndarray) -> np.ndarray:
    """Top-2 over the biased logits, SwiGLU experts and shared expert, from the plain weights."""
    logits_NE = x_ND @ p["gate"].T + p["gate_bias"]
    scores_NE = np.exp(logits_NE) / np.exp(logits_NE).sum(axis=1, keepdims=True)
    y_ND = np.zeros_like(x_ND)
    for n, x in enumerate(x_ND):
        chosen = np.argsort(-(scores_NE[n] + p["select_bias"]))[:2]
        for e in chosen:
            gate = p["gate_proj"][e] @ x + p["gate_proj_bias"][e]
            up = p["up_proj"][e] @ x + p["up_proj_bias"][e]
            down = p["down_proj"][e] @ (silu(gate) * up) + p["down_proj_bias"][e]
            y_ND[n] += scores_NE[n, e] / scores_NE[n, chosen].sum() * down
        shared = silu(p["shared_gate_proj"] @ x) * (p["shared_up_proj"] @ x)
        y_ND[n] += sigmoid(p["shared_gate"] @ x) * (p["shared_down_proj"] @ shared)
    return y_ND


def in_order(p: dict[str, np.ndarray], order: str) -> dict[str, Any]:
    """The same weights in another order."""
    if order == "torch":
        return dict(p)
    out = {name: p[name] for name in p if not name.startswith(("gate_proj", "up_proj", "down"))}
    gate, up, down = p["gate_proj"], p["up_proj"], p["down_proj"]
    biases = p["gate_proj_bias"], p["up_proj_bias"]
    out["down_proj_bias"] = p["down_proj_bias"]
    if order == "gpt_oss":  # gate and up alternate
        rows = np.stack([gate, up], axis=2).reshape(E, 2 * F, D)
        out["gate_up_proj_bias"] = np.stack(biases, axis=2).reshape(E, 2 * F)
    else:
        rows = np.concatenate([gate, up], axis=1)
        out["gate_up_proj_bias"] = np.concatenate(biases, axis=1)
    turn = order != "transformers"
    out["gate_up_proj"] = rows.swapaxes(1, 2) if turn else rows
    out["down_proj"] = down.swapaxes(1, 2) if turn else down
    return out


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_makes_the_layer_that_its_weights_are(order: str) -> None:
    router = moe.make_router("topk", k=2, bias=True)
    layer = MoELayer.from_arrays(in_order(parts(), order), order, router)
    x_ND = np.random.default_rng(1).standard_normal((9, D))
    assert layer.dtype == np.float64
    assert np.allclose(layer(x_ND), by_hand(parts(), x_ND), rtol=1e-10)
    assert layer == MoELayer.from_arrays(parts(), "torch", router)
    assert layer == MoELayer.from_arrays(layer.params | layer.buffers, "moe", router)


def test_a_list_with_an_array_per_expert_will_do() -> None:
    p = {name: array for name, array in parts().items() if "_bias" not in name}
    listed = {name: list(array) if array.ndim == 3 else array for name, array in p.items()}
    assert MoELayer.from_arrays(listed, "torch") == MoELayer.from_arrays(p, "torch")


def test_experts_without_a_gate_projection_come_in_the_order_of_linear_layers() -> None:
    p = {name: array for name, array in parts(gated=False).items() if name != "gate_bias"}
    layer = MoELayer.from_arrays(p, "torch", activation="relu")
    up_EDF = p["up_proj"].swapaxes(1, 2)
    assert np.array_equal(layer.params["w_up_EDF"], up_EDF)
    assert np.array_equal(layer.params["b_up_EF"], p["up_proj_bias"])
    assert layer.params["shared_w_up_DF"].shape == (D, G)
    with pytest.raises(ValueError, match="order: got 'llama4' with relu, allowed are 'moe' and"):
        MoELayer.from_arrays(p, "llama4", activation="relu")


def test_what_a_router_has_beside_a_gate_keeps_its_name() -> None:
    noisy = MoELayer.init(D, F, E, "noisy_topk", dtype="float64")
    linear = {"gate": noisy.params["gate_DE"].T, "noise_DE": noisy.params["noise_DE"]}
    up_EDH, down_EFD = noisy.params["w_gate_up_ED2F"], noisy.params["w_down_EFD"]
    linear |= {"gate_up_proj": up_EDH.swapaxes(1, 2), "down_proj": down_EFD.swapaxes(1, 2)}
    assert MoELayer.from_arrays(linear, "transformers", "noisy_topk") == noisy


def test_arrays_are_copied_and_cast() -> None:
    given = MoELayer.init(D, F, E).params
    layer = MoELayer.from_arrays(given)
    assert layer.dtype == np.float32
    given["gate_DE"][:] = 0
    assert layer.params["gate_DE"].any()
    half = {name: array.astype(np.float16) for name, array in layer.params.items()}
    assert MoELayer.from_arrays(half).dtype == np.float32
    assert MoELayer.from_arrays(half, dtype="float64").dtype == np.float64
    turned = {name: np.asfortranarray(array) for name, array in layer.params.items()}
    assert MoELayer.from_arrays(turned) == layer


class Parameter:
    """Looks like a parameter of PyTorch: needs a gradient, lies elsewhere, may be bfloat16."""

    def __init__(self, array: np.ndarray, dtype: str, steps: tuple[str, ...] = ()) -> None:
        self.array, self.dtype, self.steps = array, dtype, steps

    def detach(self) -> Parameter:
        return Parameter(self.array, self.dtype, (*self.steps, "detach"))

    def cpu(self) -> Parameter:
        return Parameter(self.array, self.dtype, (*self.steps, "cpu"))

    def float(self) -> Parameter:
        return Parameter(self.array, "torch.float32", (*self.steps, "float"))

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        assert {"detach", "cpu"} <= set(self.steps) and self.dtype == "torch.float32"
        return self.array


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_parameters_that_need_a_gradient_and_bfloat16_are_taken(dtype: str) -> None:
    layer = MoELayer.init(D, F, E)
    given = {name: Parameter(array, dtype) for name, array in layer.params.items()}
    assert MoELayer.from_arrays(given) == layer


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an unknown order": ({}, {"order": "pytorch"}, "order: got 'pytorch', allowed is one of moe"),
    "down in (in, out)": (
        {"down_proj": np.zeros((E, F, D))},
        {},
        f"gate_proj: got shape ({E}, {F}, {D}), allowed is ({E}, {D}, {F}), as down_proj says",
    ),
    "no down": ({"down_proj": None}, {}, "arrays: got no down_proj, allowed in order 'torch' are"),
    "no up": ({"up_proj": None}, {}, "arrays: got gate_proj and no up_proj, allowed are both: w_g"),
    "no gate": ({"gate": None}, {}, "params: got no gate_DE"),
    "a wide gate": (
        {"gate": np.zeros((E + 1, D))},
        {},
        f"gate_DE: got shape ({D}, {E + 1}), allowed is ({D}, {E})",
    ),
    "a turned gate": ({"gate": np.zeros((D, E))}, {}, f"gate: got shape ({D}, {E}), allowed is"),
    "an unknown name": ({"w1": np.zeros(3)}, {}, "params: got 'w1', allowed are"),
    "two orders": ({"gate_DE": np.zeros((D, E))}, {}, "arrays: got 'gate_DE' in two orders"),
    "whole numbers": ({"gate": np.zeros((E, D), int)}, {}, "gate: got dtype int64, allowed are fl"),
    "a list of two shapes": (
        {"up_proj": [np.zeros((F, D)), np.zeros((F, D + 1))]},
        {},
        "up_proj: got a list that numpy cannot read",
    ),
    "a class": ({}, {"router": moe.ROUTERS["topk"]}, "router: got the class TopK, allowed is an"),
    "a dtype": ({}, {"dtype": "int8"}, "dtype: got 'int8', allowed is one of float32, float64"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(case: str) -> None:
    changes, options, message = MISTAKES[case]
    given: dict[str, Any] = {name: parts()[name] for name in parts() if "_" not in name}
    given |= {name: parts()[name] for name in ("gate_proj", "up_proj", "down_proj")} | changes
    given = {name: array for name, array in given.items() if array is not None}
    with pytest.raises(ValueError, match=re.escape(message)):
        MoELayer.from_arrays(given, **({"order": "torch"} | options))


def test_no_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match="arrays: got a list, allowed are arrays by name"):
        MoELayer.from_arrays([np.zeros(3)])  # type: ignore[arg-type]


@pytest.mark.parity
def test_a_live_block_of_the_reference_library_is_the_same_layer() -> None:
    import torch
    from transformers.models.mixtral.configuration_mixtral import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    torch.manual_seed(0)
    sizes = dict(hidden_size=D, intermediate_size=F, num_local_experts=E, num_experts_per_tok=2)
    block = MixtralSparseMoeBlock(MixtralConfig(**sizes, router_jitter_noise=0.0))
    state = dict(block.named_parameters())
    for parameter in state.values():
        torch.nn.init.normal_(parameter)
    given = {
        "gate": state["gate.weight"],
        "gate_up_proj": state["experts.gate_up_proj"],
        "down_proj": state["experts.down_proj"],
    }
    layer = MoELayer.from_arrays(given, "transformers")
    x = torch.randn(1, 9, D)
    with torch.no_grad():
        said = block(x)
    truth_ND = (said[0] if isinstance(said, tuple) else said).numpy()[0]
    assert np.allclose(layer(x[0].numpy()), truth_ND, rtol=1e-5, atol=1e-5 * abs(truth_ND).max())


@pytest.mark.parity
def test_live_linear_layers_in_bfloat16_are_taken_one_by_one() -> None:
    import torch

    def linears(wide: int, narrow: int) -> list[Any]:
        made = [torch.nn.Linear(narrow, wide, bias=False) for _ in range(E)]
        return [linear.weight.to(torch.bfloat16) for linear in made]

    gate = torch.nn.Linear(D, E, bias=False).weight
    given = {"gate": gate, "gate_proj": linears(F, D), "up_proj": linears(F, D)}
    given["down_proj"] = linears(D, F)
    layer = MoELayer.from_arrays(given, "torch")
    down_FD = given["down_proj"][1].float().detach().numpy().T
    assert layer.dtype == np.float32 and np.array_equal(layer.params["w_down_EFD"][1], down_FD)
