"""What a layer may hold: every message names the array, what was given and what is allowed."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import moe
from moe.errors import check_array, check_dtype
from moe.kernels.backend import BACKENDS, using
from moe.layer import MoELayer


def layer_of(**options: Any) -> MoELayer:
    return MoELayer.init(16, 24, 6, **options)


X = np.ones((4, 16), np.float32)


def change(name: str, how: Callable[[np.ndarray], Any]) -> Callable[[MoELayer], None]:
    return lambda layer: layer.params.__setitem__(name, how(layer.params[name]))


SAYS = "(w_down_EFD says E = 6, F = 24, D = 16)"
MISTAKES: dict[str, tuple[Callable[[MoELayer], Any], str]] = {
    "transformers' order": (
        change("w_gate_up_ED2F", lambda w: np.ascontiguousarray(w.swapaxes(1, 2))),
        f"w_gate_up_ED2F: got shape (6, 48, 16), allowed is (6, 16, 48) {SAYS}; "
        "MoELayer.from_arrays takes other orders",
    ),
    "PyTorch's order": (
        change("gate_DE", lambda w: np.ascontiguousarray(w.T)),
        f"gate_DE: got shape (6, 16), allowed is (16, 6) {SAYS}; MoELayer.from_arrays",
    ),
    "a gate for twelve": (
        change("gate_DE", lambda w: np.tile(w, (1, 2))),
        f"gate_DE: got shape (16, 12), allowed is (16, 6) {SAYS}",
    ),
    "half of the width": (
        change("w_gate_up_ED2F", lambda w: w[:, :, :24].copy()),
        "w_gate_up_ED2F: got shape (6, 16, 24), allowed is (6, 16, 48)",
    ),
    "a cut down projection": (
        change("w_down_EFD", lambda w: w[:, :5].copy()),
        "w_gate_up_ED2F: got shape (6, 16, 48), allowed is (6, 16, 10) (w_down_EFD says E = 6, F",
    ),
    "float64 in a float32 layer": (
        change("gate_DE", lambda w: w.astype(float)),
        "gate_DE: got float64, allowed is float32, as w_down_EFD is",
    ),
    "float16": (
        change("gate_DE", lambda w: w.astype(np.float16)),
        "gate_DE: got dtype float16, allowed are float32 and float64",
    ),
    "another byte order": (
        change("gate_DE", lambda w: w.astype(">f4")),
        "gate_DE: got dtype >f4, allowed are float32 and float64 of this machine's byte order",
    ),
    "objects": (change("gate_DE", lambda w: w.astype(object)), "gate_DE: got dtype object"),
    "a list": (
        change("gate_DE", lambda w: w.tolist()),
        "gate_DE: got a list, allowed is a numpy.ndarray; MoELayer.from_arrays copies from lists",
    ),
    "a mask": (change("gate_DE", np.ma.masked_array), "gate_DE: got a MaskedArray, allowed is"),
    "Fortran order": (
        change("gate_DE", np.asfortranarray),
        "gate_DE: got an array whose numbers do not lie one after another in C order, allowed is "
        "one where they do: np.ascontiguousarray makes it",
    ),
    "strides": (
        change("w_down_EFD", lambda w: np.repeat(w, 2, axis=2)[:, :, ::2]),
        "w_down_EFD: got an array whose numbers do not lie one after another",
    ),
    "no gate": (
        lambda layer: layer.params.pop("gate_DE"),
        "params: got no gate_DE, allowed is what the layer needs; it has 'w_gate_up_ED2F'",
    ),
    "an unknown name": (
        lambda layer: layer.params.update(w_gate=layer.params["gate_DE"]),
        "params: got 'w_gate', allowed are b_down_ED, b_gate_up_E2F, gate_DE,",
    ),
    "half a shared expert": (
        lambda layer: layer.params.update(shared_w_down_FD=np.ones((24, 16), np.float32)),
        "params: got no shared_w_gate_up_D2F",
    ),
    "no dictionary": (
        lambda layer: setattr(layer, "params", list(layer.params.values())),
        "params: got a list, allowed is a dict of arrays",
    ),
    "no buffer": (
        lambda layer: layer.buffers.clear(),
        "buffers: got no select_bias_E, allowed are all of the router's",
    ),
    "a longer buffer": (
        lambda layer: layer.buffers.update(select_bias_E=np.zeros(7, np.float32)),
        "select_bias_E: got shape (7,), allowed is (6,)",
    ),
    "a list as a buffer": (
        lambda layer: layer.buffers.update(select_bias_E=[0.0] * 6),
        "select_bias_E: got a list, allowed is a numpy.ndarray",
    ),
    "a buffer in the logits' place": (
        lambda layer: layer.buffers.update(gate_NE=np.zeros(6)),
        "buffers: got 'gate_NE', allowed is a name other than gate_NE, logits_NE",
    ),
    "a class for a router": (
        lambda layer: setattr(layer, "router", moe.ROUTERS["topk"]),
        "router: got the class TopK, allowed is an instance of it, TopK()",
    ),
    "an activation of the other form": (
        lambda layer: setattr(layer, "activation", "relu"),
        "params: got no w_up_EDF",
    ),
    "no activation": (
        lambda layer: setattr(layer, "activation", ["swiglu"]),
        "activation: got ['swiglu'], allowed is one of swiglu",
    ),
    "no capacity": (
        lambda layer: setattr(layer, "capacity", 1.0),
        "capacity: got 1.0, allowed is a Capacity",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mistake_is_named_by_every_way_in(case: str, backend: str) -> None:
    mistake, message = MISTAKES[case]
    with using(backend):
        layer = layer_of()
        ctx = layer.forward(X)[1]
        mistake(layer)
        built = MoELayer(
            layer.router, layer.activation, layer.params, layer.buffers, layer.capacity
        )
        for call in (
            lambda: layer(X),
            lambda: layer.forward(X),
            lambda: layer.route(X),
            lambda: layer.backward(X, ctx),
            lambda: layer.expert_outputs(ctx, 0),
            layer.check,
            lambda: built(X),
        ):
            with pytest.raises(ValueError, match=re.escape(message)):
                call()


def test_read_only_and_mapped_parameters_are_read(tmp_path: Any) -> None:
    layer = layer_of()
    y_ND = layer(X)
    layer.params["gate_DE"].flags.writeable = False
    np.save(tmp_path / "w.npy", layer.params["w_down_EFD"])
    layer.params["w_down_EFD"] = np.load(tmp_path / "w.npy", mmap_mode="r")
    assert layer(X).tobytes() == y_ND.tobytes()
    assert layer.backward(y_ND, layer.forward(X)[1])[0].shape == X.shape


def test_a_float64_buffer_of_a_balancer_is_kept_in_a_float32_layer() -> None:
    layer = layer_of()
    layer.buffers |= {"l1_strength_1": np.ones(1), "aux_count_WE": np.zeros((3, 6))}
    assert layer(X).dtype == np.float32


def test_an_array_that_is_reshaped_in_place_is_noticed() -> None:
    layer = layer_of()
    layer(X)
    layer.params["gate_DE"].shape = (6, 16)
    with pytest.raises(ValueError, match="gate_DE: got shape"):
        layer(X)


def test_biases_and_shared_experts_may_be_added_later() -> None:
    layer = layer_of(n_shared=1, activation="relu")
    before = layer(X)
    layer.params["b_down_ED"] = np.ones((6, 16), np.float32)
    layer.params["shared_gate_D1"] = np.zeros((16, 1), np.float32)
    assert not np.array_equal(layer(X), before)


DENSE = {
    "cut": (lambda p: p.update(w_down_FD=p["w_down_FD"][:3].copy()), "w_gate_up_D2F: got shape"),
    "name": (lambda p: p.update(up=p.pop("w_gate_up_D2F")), "params: got no w_gate_up_D2F"),
    "more": (lambda p: p.update(up=p["w_down_FD"]), "params: got 'up', allowed are w_gate_up_D2F"),
    "type": (
        lambda p: p.update(w_down_FD=p["w_down_FD"].astype(float)),
        "w_gate_up_D2F: got float32, allowed is float64, as w_down_FD is",
    ),
    "order": (lambda p: p.update(w_down_FD=np.asfortranarray(p["w_down_FD"])), "in C order"),
}


@pytest.mark.parametrize("case", DENSE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dense_layer_s_arrays_are_checked_by_name(case: str, backend: str) -> None:
    mistake, message = DENSE[case]
    dense = moe.DenseFFN.init(16, 8)
    ctx = dense.forward(X)[1]
    mistake(dense.params)
    with using(backend):
        for call in (lambda: dense(X), lambda: dense.backward(X, ctx)):
            with pytest.raises(ValueError, match=re.escape(message)):
                call()
        with pytest.raises(ValueError, match=re.escape(message)):
            moe.upcycle(dense, 2)


# Contexts ---------------------------------------------------------------------------------------


def test_a_context_belongs_to_its_layer() -> None:
    one, other = layer_of(), layer_of()
    y_ND, ctx = one.forward(X)
    wrong = {
        "ctx: got one from another layer": other.forward(X)[1],
        "ctx: got one that forward did not make": replace(ctx, executed_rows=1),
        "ctx: got a NoneType, allowed is the LayerContext that forward returned": None,
    }
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            one.backward(y_ND, given)  # type: ignore[arg-type]
    one.router = replace(one.router, k=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="ctx: got one from before the layer's router"):
        one.backward(y_ND, ctx)


def test_a_dense_context_belongs_to_its_layer() -> None:
    one, other = moe.DenseFFN.init(16, 8), moe.DenseFFN.init(16, 9)
    y_ND, ctx = one.forward(X)
    with pytest.raises(ValueError, match="ctx: got one from another layer"):
        other.backward(y_ND, ctx)
    with pytest.raises(ValueError, match="ctx: got a LayerContext, allowed is the DenseContext"):
        one.backward(y_ND, layer_of().forward(X)[1])  # type: ignore[arg-type]


def test_a_context_goes_with_its_layer_through_pickle_and_through_a_step() -> None:
    layer = layer_of()
    y_ND, ctx = layer.forward(X)
    expected = layer.backward(y_ND, ctx)[0].tobytes()
    again, context = pickle.loads(pickle.dumps(layer)), pickle.loads(pickle.dumps(ctx))
    assert again.backward(y_ND, context)[0].tobytes() == expected
    assert copy.deepcopy(layer).backward(y_ND, ctx)[0].tobytes() == expected
    layer.params["gate_DE"] = layer.params["gate_DE"] * 1  # another array of the same kind
    assert layer.backward(y_ND, ctx)[0].tobytes() == expected


# What is handed over ------------------------------------------------------------------------------


ADDED = {
    "a number for the logits": ({"dlogits_NE": 1.0}, "dlogits_NE: got shape (), allowed is (4, 6)"),
    "a row for all": (
        {"dlogits_NE": np.ones((1, 6))},
        "dlogits_NE: got shape (1, 6), allowed is (4, 6)",
    ),
    "a typing error": (
        {"extra": {"weights_A": np.ones(8)}},
        "extra: got 'weights_A', allowed is one of noise_NE, weight_A",
    ),
    "a number for the weights": (
        {"extra": {"weight_A": 1.0}},
        "extra['weight_A']: got shape (), allowed is (8,)",
    ),
    "no mapping": ({"extra": np.ones(8)}, "extra: got a ndarray, allowed are arrays by name"),
}


@pytest.mark.parametrize("case", ADDED)
def test_what_is_added_to_a_gradient_is_named_and_never_stretched(case: str) -> None:
    given, message = ADDED[case]
    layer = layer_of(router="noisy_topk")
    y_ND, ctx = layer.forward(X)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.backward(y_ND, ctx, **given)  # type: ignore[arg-type]


def test_soft_moe_has_no_weights_to_add_to() -> None:
    layer = layer_of(router="soft")
    y_ND, ctx = layer.forward(X)
    with pytest.raises(ValueError, match="extra: got 'weight_A', allowed are none with this"):
        layer.backward(y_ND, ctx, extra={"weight_A": ctx.routing.weight_A})


def tensor(**more: Any) -> Any:
    """Looks like a tensor that numpy cannot read."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    return type("Tensor", (), {"__array__": refuse, **more})()


def test_a_tensor_or_a_batch_of_sequences_gets_a_sentence_that_says_what_to_do() -> None:
    layer = layer_of()
    for wrong, message in (
        (tensor(requires_grad=True), r"x_ND.detach\(\), since gradients come from backward"),
        (tensor(dtype="torch.bfloat16"), r"got dtype torch.bfloat16.*pass x_ND.float\(\)"),
        (tensor(), "x_ND: got a Tensor that numpy cannot read"),
        (np.ones((2, 4, 16)), r"x_ND.reshape\(-1, 16\) puts the tokens of all sequences"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(wrong)


@pytest.mark.parametrize("dtype", [SimpleNamespace(), "bfloat16", None, np.float16, "f4,f4", int])
def test_a_dtype_that_is_none_gets_the_usual_message(dtype: Any) -> None:
    for make in (
        lambda: layer_of(dtype=dtype),
        lambda: layer_of().astype(dtype),
        lambda: moe.DenseFFN.init(4, 4, dtype=dtype),
        lambda: moe.DenseFFN.init(4, 4).astype(dtype),
    ):
        with pytest.raises(ValueError, match=r"dtype: got .*, allowed is one of float32, float64"):
            make()
    assert check_dtype(np.float32) == check_dtype(">f4") == "float32"


def test_an_unaligned_array_is_copied() -> None:
    raw = np.zeros(4 * 6 + 1, np.uint8)[1:].view(np.float32).reshape(2, 3)
    made = check_array("x", raw, (2, 3))
    assert not raw.flags.aligned and made.flags.aligned and np.array_equal(made, raw)


def test_a_class_for_a_router_is_answered_with_an_instance() -> None:
    with pytest.raises(ValueError, match=r"got the class TopK, allowed is an instance of it, Top"):
        layer_of(router=moe.ROUTERS["topk"])
