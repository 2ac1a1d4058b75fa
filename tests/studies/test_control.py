"""Controllers on frozen scores: published figures, the shortcut against plain steps, verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.studies.control import (
    RATE,
    RATES,
    ControlSettings,
    Method,
    Response,
    methods,
    respond,
    respond_all,
    sign_rates,
)

HARD = ControlSettings()
EASY = ControlSettings(n_tokens=256, n_experts=8, batches=60)


def sign(rate: float, settings: ControlSettings = HARD) -> Response:
    return respond(Method("sign", "", f"bias(rate={rate:g})"), settings)


@pytest.fixture(scope="module")
def responses() -> list[Response]:
    return respond_all()


def made(
    max_vio: list[float], loads: list[list[int]] | None = None, title: str = "made"
) -> Response:
    """A response with a curve of our own."""
    load_SE = np.array(loads if loads else [[1, 1]] * len(max_vio))
    return Response(Method(title, "", "none"), load_SE, np.array(max_vio))


@pytest.mark.parametrize(
    ("rate", "after"),
    [
        (1e-4, {10: 3.324, 100: 3.215, 300: 2.992, 1000: 2.328}),
        (1e-3, {10: 3.211, 100: 2.324, 300: 0.250, 1000: 0.047}),
        (1e-2, {10: 2.172, 100: 0.203, 300: 0.203, 1000: 0.203}),
        (1e-1, {1000: 1.660}),
    ],
)
def test_sign_control_is_slow_then_best_then_swings(rate, after):
    # figures of an independent numpy script on the same scores
    response = sign(rate)
    assert response.max_vio_S[0] == pytest.approx(3.332, abs=5e-4)
    for step, max_vio in after.items():
        assert response.max_vio_S[step] == pytest.approx(max_vio, abs=5e-4)


def test_quantile_balancing_beats_every_rate(responses):
    quantile = responses[-1]
    assert quantile.method.title == "All at once"
    assert quantile.max_vio_S[:6] == pytest.approx(
        [3.332, 0.441, 0.195, 0.125, 0.074, 0.043], abs=0.06
    )
    assert (quantile.max_vio_S[20:] < 0.05).all()
    assert all(quantile.steady_error < sign(rate).steady_error for rate in RATES[::5])


@pytest.mark.parametrize("method", methods(0.01), ids=lambda m: m.title)
def test_repeating_states_give_the_loads_of_plain_steps(method):
    logits_NE = EASY.logits()
    router = moe.make_router("topk", k=EASY.k, score="sigmoid")
    balancer = moe.make_balancer(method.balance)
    buffers = {"select_bias_E": np.zeros(8, np.float32)} | balancer.init_state(8)
    loads = []
    for _ in range(EASY.batches + 1):
        routing = router.choose(logits_NE, **buffers)
        loads.append(routing.proposed_load)
        balancer.update(buffers, routing)
    response = respond(method, EASY)
    assert (response.load_SE == np.array(loads)).all()
    assert (response.load_SE.sum(axis=1) == 2 * 256).all()
    assert response.max_vio_S == pytest.approx(
        [max(load) / (sum(load) / 8) - 1 for load in response.load_SE]
    )


def test_settling_error_and_swing_are_what_they_say():
    curve = made([3.0, 0.05, 0.2, 0.09, 0.08, 0.08, 0.06, 0.06, 0.04, 0.02])
    assert curve.settled_after == 3 and curve.steady_error == pytest.approx(0.03)
    assert curve.fell_below(0.1) == 1 and curve.fell_below(0.01) is None
    assert made([3.0] * 10).settled_after is None
    assert made([0.0] * 10).settled_after == 0
    turns = made([0.5] * 10, [[3, 1], [1, 3]] * 5)
    assert turns.swing == pytest.approx(1.0)


def test_the_curve_holds_every_batch_and_every_extreme():
    response = sign(1e-2)
    curve = response.curve()
    assert len(curve) <= 120 and curve[0][:2] == (1.0, response.max_vio_S[0])
    assert curve[-1][0] == HARD.batches + 1
    assert max(high for *_, high in curve) == response.max_vio_S.max()
    assert min(low for _, _, low, _ in curve) == response.max_vio_S.min()
    tail = (
        [low for at, _, low, _ in curve if at > 500],
        [high for at, *_, high in curve if at > 500],
    )
    assert max(tail[0]) < 0.08 and min(tail[1]) > 0.2  # the band of the limit cycle


def test_a_curve_has_evenly_long_stretches_for_a_linear_axis():
    response = made([1.0, 0.5, 0.5, 0.25, 0.75, 0.0, 0.5])
    assert response.curve(log=False, points=4) == [
        (1.0, 1.0, 1.0, 1.0), (2.5, 0.5, 0.5, 0.5), (4.5, 0.5, 0.25, 0.75), (7.0, 0.25, 0.0, 0.5),
    ]  # fmt: skip


def test_ten_times_a_position_of_the_slider_is_one_as_well():
    steps = {rate for one in RATES for rate in sign_rates(one)}
    assert len(steps) == 41 and list(RATES) == sorted(RATES)


def test_one_control_sets_three_rates():
    assert sign_rates(0.003) == (0.0003, 0.003, 0.03)
    titles = [method.title for method in methods(0.003)]
    assert titles[:3] == ["Fixed push of 0.0003", "Fixed push of 0.003", "Fixed push of 0.03"]
    with pytest.raises(ValueError, match="rate: got 0"):
        methods(0)
    with pytest.raises(ValueError, match=r"rate: got 1\.01"):
        methods(1.01)
    assert sign_rates(1.0) == (0.1, 1.0, 10.0)
    assert sign_rates(0.0123456) == (0.00123, 0.0123, 0.123)  # three digits, as they are written


def test_each_controller_is_what_its_title_says():
    assert methods() == methods(RATE) and RATE == 0.001 and RATE in RATES
    *signs, proportional, pi, quantile = methods(0.003)
    for method, rate in zip(signs, (0.0003, 0.003, 0.03), strict=True):
        made_of = moe.make_balancer(method.balance)
        assert made_of.name == "bias" and made_of.rate == rate and made_of.form == "sign"
        assert method.title == f"Fixed push of {rate:g}" and "same push" in method.idea
    made_of = moe.make_balancer(proportional.balance)
    assert (made_of.name, made_of.form, made_of.rate) == ("bias", "proportional", 0.03)
    assert proportional.title == "By the gap" and "as large as the gap" in proportional.idea
    assert (pi.title, pi.balance) == (
        "By the gap and its past",
        "pi",
    ) and "sum of all gaps" in pi.idea
    assert (quantile.title, quantile.balance) == ("All at once", "quantile")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(k=17), "k: got 17"),
        (dict(k=0), "k: got 0"),
        (dict(n_experts=1), "n_experts: got 1"),
        (dict(n_experts=257), "n_experts: got 257"),
        (dict(n_tokens=0), "n_tokens: got 0"),
        (dict(n_tokens=65537), "n_tokens: got 65537"),
        (dict(batches=9), "batches: got 9"),
        (dict(batches=100_001), "batches: got 100001"),
        (dict(skew=-0.01), "skew: got -0.01"),
        (dict(skew=20.01), "skew: got 20.01"),
        (dict(seed=-1), "seed: got -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ControlSettings(**change)


@pytest.mark.parametrize(
    "change",
    [
        dict(n_experts=2, k=1, n_tokens=1, batches=10, skew=0.0, seed=0),
        dict(n_experts=256, k=256, n_tokens=65536, batches=100_000, skew=20.0),
    ],
)
def test_settings_at_their_limits_are_allowed(change):
    assert replace(ControlSettings(**change)) == ControlSettings(**change)


def test_logits_are_noise_on_a_ramp_that_favours_the_first():
    logits_NE = ControlSettings(n_tokens=4096, n_experts=3, skew=1.5, seed=4).logits()
    assert logits_NE.shape == (4096, 3) and logits_NE.dtype == np.float32
    assert logits_NE.mean(axis=0) == pytest.approx([1.5, 0, -1.5], abs=0.06)
    assert logits_NE.std(axis=0) == pytest.approx([1, 1, 1], abs=0.04)
    again = [ControlSettings(seed=seed).logits().tobytes() for seed in (4, 4, 5)]
    assert again[0] == again[1] != again[2]


def test_the_end_is_the_last_fifth_and_two_batches_at_least():
    assert made([9.0] * 16 + [1.0, 2.0, 3.0, 4.0]).steady_error == pytest.approx(2.5)
    assert made([9.0, 9.0, 1.0, 2.0]).steady_error == pytest.approx(1.5)
    moving = made([0.0] * 4, [[9, 1], [9, 1], [6, 4], [5, 5]])
    assert moving.swing == pytest.approx(0.2)  # of a fair share of five
    assert moving.ratio_SE.tolist() == [[1.8, 0.2], [1.8, 0.2], [1.2, 0.8], [1.0, 1.0]]


def test_even_means_below_a_tenth_and_to_the_end():
    assert made([0.5, 0.1, 0.0999]).settled_after == 2
    assert made([0.5, 0.0, 0.1]).settled_after is None
    assert made([0.5, 0.1]).fell_below(0.1) is None and made([0.5, 0.1]).fell_below(0.11) == 1


@pytest.mark.parametrize("number", range(6))
def test_only_the_choice_of_the_router_is_asked_for_and_it_is_the_same(number: int) -> None:
    settings = ControlSettings(n_experts=8, k=2, batches=12, seed=4)
    method = methods(0.01)[number]
    router = moe.make_router("topk", k=2, score="sigmoid")
    balancer = moe.make_balancer(method.balance)
    buffers = {"select_bias_E": np.zeros(8, np.float32)} | balancer.init_state(8)
    for load_E in respond(method, settings).load_SE:
        routing = router.choose(settings.logits(), rng=None, **buffers)
        assert routing.proposed_load.tolist() == load_E.tolist()
        balancer.update(buffers, routing)
