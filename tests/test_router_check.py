"""A custom router's mistakes are named; what only looks different is taken as it is meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import moe
from moe.capacity import Capacity
from moe.kernels.backend import BACKENDS, using
from moe.layer import MoELayer
from moe.routers.topk import TopK
from moe.routing import Routing

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
Change = Callable[[Routing], Any]


def layer_with(change: Change, **options: Any) -> MoELayer:
    """A layer whose router changes the routing that top-k made."""

    @dataclass(frozen=True)
    class Mine(TopK):
        name = "mine"

        def choose(self, logits_NE: np.ndarray, **state: Any) -> Any:  # type: ignore[override]
            return change(super().choose(logits_NE, **state))

    return MoELayer.init(4, 3, 6, router=Mine(k=2), **options)


def put(name: str, place: int, value: int) -> Change:
    def change(routing: Routing) -> Routing:
        array = getattr(routing, name).copy()
        array[place] = value
        return replace(routing, **{name: array})

    return change


def twice(routing: Routing) -> Routing:
    expert_A = routing.expert_A.copy()
    expert_A[3] = expert_A[2]
    return replace(routing, expert_A=expert_A)


def of(name: str, how: Callable[[np.ndarray], Any]) -> Change:
    return lambda routing: replace(routing, **{name: how(getattr(routing, name))})


MISTAKES: dict[str, tuple[Change, str]] = {
    "one too many": (put("expert_A", 3, 6), "got assignment 3 of expert 6, allowed are 0..5"),
    "padding": (put("expert_A", 9, -1), "got assignment 9 of expert -1, allowed are 0..5; a "),
    "far": (put("expert_A", 0, 10**6), "got assignment 0 of expert 1000000"),
    "token": (put("token_A", 4, 5), "got assignment 4 of token 5, allowed are 0..4"),
    "twice": (twice, "got assignment 3 of token 1 with expert "),
    "fewer tokens": (
        lambda routing: replace(routing, n_tokens=4),
        "got a routing of 4 tokens to 6 experts, allowed is 5 to 6",
    ),
    "more experts": (
        lambda routing: replace(routing, n_experts=7),
        "got a routing of 5 tokens to 7 experts, allowed is 5 to 6",
    ),
    "a number": (lambda routing: 3, "got a int, allowed is a Routing"),
    "fewer weights": (
        of("weight_A", lambda a: a[:-1]),
        "got weight_A of shape (9,), allowed is (A,), A as in token_A: (10,)",
    ),
    "a table": (of("expert_A", lambda a: a.reshape(5, 2)), "got expert_A of shape (5, 2)"),
    "fractions": (of("expert_A", lambda a: a + 0.5), "got expert_A of float64, allowed"),
    "beyond int32": (of("expert_A", lambda a: a + np.int64(2**40)), "got expert_A with numb"),
    "whole weights": (of("weight_A", lambda a: a.astype(int)), "got weight_A of int64"),
    "float16": (of("weight_A", lambda a: a.astype("f2")), "got weight_A of float16, allowed are"),
    "marks as numbers": (of("kept_A", lambda a: a.astype(int)), "got kept_A of int64"),
    "no ranks": (of("rank_A", lambda a: None), "got rank_A of NoneType"),
    "a list": (of("token_A", lambda a: a.tolist()), "got token_A of list, allowed is an array"),
    "other scores": (of("scores_NE", lambda a: a[:, 1:]), "got scores_NE of shape (5, 5), allowed"),
    "asked beyond": (
        lambda routing: replace(routing, asked_A=routing.expert_A + 6),
        "got asked_A out of range, allowed are 0..5",
    ),
    "one matrix": (
        lambda routing: replace(routing, dispatch_NS=np.ones((5, 6), np.float32)),
        "got combine_NS of shape (), allowed is float32 of (5, S) for both matrices",
    ),
    "slots that cannot be shared": (
        lambda routing: replace(
            routing, dispatch_NS=np.ones((5, 7), "f4"), combine_NS=np.ones((5, 7), "f4")
        ),
        "got dispatch_NS of shape (5, 7), allowed is float32 of (5, S)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("capacity", [None, Capacity(0.5, "reroute")], ids=["free", "reroute"])
def test_a_router_s_mistake_is_named(case: str, backend: str, capacity: Capacity | None) -> None:
    change, message = MISTAKES[case]
    layer = layer_with(change, capacity=capacity)
    with using(backend):
        for call in (layer, layer.forward, layer.route):
            with pytest.raises(ValueError, match=re.escape(f"router 'mine': {message}")):
                call(X)


SAME: dict[str, Change] = {
    "int64": lambda r: replace(
        r, token_A=r.token_A.astype(np.int64), expert_A=r.expert_A.astype(np.uint64)
    ),
    "strided": of("expert_A", lambda a: np.repeat(a, 2)[::2]),
    "unsigned": of("rank_A", lambda a: a.astype(np.uint8)),
    "wider weights": of("weight_A", lambda a: a.astype(np.float64)),
    "strided marks": of("kept_A", lambda a: np.repeat(a, 3)[::3]),
    "asked": lambda r: replace(r, asked_A=r.expert_A.astype(np.int64)),
}


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("backend", BACKENDS)
def test_other_types_and_layouts_of_the_same_routing_give_the_same_bits(
    case: str, backend: str
) -> None:
    plain, other = layer_with(lambda routing: routing), layer_with(SAME[case])
    with using(backend):
        (y_ND, ctx), (same_ND, context) = plain.forward(X), other.forward(X)
        assert y_ND.tobytes() == same_ND.tobytes()
        first, second = plain.backward(y_ND, ctx), other.backward(y_ND, context)
    assert first[0].tobytes() == second[0].tobytes()
    assert context.routing.expert_A.dtype == context.routing.token_A.dtype == np.int32
    assert context.routing.expert_A.flags.c_contiguous


def test_rerouting_needs_the_logits() -> None:
    layer = layer_with(of("logits_NE", lambda a: None), capacity=Capacity(0.5, "reroute"))
    with pytest.raises(ValueError, match="drop: got 'reroute' with router 'mine', whose routing"):
        layer(X)


def test_assignments_may_come_in_any_order() -> None:
    order = np.random.default_rng(1).permutation(10)
    names = ("token_A", "expert_A", "weight_A", "rank_A", "kept_A")
    mixed = layer_with(lambda r: replace(r, **{name: getattr(r, name)[order] for name in names}))
    assert np.allclose(mixed(X), layer_with(lambda routing: routing)(X), rtol=1e-6)


def test_an_index_that_changed_after_forward_is_found_by_backward() -> None:
    layer = MoELayer.init(4, 3, 6, k=2)
    y_ND, ctx = layer.forward(X)
    ctx.routing.expert_A[1] = 99
    with pytest.raises(ValueError, match=r"ctx.routing: got assignment 1 of expert 99"):
        layer.backward(y_ND, ctx)


GRADIENTS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "of the logits": (
        "backward",
        lambda self, routing, dweight_A: np.ones((5, 7)),
        "gradient of logits_NE: got shape (5, 7), allowed is (5, 6)",
    ),
    "no names": (
        "backward_state",
        lambda self, routing, dweight_A, drouted_NE, dtotal_NE: dtotal_NE,
        "got ndarray, allowed is a dict of gradients",
    ),
    "of x": (
        "project_backward",
        lambda self, x_ND, params, dmade: (np.ones((1, 4), "f4"), {"gate_DE": params["gate_DE"]}),
        "gradient of x_ND: got shape (1, 4), allowed is (5, 4)",
    ),
    "of the gate": (
        "project_backward",
        lambda self, x_ND, params, dmade: (x_ND, {"gate_DE": params["gate_DE"].T}),
        "gradient of gate_DE: got shape (6, 4), allowed is (4, 6)",
    ),
    "none of the gate": (
        "project_backward",
        lambda self, x_ND, params, dmade: (x_ND, {}),
        "got no gradient of gate_DE",
    ),
    "logits": (
        "project",
        lambda self, x_ND, params, n_experts: {"logits_NE": np.ones((5, 7))},
        "logits_NE: got shape (5, 7), allowed is (5, 6)",
    ),
    "nothing": ("project", lambda self, *given: {}, "got dict of project, allowed is a dict with"),
    "factors": ("perturb", lambda self, x_ND, rng: np.ones(4), "perturb: got shape (4,), allowed"),
}


@pytest.mark.parametrize("case", GRADIENTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_else_a_router_returns_is_checked(case: str, backend: str) -> None:
    method, returns, message = GRADIENTS[case]
    kind = type("Mine", (TopK,), {"name": "mine", method: returns})
    layer = MoELayer.init(4, 3, 6, router=kind(k=2))
    with using(backend), pytest.raises(ValueError, match=re.escape(f"router 'mine': {message}")):
        y_ND, ctx = layer.forward(X)
        layer.backward(y_ND, ctx)


def test_a_wider_gradient_of_a_router_is_taken_in_the_layer_s_type() -> None:
    def backward(self: TopK, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        return TopK.backward(self, routing, dweight_A).astype(np.float64)

    kind = type("Mine", (TopK,), {"name": "mine", "backward": backward})
    results = []
    for router in (kind(k=2), moe.make_router("topk", k=2)):
        layer = MoELayer.init(4, 3, 6, router=router)
        y_ND, ctx = layer.forward(X)
        results.append(layer.backward(y_ND, ctx)[1]["gate_DE"])
    assert results[0].dtype == np.float32 and results[0].tobytes() == results[1].tobytes()


def test_slots_of_experts_that_compute_nothing_are_refused() -> None:
    soft = moe.ROUTERS["soft"]
    kind = type("Mine", (soft,), {"name": "mine", "specials": ("copy",)})
    layer = MoELayer.init(4, 3, 6, router=kind())
    with pytest.raises(ValueError, match="router 'mine': got slots for experts that compute noth"):
        layer(X)
