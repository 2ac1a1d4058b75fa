"""Batches as they are: padding that counts nowhere, sequences of any length, micro-batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.balance import make_balancer_for_run
from moe.training import suits

E, D = 8, 6
PAIRS = [(name, router) for name in moe.BALANCERS for router in moe.ROUTERS if suits(name, router)]
CAUSAL = [(name, router) for name, router in PAIRS if moe.ROUTERS[router].causal]
OF_EACH = dict(reversed(CAUSAL))  # the first router that fits each balancer
JOINED = ("bias+aux(scope=sequence, sequence_length=5)", "topk")


def layer_for(balance: str, router: str) -> tuple[moe.Balancer, moe.MoELayer]:
    balancer = make_balancer_for_run(balance, None, {"sequence_length": 5})
    layer = moe.MoELayer.init(D, 5, E, router=router, k=2, dtype="float64")
    layer.buffers |= balancer.init_state(E)
    return balancer, layer


def state_of(layer: moe.MoELayer) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in layer.buffers.items()}


@pytest.mark.parametrize(("name", "router"), [*OF_EACH.items(), JOINED])
@pytest.mark.parametrize("steered", [False, True])
def test_padding_counts_nowhere(
    name: str, router: str, steered: bool, rng: np.random.Generator
) -> None:
    """Loss, gradients, at parameters too, and update are those of the batch without padding."""
    balancer, layer = layer_for(name, router)
    if steered and "select_bias_E" in layer.buffers:
        layer.buffers["select_bias_E"][:] = 0.05 * rng.standard_normal(E)
    mask_N = rng.random(20) < 0.7
    x_ND = rng.standard_normal((20, D))
    least = layer.route(x_ND[mask_N]).load.argmin()
    x_ND[~mask_N] = 9 * layer.params["gate_DE"][:, least]  # all padding goes where nobody is
    _, padded = layer.forward(x_ND)
    _, bare = layer.forward(x_ND[mask_N])
    lengths = np.array([mask_N[i : i + 5].sum() for i in range(0, 20, 5)])
    mine = balancer.loss(padded.routing, layer.buffers, mask_N=mask_N)
    truth = balancer.loss(bare.routing, layer.buffers, length_S=lengths)
    assert mine.value == pytest.approx(truth.value, rel=1e-12)
    dx_ND, grads = layer.backward(np.zeros((20, D)), padded, mine.dlogits_NE, mine.extra)
    dy_ND = np.zeros((mask_N.sum(), D))
    dbare_ND, want = layer.backward(dy_ND, bare, truth.dlogits_NE, truth.extra)
    assert np.allclose(dx_ND[mask_N], dbare_ND, rtol=1e-10, atol=1e-15)
    assert not dx_ND[~mask_N].any()
    for param, grad in grads.items():
        assert np.allclose(grad, want[param], rtol=1e-10, atol=1e-15), param
    real = padded.routing.only(mask_N)
    assert np.array_equal(real.load, bare.routing.load)
    after, expected = state_of(layer), state_of(layer)
    balancer.update(after, real)
    balancer.update(expected, bare.routing)
    for buffer, array in expected.items():
        assert np.allclose(after[buffer], array, rtol=1e-12), buffer
    unmasked = state_of(layer)
    balancer.update(unmasked, padded.routing)
    if name in ("bias", "pi", "quantile", "zero_computation", JOINED[0]):
        assert any(not np.array_equal(unmasked[b], after[b]) for b in after), "no case for a mask"


def test_padding_without_noise_s_gradient(rng: np.random.Generator) -> None:
    """Noisy top-k's smooth load has gradients at two projections: both are zero at padding."""
    balancer, layer = layer_for("importance_load", "noisy_topk")
    mask_N = np.arange(12) % 3 > 0
    _, ctx = layer.forward(rng.standard_normal((12, D)), rng)
    loss = balancer.loss(ctx.routing, layer.buffers, mask_N=mask_N)
    assert loss.dlogits_NE is not None
    for gradient in (loss.dlogits_NE, loss.extra["noise_NE"]):
        assert gradient.shape == (12, E)
        assert gradient[mask_N].any() and not gradient[~mask_N].any()
    at_A = loss.extra["weight_A"]
    assert at_A.shape == (24,) and not at_A[~mask_N[ctx.routing.token_A]].any()


@pytest.mark.parametrize("name", moe.BALANCERS)
def test_a_batch_of_padding_alone_is_an_empty_one(name: str, rng: np.random.Generator) -> None:
    router = moe.make_router(OF_EACH[name])
    routing = router.choose(rng.standard_normal((6, E)))
    loss = moe.make_balancer(name).loss(routing, mask_N=np.zeros(6, bool))
    assert loss.value == 0
    for gradient in [loss.dlogits_NE, *loss.extra.values()]:
        assert gradient is None or not gradient.any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("aux", {"scope": "sequence"}),
        ("aux", {"scope": "sequence", "scale": "switch"}),
        ("device", {"n_devices": 4}),
        ("communication", {"n_devices": 4, "reach": 2}),
    ],
)
def test_unequal_sequences_are_each_counted_by_themselves(
    name: str, options: dict[str, object], rng: np.random.Generator
) -> None:
    """The mean over sequences of what each is alone; an empty one is none."""
    logits_NE, lengths = rng.standard_normal((20, E)), [7, 1, 0, 9, 3]
    router, balancer = moe.make_router("topk"), moe.make_balancer(name, **options)
    whole = balancer.loss(router.choose(logits_NE), length_S=np.array(lengths))
    alone = replace(balancer, sequence_length=100)  # type: ignore[call-arg]
    ends = np.cumsum(lengths)
    parts = [
        alone.loss(router.choose(logits_NE[end - n : end]))
        for n, end in zip(lengths, ends, strict=True)
        if n
    ]
    assert whole.value == pytest.approx(np.mean([part.value for part in parts]))
    expected_NE = np.concatenate([part.dlogits_NE for part in parts]) / 4  # type: ignore[arg-type]
    assert whole.dlogits_NE == pytest.approx(expected_NE)
    equal = replace(balancer, sequence_length=5)  # type: ignore[call-arg]
    fives = balancer.loss(router.choose(logits_NE), length_S=[5, 5, 5, 5])
    assert fives.value == equal.loss(router.choose(logits_NE)).value


def test_masks_and_lengths_that_are_not_of_the_batch_are_refused() -> None:
    routing = moe.make_router("topk").choose(np.zeros((4, E)))
    balancer = moe.make_balancer("aux", scope="sequence")
    for wrong, words in (
        ({"mask_N": np.ones(3, bool)}, r"mask_N: got bool of shape \(3,\), allowed is bool"),
        ({"mask_N": np.ones(4)}, "mask_N: got float64"),
        ({"length_S": [2, 1]}, "length_S: got sequences of 3 tokens together, allowed are all 4"),
        ({"length_S": [5, -1]}, "length_S: got"),
        ({"length_S": [2.0, 2.0]}, "length_S: got"),
        ({"length_S": [[2], [2]]}, "length_S: got"),
    ):
        with pytest.raises(ValueError, match=words):
            balancer.loss(routing, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask_N: got bool of shape"):
        routing.only(np.ones((4, 1), bool))


# Micro-batches ----------------------------------------------------------------------------------


def test_the_step_of_three_micro_batches_is_that_of_their_sum() -> None:
    """Loads (10, 0), (4, 6), (4, 6): the sum is 18 to 12, while most batches say the opposite."""
    router, balancer = moe.make_router("topk", k=1), moe.make_balancer("bias", rate=0.01)
    parts = [router.choose(np.eye(2)[[0] * n + [1] * (10 - n)]) for n in (10, 4, 4)]
    buffers = {"select_bias_E": np.zeros(2)}
    balancer.update(buffers, moe.Routing.join(parts))
    assert buffers["select_bias_E"].tolist() == [-0.01, 0.01]
    for part in parts:  # one step after each is another method
        balancer.update(buffers, part)
    assert buffers["select_bias_E"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("name", "router"), [*OF_EACH.items(), JOINED])
def test_joined_micro_batches_are_the_batch(
    name: str, router: str, rng: np.random.Generator
) -> None:
    balancer, layer = layer_for(name, router)
    x_ND = rng.standard_normal((30, D))
    whole = layer.route(x_ND)
    joined = moe.Routing.join([layer.route(x_ND[a:b]) for a, b in ((0, 7), (7, 7), (7, 30))])
    for array in ("token_A", "expert_A", "weight_A", "rank_A", "kept_A", "logits_NE", "scores_NE"):
        mine, truth = getattr(joined, array), getattr(whole, array)
        assert (mine is None) == (truth is None)
        assert mine is None or np.array_equal(mine, truth), array
    assert all(np.array_equal(joined.saved[key], array) for key, array in whole.saved.items())
    mine, truth = state_of(layer), state_of(layer)
    balancer.update(mine, joined)
    balancer.update(truth, whole)
    assert all(np.array_equal(mine[buffer], array) for buffer, array in truth.items())


def test_joining_keeps_who_was_sent_elsewhere(rng: np.random.Generator) -> None:
    layer = moe.MoELayer.init(D, 5, E, capacity=moe.Capacity(0.5, "reroute"))
    sent = layer.route(np.ones((9, D)))
    free = replace(layer, capacity=moe.Capacity(drop="none")).route(rng.standard_normal((4, D)))
    joined = moe.Routing.join([free, sent])
    assert sent.rerouted and joined.rerouted == sent.rerouted and joined.dropped == sent.dropped
    assert np.array_equal(joined.proposed_load, free.proposed_load + sent.proposed_load)
    back = joined.only(np.arange(13) >= 4)
    assert np.array_equal(back.expert_A, sent.expert_A)
    assert np.array_equal(back.token_A, sent.token_A)


def test_routings_of_other_sizes_are_not_joined() -> None:
    router = moe.make_router("topk")
    with pytest.raises(ValueError, match=r"routings: got 2 of \[4, 5\] experts"):
        moe.Routing.join([router.choose(np.zeros((2, n))) for n in (4, 5)])
    with pytest.raises(ValueError, match="routings: got 0"):
        moe.Routing.join([])
