"""Values of the balance losses, and what the bias controller does on frozen scores."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import metrics


def uniform_routing(k: int, n_experts: int = 8) -> moe.Routing:
    """Even load and even probabilities: token n prefers experts n, n + 1, ... a little."""
    order = (np.arange(64)[:, None] + np.arange(n_experts)) % n_experts
    logits_NE = np.zeros((64, n_experts))
    np.put_along_axis(logits_NE, order, np.linspace(1e-9, 0, n_experts)[None], axis=1)
    return moe.make_router("topk", k=k).choose(logits_NE)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_auxiliary_loss_at_uniform_load(k: int) -> None:
    """Megatron's scale is worth the coefficient for any k; counting all choices, k times that."""
    routing = uniform_routing(k)
    assert metrics.max_vio(routing.load) == 0
    for scale, value in (("megatron", 1), ("switch", k)):
        balancer = moe.make_balancer("aux", coefficient=0.01, scale=scale)
        assert balancer.loss(routing).value == pytest.approx(0.01 * value)


def test_uniform_load_is_not_the_lower_bound() -> None:
    """P = (.3, .3, .2, .2) and f = (0, 0, .5, .5) give 0.8, less than 1."""
    p_E, f_E = np.array([0.3, 0.3, 0.2, 0.2]), np.array([0, 0, 0.5, 0.5])
    n_tokens = 10
    routing = moe.Routing(
        n_tokens=n_tokens,
        n_experts=4,
        token_A=np.arange(n_tokens, dtype=np.int32),
        expert_A=np.repeat([2, 3], n_tokens // 2).astype(np.int32),
        weight_A=np.ones(n_tokens),
        rank_A=np.zeros(n_tokens, np.int32),
        kept_A=np.ones(n_tokens, bool),
        logits_NE=np.log(np.tile(p_E, (n_tokens, 1))),
        scores_NE=np.tile(p_E, (n_tokens, 1)),
        score="softmax",
    )
    value = moe.make_balancer("aux", coefficient=1.0).loss(routing).value
    assert value == pytest.approx(4 * float(f_E @ p_E)) == pytest.approx(0.8)


def test_z_loss_value_by_hand() -> None:
    logits_NE = np.log(np.array([[1.0, 1.0, 2.0, 4.0]]))
    value = moe.make_balancer("z", coefficient=0.5).loss(moe.make_router("topk").choose(logits_NE))
    assert value.value == pytest.approx(0.5 * np.log(8) ** 2)


def frozen_logits() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((2048, 16)) + np.linspace(2, -2, 16)


def steps_of_bias(rate: float, steps: int) -> list[float]:
    """MaxVio after each step of sign control with the gate's scores held fixed."""
    router = moe.make_router("topk", k=2, score="sigmoid")
    buffers = {"select_bias_E": np.zeros(16)}
    balancer, seen = moe.make_balancer("bias", rate=rate), []
    for _ in range(steps + 1):
        routing = router.choose(frozen_logits(), **buffers)
        seen.append(metrics.max_vio(routing.load))
        balancer.update(buffers, routing)
    return seen


def test_sign_control_on_frozen_scores() -> None:
    """1e-3 is slow but ends under 0.1; 1e-2 is quick, then a limit cycle; 0.1 jumps to and fro."""
    slow, quick, wild = steps_of_bias(1e-3, 1000), steps_of_bias(1e-2, 300), steps_of_bias(0.1, 100)
    assert slow[0] > 3 and slow[100] > 2
    assert slow[-1] < 0.1
    assert quick[100] < 0.3 and min(quick[200:]) > slow[-1]
    assert max(wild[50:]) > 1.5


def test_the_bias_moves_toward_the_starved() -> None:
    layer = moe.MoELayer.init(4, 4, 4)
    logits_NE = np.tile([3.0, 2.0, 0.0, 0.0], (10, 1))
    routing = layer.router.choose(logits_NE)
    moe.make_balancer("bias", rate=0.01).update(layer.buffers, routing)
    assert np.allclose(layer.buffers["select_bias_E"], [-0.01, -0.01, 0.01, 0.01])


def test_losses_name_what_they_need() -> None:
    routing = moe.Routing.from_choices(np.zeros((3, 1), int), np.ones((3, 1)), 4)
    with pytest.raises(ValueError, match="routing: got one without scores"):
        moe.make_balancer("aux").loss(routing)
    with pytest.raises(ValueError, match="routing: got one without logits"):
        moe.make_balancer("z").loss(routing)
    with pytest.raises(ValueError, match="balance: got 'magic'"):
        moe.make_balancer("magic")
    with pytest.raises(ValueError, match="option of balancer bias: got 'speed', allowed is one"):
        moe.make_balancer("bias", speed=1)
