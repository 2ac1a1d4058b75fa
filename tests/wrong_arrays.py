"""Wrong arrays, routers and contexts by the thousand: `python -m tests.wrong_arrays CASES SEED`.

Each case is one mistake in a layer that is right otherwise. Printed as JSON: how many were tried
and refused, those that gave a number, and those that ended in another error than ValueError. What
ends in a signal prints nothing; the parent sees the return code.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import moe
from moe.balance.base import BalanceLoss
from moe.capacity import Capacity
from moe.layer import MoELayer
from moe.routers.noisy_topk import NoisyTopK
from moe.routers.topk import TopK
from moe.routing import Routing

Rng = np.random.Generator
Mistake = tuple[str, Callable[[], Any]]  # what is wrong, and the call that has to refuse it

N, D, F, E = 7, 6, 5, 8
LIMIT = Capacity(0.5, "order")
LIST_NAMES = ("token_A", "expert_A", "weight_A", "rank_A", "kept_A")


def pick(rng: Rng, choices: Any) -> Any:
    choices = list(choices)
    return choices[int(rng.integers(len(choices)))]


def good_layer(rng: Rng, router: Any = None) -> MoELayer:
    """A layer of some router, with biases and shared experts at times."""
    activation = pick(rng, ["swiglu", "swiglu", "relu"])
    layer = MoELayer.init(
        D, F, E, router or pick(rng, moe.ROUTERS), k=2, n_shared=int(rng.integers(2)),
        activation=activation, seed=int(rng.integers(100)), dtype=pick(rng, ["float32", "float64"]),
        capacity=LIMIT if rng.random() < 0.2 else None,
    )  # fmt: skip
    up = layer.params["w_gate_up_ED2F" if activation == "swiglu" else "w_up_EDF"]
    if rng.random() < 0.3:
        bias = "b_gate_up_E2F" if activation == "swiglu" else "b_up_EF"
        layer.params[bias] = np.zeros((len(up), up.shape[2]), layer.dtype)
        layer.params["b_down_ED"] = np.zeros((len(up), D), layer.dtype)
    return layer


def good_x(rng: Rng) -> np.ndarray:
    return rng.standard_normal((N, D))


# One array --------------------------------------------------------------------------------------


def wrong_shape(rng: Rng, array: np.ndarray) -> tuple[str, np.ndarray]:
    axis = int(rng.integers(array.ndim))
    size = array.shape[axis]
    turned = np.ascontiguousarray(array.swapaxes(-1, -2)) if array.ndim > 1 else array[:0]
    made = {
        "cut": np.take(array, np.arange(int(rng.integers(size))), axis),
        "stretched": np.take(array, np.arange(size + int(rng.integers(1, 9))) % size, axis),
        "an axis more": array[None],
        "an axis less": np.ascontiguousarray(array.sum(axis=axis)),
        "flat": array.reshape(-1)[: array.size - (array.ndim == 1)].copy(),
        "empty": array[:0].copy(),
        "turned": turned,
    }
    how = pick(rng, [name for name, one in made.items() if one.shape != array.shape])
    return f"{how} {array.shape} to {made[how].shape}", made[how]


def wrong_type(rng: Rng, array: np.ndarray) -> tuple[str, Any]:
    other = "float64" if array.dtype == np.float32 else "float32"
    kinds = ["float16", "int64", "int8", "bool", "complex64", "object", ">f4", ">f8", other]
    made: dict[str, Callable[[], Any]] = {kind: lambda k=kind: array.astype(k) for kind in kinds}
    made |= {
        "list": array.tolist, "None": lambda: None, "number": lambda: 1.0, "text": lambda: "w",
        "masked": lambda: np.ma.masked_array(array), "its name": lambda: array.dtype,
        "structured": lambda: np.zeros(array.shape, [("w", array.dtype)]),
    }  # fmt: skip
    how = pick(rng, made)
    return how, made[how]()


def wrong_layout(rng: Rng, array: np.ndarray) -> tuple[str, np.ndarray]:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    made = {
        "F order": np.asfortranarray(array),
        "strided": np.repeat(array, 2, axis=-1)[..., ::2],
        "reversed": np.ascontiguousarray(array[::-1])[::-1],
        "unaligned": shifted,
    }
    fits = [
        name for name, one in made.items() if not (one.flags.c_contiguous and one.flags.aligned)
    ]
    how = pick(rng, fits)
    return how, made[how]


def wrong_array(rng: Rng, array: np.ndarray) -> tuple[str, Any]:
    return pick(rng, [wrong_shape, wrong_shape, wrong_type, wrong_layout])(rng, array)


# Layers -----------------------------------------------------------------------------------------


def call(rng: Rng, layer: Any, x_ND: np.ndarray, context: Any) -> Mistake:
    """One of the ways into the kernels."""
    ways: dict[str, Callable[[], Any]] = {
        "call": lambda: layer(x_ND),
        "forward": lambda: layer.forward(x_ND),
        "backward": lambda: layer.backward(x_ND, context),
    }
    if isinstance(layer, MoELayer):
        ways["route"] = lambda: layer.route(x_ND)
    return pick(rng, ways.items())


def wrong_param(rng: Rng) -> Mistake:
    layer, x_ND = good_layer(rng), good_x(rng)
    context = layer.forward(x_ND)[1]
    name = pick(rng, layer.params)
    how, layer.params[name] = wrong_array(rng, layer.params[name])
    way, run = call(rng, layer, x_ND, context)
    return f"{layer.router.name} {name} {how}: {way}", run


def wrong_buffer(rng: Rng) -> Mistake:
    router = pick(rng, [name for name, kind in moe.ROUTERS.items() if kind.buffers])
    layer, x_ND = good_layer(rng, router), good_x(rng)
    context = layer.forward(x_ND)[1]
    name = pick(rng, layer.buffers)
    how, wrong = wrong_array(rng, layer.buffers[name])
    if how in ("float32", "float64"):  # a balancer may keep either
        how, wrong = wrong_shape(rng, layer.buffers[name])
    layer.buffers[name] = wrong
    way, run = call(rng, layer, x_ND, context)
    return f"{router} {name} {how}: {way}", run


def wrong_names(rng: Rng) -> Mistake:
    layer, x_ND = good_layer(rng), good_x(rng)
    context = layer.forward(x_ND)[1]
    optional = ("b_", "shared_gate")
    needed = [name for name in layer.params if not name.startswith(optional)]
    name, how = pick(rng, needed), pick(rng, ["missing", "renamed", "more", "more buffers", "none"])
    if how == "missing":
        del layer.params[name]
    elif how == "renamed":
        layer.params[name.lower() + "x"] = layer.params.pop(name)
    elif how == "more":
        more = pick(rng, ["w_up", "gate_ED", "bias", "w_gate_D2F", 7])
        layer.params[more] = layer.params[name]
    elif how == "more buffers":
        more = pick(rng, ["logits_NE", "rng", "token_ids", "previous_NE", "gate_NE", "count_E", 7])
        more = "logits_NE" if more == "gate_NE" and not layer.router.projections else more
        layer.buffers[more] = np.zeros(E + 1)
    else:
        layer.params = pick(rng, [{}, None, [], list(layer.params.values())])
    way, run = call(rng, layer, x_ND, context)
    return f"{layer.router.name} {name} {how}: {way}", run


def wrong_options(rng: Rng) -> Mistake:
    layer, x_ND = good_layer(rng, "topk"), good_x(rng)
    context = layer.forward(x_ND)[1]
    other = "relu" if layer.activation == "swiglu" else "swiglu"
    made: dict[str, tuple[str, Any]] = {
        "k": ("router", moe.make_router("topk", k=E + 1)),
        "another router": ("router", moe.make_router("noisy_topk")),
        "specials": ("router", moe.make_router("moe_pp")),
        "gate bias": ("router", moe.make_router("topk", bias=True)),
        "class": ("router", TopK),
        "name": ("router", "topk"),
        "no router": ("router", None),
        "activation": ("activation", other),
        "no activation": ("activation", pick(rng, ["tanh", None, 3, ["swiglu"], "swiglu(a=1)"])),
        "capacity": ("capacity", pick(rng, [None, 1.0, "order", Capacity])),
        "devices": ("capacity", Capacity(1.0, "sequence", n_devices=3)),
        "buffers": ("buffers", pick(rng, [None, [], {}])),
    }
    how = pick(rng, made)
    setattr(layer, *made[how])
    way, run = call(rng, layer, x_ND, context)
    return f"{how}: {way}", run


def wrong_dense(rng: Rng) -> Mistake:
    activation = pick(rng, ["swiglu", "relu"])
    dense = moe.DenseFFN.init(D, F, activation, dtype=pick(rng, ["float32", "float64"]))
    x_ND = good_x(rng)
    context = dense.forward(x_ND)[1]
    name = pick(rng, dense.params)
    how = pick(rng, ["array", "array", "array", "name", "more", "activation"])
    if how == "array":
        how, dense.params[name] = wrong_array(rng, dense.params[name])
    elif how == "name":
        dense.params["w"] = dense.params.pop(name)
    elif how == "more":
        dense.params["b_down_D"] = np.zeros(D)
    else:
        dense.activation = "relu" if activation == "swiglu" else "swiglu"
    way, run = call(rng, dense, x_ND, context)
    return f"dense {name} {how}: {way}", run


# Routers ----------------------------------------------------------------------------------------


class Spoilt:
    """A router whose results are spoilt by functions that a case sets."""

    name = "broken"
    spoil = staticmethod(lambda name, value: value)

    def choose(self, logits_NE: np.ndarray, **state: Any) -> Any:  # type: ignore[override]
        return self.spoil("choose", super().choose(logits_NE, **state))

    def project(self, *given: Any) -> Any:
        return self.spoil("project", super().project(*given))

    def backward(self, *given: Any) -> Any:
        return self.spoil("backward", super().backward(*given))

    def backward_state(self, *given: Any) -> Any:
        return self.spoil("backward_state", super().backward_state(*given))

    def project_backward(self, *given: Any) -> Any:
        return self.spoil("project_backward", super().project_backward(*given))

    def perturb(self, x_ND: np.ndarray, rng: Any) -> Any:
        return self.spoil("perturb", None)


@dataclass(frozen=True)
class Broken(Spoilt, TopK):
    """Top-k with spoilt results."""


@dataclass(frozen=True)
class BrokenNoise(Spoilt, NoisyTopK):
    """Noisy top-k, which has a second projection, with spoilt results."""


def spoilt_routing(rng: Rng, routing: Routing) -> Any:
    """A routing with one mistake, its assignments in any order."""
    order = rng.permutation(routing.n_assignments)
    if rng.random() < 0.7:
        routing = replace(routing, **{n: getattr(routing, n)[order] for n in LIST_NAMES})
    place = int(rng.integers(routing.n_assignments))
    how = pick(
        rng, ["index", "index", "twice", "length", "type", "axes", "counts", "object", "tables"]
    )
    if how == "index":
        name = pick(rng, ["token_A", "expert_A"])
        end = N if name == "token_A" else E
        value = pick(rng, [-1, -2, end, end + 1, 10**6, 2**31 - 1, -(2**31)])
        array = getattr(routing, name).astype(pick(rng, ["int32", "int64"]))
        array[place] = value
        return replace(routing, **{name: array})
    if how == "twice":
        return replace(
            routing,
            **{n: np.append(getattr(routing, n), getattr(routing, n)[place]) for n in LIST_NAMES},
        )
    name = pick(rng, LIST_NAMES)
    array = getattr(routing, name)
    if how == "length":
        wrong = array[: int(rng.integers(array.size))] if rng.random() < 0.5 else np.tile(array, 2)
        return replace(routing, **{name: wrong})
    if how == "type":
        kinds = {"weight_A": ["int64", "float16", "object", "complex64"], "kept_A": ["int8", "f4"]}
        kind = pick(rng, kinds.get(name, ["float32", "float64", "bool", "object"]))
        wrong = pick(rng, [array.astype(kind), array.tolist(), None])
        return replace(routing, **{name: wrong})
    if how == "axes":
        wrong = pick(rng, [array[None], array[:, None], array.reshape(N, -1), array[0]])
        return replace(routing, **{name: wrong})
    if how == "counts":
        count, by = pick(rng, ["n_tokens", "n_experts"]), pick(rng, [-3, -1, 1, 5])
        return replace(routing, **{count: getattr(routing, count) + by})
    if how == "tables":
        table = pick(rng, ["logits_NE", "scores_NE"])
        wrong = wrong_shape(rng, getattr(routing, table))[1]
        return replace(routing, **{table: wrong})
    wrong = pick(
        rng, [None, 3, (routing.expert_A, routing.weight_A), routing.expert_A, {}, Routing]
    )
    return wrong


def wrong_router(rng: Rng) -> Mistake:
    where = pick(rng, ["choose"] * 6 + ["project", "backward", "state", "inputs", "perturb"])
    kind = type("Broken", (BrokenNoise if where == "state" else Broken,), {})
    layer, x_ND = good_layer(rng, kind(k=2)), good_x(rng)

    def spoil(name: str, value: Any) -> Any:
        if name == where == "choose":
            value = spoilt_routing(rng, value)
        elif name == where == "project":
            value["logits_NE"] = wrong_result(rng, value["logits_NE"])
            value = pick(rng, [value, value, value, {}, None])
        elif name == where == "backward":
            value = wrong_result(rng, value)
        elif name == "backward_state" and where == "state":
            value = pick(rng, [{}, None, {"noise_NE": wrong_result(rng, value["noise_NE"])}])
        elif name == "project_backward" and where == "inputs":
            dx_ND, grads = value
            wrong = {**grads, "gate_DE": wrong_result(rng, grads["gate_DE"])}
            value = pick(rng, [(wrong_result(rng, dx_ND), grads), (dx_ND, wrong), (dx_ND, {})])
        elif name == where == "perturb":
            value = wrong_result(rng, x_ND)
        return value

    kind.spoil = staticmethod(spoil)  # type: ignore[attr-defined]

    def run() -> Any:
        y_ND, context = layer.forward(x_ND)
        return layer.backward(y_ND, context)

    return f"router, {where}", run


def wrong_result(rng: Rng, array: np.ndarray) -> Any:
    wrong = wrong_shape(rng, array)[1]
    return pick(rng, [wrong, wrong, wrong, array.astype(np.int64), "no", array.astype("float16")])


# What comes with a call ---------------------------------------------------------------------------


def wrong_context(rng: Rng) -> Mistake:
    layer, x_ND = good_layer(rng), good_x(rng)
    y_ND, context = layer.forward(x_ND)
    how = pick(rng, ["another", "copy", "object", "dense", "grown", "router", "routing"])
    wrong: Any = context
    if how == "another":
        d_expert = pick(rng, [F, F + 3])
        other = MoELayer.init(D, d_expert, E, layer.router, dtype=layer.dtype.name, seed=1)
        wrong = other.forward(x_ND)[1]
    elif how == "copy":
        name = pick(rng, ["x_ND", "rows_ND", "weight_S", "y_SD", "h_SH"])
        wrong = replace(context, **{name: wrong_shape(rng, getattr(context, name))[1]})
    elif how == "object":
        wrong = pick(rng, [None, {}, context.routing, vars(context), MoELayer, "ctx"])
    elif how == "dense":
        wrong = moe.DenseFFN.init(D, F).forward(x_ND)[1]
    elif how == "grown":
        wide = MoELayer.init(
            D, F + 1, E, layer.router, activation=layer.activation, dtype=layer.dtype.name
        )
        layer.params = wide.params
    elif how == "router":
        layer.router = moe.make_router("switch" if layer.router.name != "switch" else "topk")
    else:
        name = pick(rng, ["token_A", "expert_A"])
        array = getattr(context.routing, name)
        if not array.size:
            return "no context", lambda: layer.backward(y_ND, None)
        array[int(rng.integers(array.size))] = pick(rng, [-1, 10**6, 10**9])
    ways: dict[str, Callable[[], Any]] = {"backward": lambda: layer.backward(y_ND, wrong)}
    if how not in ("routing", "copy"):
        ways["outputs"] = lambda: layer.expert_outputs(wrong, 0)
    way, run = pick(rng, ways.items())
    return f"{layer.router.name} context {how}: {way}", run


def wrong_gradient(rng: Rng) -> Mistake:
    layer, x_ND = good_layer(rng), good_x(rng)
    y_ND, context = layer.forward(x_ND)
    width = layer.params["gate_DE"].shape[1] if "gate_DE" in layer.params else E
    loss = BalanceLoss(0.0, np.zeros((N, width)))
    how = pick(rng, ["dy_ND", "dlogits_NE", "extra", "name", "mapping"])
    if how == "dy_ND":
        wrong = wrong_input(rng, y_ND)
        return f"dy_ND {np.shape(wrong)}", lambda: layer.backward(wrong, context)
    if how == "dlogits_NE":
        wrong = wrong_input(rng, np.asarray(loss.dlogits_NE))
        return f"dlogits_NE {np.shape(wrong)}", lambda: layer.backward(y_ND, context, wrong)
    extra: Any = {pick(rng, ["weights_A", "weight", "logits_NE", "gate_NE", 3, None]): y_ND}
    if how == "extra":
        extra = {"weight_A": wrong_input(rng, context.routing.weight_A)}
    elif how == "mapping":
        extra = pick(rng, [1.0, [("weight_A", context.routing.weight_A)], "weight_A", y_ND])
    return f"{layer.router.name} extra, {how}", lambda: layer.backward(y_ND, context, None, extra)


def wrong_input(rng: Rng, array: np.ndarray) -> Any:
    """What may not be stretched or converted to the array; layouts do not matter here."""
    if not array.size or rng.random() < 0.5:
        return pick(rng, [1.0, np.zeros(()), np.zeros((2, 3, 1, 1)), "no", object()])
    kind = pick(rng, ["int64", "float16", "complex64", "object", "bool"])
    return pick(rng, [wrong_shape(rng, array)[1], array.astype(kind)])


def wrong_x(rng: Rng) -> Mistake:
    layer: Any = pick(rng, [good_layer(rng), moe.DenseFFN.init(D, F)])
    x_ND = good_x(rng)
    wrong = wrong_input(rng, x_ND)
    if isinstance(wrong, np.ndarray) and wrong.ndim == 2 and wrong.shape[1] == D:
        wrong = wrong.astype(object)  # fewer tokens are no mistake
    if rng.random() < 0.3:
        wrong = x_ND.copy()
        wrong[int(rng.integers(N)), int(rng.integers(D))] = pick(rng, [np.nan, np.inf, -np.inf])
    return f"x_ND {np.shape(wrong)}", pick(
        rng, [lambda: layer(wrong), lambda: layer.forward(wrong)]
    )


def wrong_from_arrays(rng: Rng) -> Mistake:
    order = pick(rng, ["torch", "transformers", "llama4", "gpt_oss"])
    shapes: dict[str, tuple[int, ...]] = {
        "torch": {"gate_proj": (E, F, D), "up_proj": (E, F, D), "down_proj": (E, D, F)},
        "transformers": {"gate_up_proj": (E, 2 * F, D), "down_proj": (E, D, F)},
        "llama4": {"gate_up_proj": (E, D, 2 * F), "down_proj": (E, F, D)},
        "gpt_oss": {"gate_up_proj": (E, D, 2 * F), "down_proj": (E, F, D)},
    }[order]  # type: ignore[assignment]
    given: dict[Any, Any] = {name: np.zeros(shape) for name, shape in shapes.items()}
    given["gate"] = np.zeros((E, D))
    name, how = pick(rng, given), pick(rng, ["array", "array", "missing", "more", "order", "none"])
    if how == "array":
        how, given[name] = wrong_shape(rng, given[name])
    elif how == "missing":
        del given[name]
    elif how == "more":
        given[pick(rng, ["gate_DE", "weight", "up", "shared_up_proj", "gate_up"])] = given[name]
    elif how == "order":
        order = pick(rng, ["pytorch", None, 3, "moe"])
    else:
        given[name] = pick(rng, [None, "w", [1, 2, "w"], [given[name][0], given[name][0][:1]], {}])
    return f"{order} {name} {how}", lambda: MoELayer.from_arrays(given, order)


KINDS: Mapping[Callable[[Rng], Mistake], int] = {
    wrong_param: 6, wrong_buffer: 2, wrong_names: 2, wrong_options: 2, wrong_dense: 2,
    wrong_router: 6, wrong_context: 3, wrong_gradient: 2, wrong_x: 1, wrong_from_arrays: 2,
}  # fmt: skip


def main(n_cases: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, times in KINDS.items() for _ in range(times)]
    refused: Counter[str] = Counter()
    numbers, others = [], []
    for case in range(n_cases):
        kind = kinds[case % len(kinds)]
        what, run = kind(rng)
        try:
            run()
        except ValueError:
            refused[kind.__name__] += 1
        except Exception as error:
            others.append(f"{what}: {type(error).__name__}: {error}")
        else:
            numbers.append(what)
    return {
        "tried": n_cases, "refused": sum(refused.values()), "by kind": refused,
        "numbers": numbers, "others": others,
    }  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
