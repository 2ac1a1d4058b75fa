"""The auxiliary loss in every published scale and scope, and the losses over devices."""

from __future__ import annotations

import numpy as np
import pytest

import moe
from moe import metrics
from moe.balance.aux import SCALES


def uniform_routing(k: int, n_experts: int = 8) -> moe.Routing:
    """Even load and even probabilities: token n prefers experts n, n + 1, ... a little."""
    order = (np.arange(64)[:, None] + np.arange(n_experts)) % n_experts
    logits_NE = np.zeros((64, n_experts))
    np.put_along_axis(logits_NE, order, np.linspace(1e-9, 0, n_experts)[None], axis=1)
    return moe.make_router("topk", k=k).choose(logits_NE)


def routing_of(expert_NK: np.ndarray, p_NE: np.ndarray) -> moe.Routing:
    """A routing with these choices and these probabilities, whether they fit or not."""
    weight_NK = np.take_along_axis(p_NE, expert_NK, axis=1)
    return moe.Routing.from_choices(
        expert_NK, weight_NK, p_NE.shape[1], logits_NE=np.log(p_NE), scores_NE=p_NE, score="softmax"
    )


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("scale", SCALES)
def test_auxiliary_loss_at_uniform_load(scale: str, k: int) -> None:
    """Worth the coefficient for any k; in the scale of flaxformer and Hugging Face, k times it."""
    routing = uniform_routing(k)
    assert metrics.max_vio(routing.load) == 0
    value = moe.make_balancer("aux", coefficient=0.01, scale=scale).loss(routing).value / 0.01
    print(f"aux at uniform load, scale {scale}, k={k}: {value:.6f}")
    expected = k if scale == "flaxformer" else 1
    assert value == pytest.approx(expected) == pytest.approx(SCALES[scale].at_uniform(k))


def test_scales_have_two_values_at_uniform_load_and_three_where_it_is_uneven(
    rng: np.random.Generator,
) -> None:
    """As the class says of the publications."""
    uneven = moe.make_router("topk", k=2).choose(rng.standard_normal((50, 8)))
    for routing, different in ((uniform_routing(2), 2), (uneven, 3)):
        balancers = (moe.make_balancer("aux", coefficient=1.0, scale=scale) for scale in SCALES)
        assert len({round(one.loss(routing).value, 9) for one in balancers}) == different


def test_scales_differ_as_their_sources_do(rng: np.random.Generator) -> None:
    """Each scale against its source's own expression, on a batch that is not uniform."""
    n, e, k = 50, 8, 3
    routing = moe.make_router("topk", k=k).choose(rng.standard_normal((n, e)))
    p_NE = routing.scores_NE
    assert p_NE is not None
    first_NE = np.eye(e)[p_NE.argmax(axis=1)]
    chosen_NE = routing.combine() > 0
    expected = {
        "switch": e * np.sum(first_NE.mean(axis=0) * p_NE.mean(axis=0)),
        "megatron": np.sum(p_NE.sum(axis=0) * chosen_NE.sum(axis=0)) * e / (k * n * n),
        "flaxformer": np.mean(chosen_NE.mean(axis=0) * p_NE.mean(axis=0)) * e**2,
        "deepspeed": np.mean(p_NE.mean(axis=0) * first_NE.mean(axis=0)) * e * e,
        "deepseek": np.sum(e / (k * n) * chosen_NE.sum(axis=0) * p_NE.mean(axis=0)),
    }
    assert set(expected) == set(SCALES)
    for scale, value in expected.items():
        balancer = moe.make_balancer("aux", coefficient=1.0, scale=scale)
        assert balancer.loss(routing).value == pytest.approx(value), scale


def test_uniform_load_is_not_the_lower_bound() -> None:
    """P = (.3, .3, .2, .2) and f = (0, 0, .5, .5) give 0.8, less than 1."""
    p_E = np.array([0.3, 0.3, 0.2, 0.2])
    routing = routing_of(np.repeat([2, 3], 5)[:, None], np.tile(p_E, (10, 1)))
    value = moe.make_balancer("aux", coefficient=1.0).loss(routing).value
    print(f"E sum f P with f and P opposed: {value:.6f}")
    assert value == pytest.approx(0.8)


@pytest.mark.parametrize(("n_experts", "k"), [(8, 1), (16, 2), (64, 8)])
def test_collapse_reaches_the_bound(n_experts: int, k: int) -> None:
    """All tokens on the same k experts: MaxVio is E / k - 1, and the loss E / k at sure gates."""
    logits_NE = np.tile(np.where(np.arange(n_experts) < k, 50.0, 0.0), (32, 1))
    routing = moe.make_router("topk", k=k).choose(logits_NE)
    max_vio = metrics.max_vio(routing.load)
    print(f"MaxVio at collapse, E={n_experts}, k={k}: {max_vio:.6f}")
    assert max_vio == pytest.approx(n_experts / k - 1)
    value = moe.make_balancer("aux", coefficient=1.0).loss(routing).value
    assert value == pytest.approx(n_experts / k)


def test_sequence_scope_is_the_mean_of_the_sequences(rng: np.random.Generator) -> None:
    logits_NE = rng.standard_normal((22, 6))
    router, one = moe.make_router("topk", k=2), moe.make_balancer("aux", coefficient=1.0)
    by_sequence = moe.make_balancer(
        "aux", coefficient=1.0, scope="sequence", sequence_length=8
    ).loss(router.choose(logits_NE))
    cuts = [logits_NE[:8], logits_NE[8:16], logits_NE[16:]]  # the last one is shorter
    parts = [one.loss(router.choose(cut)) for cut in cuts]
    assert by_sequence.value == pytest.approx(np.mean([part.value for part in parts]))
    expected_NE = np.concatenate([part.dlogits_NE for part in parts]) / 3  # type: ignore[arg-type]
    assert by_sequence.dlogits_NE == pytest.approx(expected_NE)


def test_global_scope_counts_the_last_batches_and_only_averages_this_one(
    rng: np.random.Generator,
) -> None:
    """f from the window's counts, P from this batch; the window moves on."""
    router = moe.make_router("topk", k=2)
    batches = [router.choose(rng.standard_normal((n, 6))) for n in (10, 30, 20, 15)]
    balancer = moe.make_balancer("aux", coefficient=1.0, scope="global", window=3)
    state = balancer.init_state(6)
    for seen, routing in enumerate(batches):
        window = batches[max(0, seen - 2) : seen + 1]
        count_E = sum(r.load for r in window)
        f_E = count_E / (2 * sum(r.n_tokens for r in window))
        assert routing.scores_NE is not None
        expected = 6 * float(f_E @ routing.scores_NE.mean(axis=0))
        assert balancer.loss(routing, state).value == pytest.approx(expected)
        balancer.update(state, routing)


def test_window_of_one_is_the_batch(rng: np.random.Generator) -> None:
    routing = moe.make_router("topk").choose(rng.standard_normal((20, 6)))
    balancer = moe.make_balancer("aux", scope="global", window=1)
    state = balancer.init_state(6)
    balancer.update(state, routing)
    assert balancer.loss(routing, state).value == moe.make_balancer("aux").loss(routing).value


@pytest.mark.parametrize("router", ["topk", "deepseek_v3", "deepseek_v4", "switch", "moe_pp"])
@pytest.mark.parametrize("scale", ["megatron", "switch"])
def test_f_counts_unbiased_scores(router: str, scale: str, rng: np.random.Generator) -> None:
    """A bias steers who is selected, but not what the loss counts (DeepSeek-V3, equation 18)."""
    logits_NE, chooser = rng.standard_normal((40, 8)), moe.make_router(router)
    balancer = moe.make_balancer("aux", scale=scale)
    steer = {"select_bias_E": 0.3 * rng.standard_normal(8)}
    free, steered = chooser.choose(logits_NE), chooser.choose(logits_NE, **steer)
    assert not np.array_equal(free.load, steered.load)
    assert balancer.loss(steered, steer).value == pytest.approx(balancer.loss(free).value)
    assert balancer.loss(steered).value != pytest.approx(balancer.loss(free).value)


def test_device_loss_sees_devices_only(rng: np.random.Generator) -> None:
    """Swapping the load of two experts of one device changes nothing; of two devices, it does."""
    expert_NK = rng.choice(8, (30, 1), p=[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    p_NE = np.full((30, 8), 1 / 8)
    p_NE[:, :2] += 0.05
    p_NE /= p_NE.sum(axis=1, keepdims=True)
    balancer = moe.make_balancer("device", coefficient=1.0, n_devices=4)

    def value(swap: tuple[int, int]) -> float:
        renamed = np.arange(8)
        renamed[list(swap)] = swap[::-1]
        return balancer.loss(routing_of(renamed[expert_NK], p_NE)).value

    assert value((0, 1)) == pytest.approx(value((0, 0)))
    assert value((0, 7)) != pytest.approx(value((0, 0)))


@pytest.mark.parametrize("sequence_length", [0, 16])
def test_device_and_communication_loss_at_even_load(sequence_length: int) -> None:
    """Both are worth their coefficient, where each token reaches `reach` devices."""
    routing = uniform_routing(1)
    for name, options in (
        ("device", dict(n_devices=4)),
        ("communication", dict(n_devices=4, reach=1)),
        ("communication", dict(n_devices=8, reach=1)),
    ):
        balancer = moe.make_balancer(
            name, coefficient=1.0, sequence_length=sequence_length, **options
        )
        value = balancer.loss(routing).value
        print(f"{name} {options} at even load: {value:.6f}")
        assert value == pytest.approx(1.0)


def test_a_token_is_sent_to_a_device_once() -> None:
    """Both experts on one device: one copy of the token, not two."""
    p_NE = np.full((4, 4), 0.25)
    together = routing_of(np.tile([0, 1], (4, 1)), p_NE)
    apart = routing_of(np.tile([0, 2], (4, 1)), p_NE)
    balancer = moe.make_balancer("communication", coefficient=1.0, n_devices=2, reach=1)
    assert balancer.loss(together).value == pytest.approx(1.0)
    assert balancer.loss(apart).value == pytest.approx(2.0)


def test_z_loss_value_by_hand() -> None:
    logits_NE = np.log(np.array([[1.0, 1.0, 2.0, 4.0]]))
    value = moe.make_balancer("z", coefficient=0.5).loss(moe.make_router("topk").choose(logits_NE))
    assert value.value == pytest.approx(0.5 * np.log(8) ** 2)


def test_entropy_is_highest_undecided() -> None:
    router, balancer = moe.make_router("top_p"), moe.make_balancer("entropy", coefficient=1.0)
    even = balancer.loss(router.choose(np.zeros((5, 8)))).value
    sure = balancer.loss(router.choose(1e4 * np.eye(5, 8))).value
    assert even == pytest.approx(np.log(8)) and sure == pytest.approx(0)


def test_losses_name_what_they_need() -> None:
    routing = moe.Routing.from_choices(np.zeros((3, 1), int), np.ones((3, 1)), 4)
    for name in ("aux", "device", "communication", "entropy", "zero_weighted", "importance_load"):
        with pytest.raises(ValueError, match="routing: got one without scores"):
            moe.make_balancer(name).loss(routing)
    with pytest.raises(ValueError, match="routing: got one without logits"):
        moe.make_balancer("z").loss(routing)
    for name in ("quantile", "pi"):
        with pytest.raises(ValueError, match="routing: got one without scores"):
            moe.make_balancer(name).update({"select_bias_E": np.zeros(4)}, routing)
    with pytest.raises(ValueError, match="scale: got 'mine', allowed is one of switch, megatron"):
        moe.make_balancer("aux", scale="mine")
    with pytest.raises(ValueError, match=r"reach: got 9, allowed is a whole number in 1\.\.8"):
        moe.make_balancer("communication", reach=9)
