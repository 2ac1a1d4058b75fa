"""SMEBU's steps and losses on the gate, each worked out another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

import moe


def test_smebus_steps_are_trinitys_in_plain_loops() -> None:
    """Arcee Trinity Large: violation, tanh, learning rate, mean, momentum, bias; 5e-4, 2, 0.5."""
    rng = np.random.default_rng(0)
    balancer = moe.make_balancer("smebu")
    assert (balancer.rate, balancer.kappa, balancer.momentum) == (5e-4, 2.0, 0.5)
    router = moe.make_router("topk", k=2)
    buffers = {"select_bias_E": np.zeros(8)} | balancer.init_state(8)
    bias, momentum = [0.0] * 8, [0.0] * 8
    for _ in range(7):
        logits_NE = rng.standard_normal((100, 8)) + np.linspace(1, -1, 8)
        routing = router.choose(logits_NE, **buffers)
        load = [int((routing.expert_A == e).sum()) for e in range(8)]
        mean = sum(load) / 8
        delta = [5e-4 * math.tanh(2 * (mean - n) / mean) for n in load]
        centre = sum(delta) / 8
        momentum = [0.5 * m + 0.5 * (d - centre) for m, d in zip(momentum, delta, strict=True)]
        bias = [b + m for b, m in zip(bias, momentum, strict=True)]
        balancer.update(buffers, routing)
        assert buffers["select_bias_E"] == pytest.approx(bias, rel=1e-12, abs=1e-15)
    assert buffers["select_bias_E"].sum() == pytest.approx(0, abs=1e-15)


def test_smebu_without_its_two_ideas_is_the_sign_rule_with_its_mean_taken_off() -> None:
    """An endless kappa makes the soft step a hard one, and no momentum lets it act at once."""
    routing = moe.make_router("topk", k=1).choose(np.eye(4)[[0, 0, 1, 3, 0]])
    sign, soft = (
        moe.make_balancer(name, rate=0.01, **more)
        for name, more in (("bias", {"zero_mean": True}), ("smebu", {"kappa": 1e9, "momentum": 0}))
    )
    found = []
    for balancer in (sign, soft):
        buffers = {"select_bias_E": np.zeros(4)}
        balancer.update(buffers, routing)
        found.append(buffers["select_bias_E"])
    assert found[0] == pytest.approx(found[1], abs=1e-12)


def test_simbal_is_the_sum_over_all_pairs_of_columns() -> None:
    gate_DE = np.random.default_rng(2).standard_normal((6, 4))
    columns = gate_DE.T.tolist()
    total = sum(
        abs(sum(a * b for a, b in zip(one, other, strict=True)) - (i == j))
        for i, one in enumerate(columns)
        for j, other in enumerate(columns)
    )
    balancer = moe.make_balancer("simbal", coefficient=0.7)
    value, grads = balancer.param_loss({"gate_DE": gate_DE})
    assert value == pytest.approx(0.7 * total)
    way = np.random.default_rng(3).standard_normal(gate_DE.shape)
    high, low = (
        balancer.param_loss({"gate_DE": gate_DE + sign * 1e-7 * way})[0] for sign in (1, -1)
    )
    assert (grads["gate_DE"] * way).sum() == pytest.approx((high - low) / 2e-7, rel=1e-5)


def test_an_orthonormal_gate_costs_nothing_and_steps_lead_to_one() -> None:
    rng = np.random.default_rng(0)
    orthonormal_DE = np.linalg.qr(rng.standard_normal((16, 8)))[0]
    balancer = moe.make_balancer("simbal")
    assert balancer.param_loss({"gate_DE": orthonormal_DE})[0] < 1e-13
    gate_DE = rng.standard_normal((16, 8)) / 4
    start = balancer.param_loss({"gate_DE": gate_DE})[0]
    for step in range(2000):
        gate_DE -= 0.01 / (1 + step / 50) * balancer.param_loss({"gate_DE": gate_DE})[1]["gate_DE"]
    assert start > 5 and balancer.param_loss({"gate_DE": gate_DE})[0] < 0.2


BAD_GATES = {
    "none": (None, "gate_DE: got dtype object"),
    "a row": (np.ones(3), r"gate_DE: got shape \(3,\), allowed is \(any, any\)"),
    "whole numbers": (np.ones((3, 2), int), "gate_DE: got dtype int64"),
    "halves": (np.ones((3, 2), np.float16), "gate_DE: got dtype float16"),
}


@pytest.mark.parametrize("name", ["simbal", "simple_diverse"])
@pytest.mark.parametrize("case", BAD_GATES)
def test_a_gate_that_is_none_is_named(name: str, case: str) -> None:
    gate, words = BAD_GATES[case]
    with pytest.raises(ValueError, match=words):
        moe.make_balancer(name).param_loss({"gate_DE": gate} if gate is not None else {})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["simbal", "simple_diverse"])
def test_a_gate_may_lie_in_any_order(name: str) -> None:
    gate_DE = np.random.default_rng(0).standard_normal((9, 5))
    balancer = moe.make_balancer(name, coefficient=0.3)
    value, grads = balancer.param_loss({"gate_DE": gate_DE})
    turned, also = balancer.param_loss({"gate_DE": np.asfortranarray(gate_DE)})
    assert turned == value and np.array_equal(also["gate_DE"], grads["gate_DE"])


def test_a_mean_that_stays_where_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match="momentum: got 1, allowed is a number >= 0 and < 1"):
        moe.make_balancer("smebu", momentum=1)
    with pytest.raises(ValueError, match=r"momentum: got 1\.5, allowed is a number >= 0"):
        moe.make_balancer("smebu", momentum=1.5)
