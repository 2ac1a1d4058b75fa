"""Importance and load of 2017: values, thresholds, and gradients through the noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import moe
from moe.balance.importance_load import smooth_load
from tests.gradients import worst_error


@pytest.fixture
def layer(rng: np.random.Generator) -> moe.MoELayer:
    """A noisy layer whose noise differs from expert to expert."""
    layer = moe.MoELayer.init(6, 5, 7, router="noisy_topk", k=3, dtype="float64")
    layer.params["noise_DE"][:] = rng.standard_normal((6, 7))
    return layer


def test_smooth_load_follows_the_paper(layer: moe.MoELayer, rng: np.random.Generator) -> None:
    """P(x, i) = Phi((x W_g - kth_excluding(H, k, i)) / softplus(x W_n)), one entry at a time."""
    routing = layer.route(rng.standard_normal((9, 6)), rng=rng)
    noisy_NE, scale_NE = routing.saved["noisy_NE"], routing.saved["scale_NE"]
    probability_NE = smooth_load(routing, 3)[0]
    assert routing.logits_NE is not None
    for n in range(9):
        for e in range(7):
            others = np.sort(np.delete(noisy_NE[n], e))[::-1]
            z = (routing.logits_NE[n, e] - others[3 - 1]) / scale_NE[n, e]
            assert probability_NE[n, e] == pytest.approx(norm.cdf(z))


def test_smooth_load_is_the_chance_of_being_chosen(
    layer: moe.MoELayer, rng: np.random.Generator
) -> None:
    """Drawing one expert's noise again, many times, chooses it that often."""
    routing = layer.route(rng.standard_normal((1, 6)), rng=rng)
    noisy_E, scale_E = routing.saved["noisy_NE"][0], routing.saved["scale_NE"][0]
    probability_E = smooth_load(routing, 3)[0][0]
    assert routing.logits_NE is not None
    for e in range(7):
        again_M = routing.logits_NE[0, e] + scale_E[e] * rng.standard_normal(20_000)
        bar = np.sort(np.delete(noisy_E, e))[-3]
        assert np.mean(again_M > bar) == pytest.approx(probability_E[e], abs=0.02)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("importance", "load"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_gradients_through_the_layer(
    layer: moe.MoELayer, rng: np.random.Generator, importance: float, load: float, ddof: int
) -> None:
    """x, gate and noise: the loss's exact gradient, through weights, thresholds and scales."""
    x_ND = rng.standard_normal((15, 6))
    balancer = moe.make_balancer(
        "importance_load", coefficient=1.0, importance=importance, load=load, ddof=ddof
    )

    def value() -> float:
        return balancer.loss(layer.route(x_ND, rng=np.random.default_rng(3))).value

    y_ND, ctx = layer.forward(x_ND, rng=np.random.default_rng(3))
    loss = balancer.loss(ctx.routing)
    dx_ND, grads = layer.backward(np.zeros_like(y_ND), ctx, loss.dlogits_NE, loss.extra)
    names = ("gate_DE", "noise_DE")
    error = worst_error(
        value,
        {n: layer.params[n] for n in names} | {"x": x_ND},
        {n: grads[n] for n in names} | {"x": dx_ND},
        probes=30,
    )
    print(f"importance {importance}, load {load}: largest error {error:.1e}")
    assert error < 1e-6
    assert np.abs(grads["noise_DE"]).max() > 1e-4


def test_without_noise_the_load_is_a_count(layer: moe.MoELayer, rng: np.random.Generator) -> None:
    routing = layer.route(rng.standard_normal((15, 6)))
    loss = moe.make_balancer("importance_load", coefficient=1.0, importance=0.0).loss(routing)
    load_E = routing.load
    assert loss.value == pytest.approx(load_E.var() / load_E.mean() ** 2)
    assert loss.dlogits_NE is None and not loss.extra["weight_A"].any()


def test_all_experts_chosen_leaves_nothing_to_balance() -> None:
    router = moe.make_router("noisy_topk", k=4)
    routing = router.choose(np.ones((6, 4)), rng=np.random.default_rng(0))
    loss = moe.make_balancer("importance_load", importance=0.0).loss(routing)
    assert loss.value == 0 and loss.dlogits_NE is None


def test_one_expert_has_no_variation() -> None:
    routing = moe.make_router("noisy_topk", k=1).choose(np.ones((6, 1)))
    for ddof in (0, 1):
        loss = moe.make_balancer("importance_load", ddof=ddof).loss(routing)
        assert loss.value == 0 and not loss.extra["weight_A"].any()


def test_it_repairs_the_noisy_layer() -> None:
    """The shape of the paper's table 6: without a loss one expert gets many times its share."""
    ends = {}
    for balance in ("none", "importance_load"):
        settings = moe.TrainSettings(router="noisy_topk", balance=balance, steps=100, batch=512)
        ends[balance] = np.mean([r.max_vio for r in list(moe.train(settings))[-20:]])
    print("noisy top-k, MaxVio after 100 steps: " + str({k: f"{v:.2f}" for k, v in ends.items()}))
    assert ends["none"] > 3 and ends["importance_load"] < 0.6
