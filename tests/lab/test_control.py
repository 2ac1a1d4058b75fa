"""Controllers on frozen scores: published figures, the shortcut against plain steps, verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest

import moe
from moe.charts import cure as charts
from moe.lab.compare import run
from moe.lab.control import (
    GUESSES,
    RATES,
    ControlSettings,
    Method,
    Response,
    compare_rates,
    judge,
    kinds,
    methods,
    respond,
    respond_all,
    rows,
    sign_rates,
)
from moe.lab.export import cure_json
from moe.lab.live import chance, live_rows, live_settings, live_words

HARD = ControlSettings()
EASY = ControlSettings(n_tokens=256, n_experts=8, batches=60)


def sign(rate: float, settings: ControlSettings = HARD) -> Response:
    return respond(Method("sign", "", f"bias(rate={rate:g})"), settings)


@pytest.fixture(scope="module")
def responses() -> list[Response]:
    return respond_all()


def made(max_vio: list[float], loads: list[list[int]] | None = None) -> Response:
    """A response with a curve of our own."""
    load_SE = np.array(loads if loads else [[1, 1]] * len(max_vio))
    return Response(Method("made", "", "none"), load_SE, np.array(max_vio))


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
    assert quantile.method.title == "Quantile"
    assert quantile.max_vio_S[:6] == pytest.approx(
        [3.332, 0.441, 0.195, 0.125, 0.074, 0.043], abs=0.06
    )
    assert (quantile.max_vio_S[20:] < 0.05).all()
    assert all(quantile.steady_error < sign(rate).steady_error for rate in RATES)
    assert "First to be even: Quantile" in judge(responses).words


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
    swinging = made([0.5] * 10, [[3, 1], [1, 3]] * 5)
    assert swinging.swing == pytest.approx(1.0) and swinging.words().startswith("Swings for ever")
    assert made([0.5] * 10).words().startswith("Not there yet after 9 batches")


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


def test_ten_times_the_rate_is_judged_from_the_curves():
    assert compare_rates(sign(1e-3), sign(1e-2)).truth == "swings"
    assert compare_rates(sign(3e-4), sign(3e-3)).truth == "faster"
    assert compare_rates(sign(3e-4), sign(3e-4)).truth == "no"
    lost = compare_rates(sign(1e-2), sign(1e-1))
    assert lost.truth == "swings" and "never comes within 50%" in lost.words
    verdict = compare_rates(sign(1e-3), sign(1e-2))
    assert "after 26 batches instead of 279" in verdict.words
    assert verdict.reply("swings").startswith("You were right.")
    assert verdict.reply("faster").startswith("Not quite.") and verdict.reply() == verdict.words
    assert set(GUESSES) == {"faster", "swings", "no"}


def test_one_control_sets_three_rates():
    assert sign_rates(0.003) == (0.0003, 0.003, 0.03)
    titles = [method.title for method in methods(0.003)]
    assert titles[:3] == ["Sign, step 0.0003", "Sign, step 0.003", "Sign, step 0.03"]
    with pytest.raises(ValueError, match="rate: got 0"):
        methods(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(k=17), "k: got 17"),
        (dict(n_experts=1), "n_experts: got 1"),
        (dict(batches=0), "batches"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ControlSettings(**change)


def test_charts_tables_and_export_hold_the_curves(responses):
    figure = charts.step_response(responses)
    assert sum(len(table) for table in figure.data.values()) <= 4000
    for response, row in zip(responses, rows(responses)):
        assert f"{response.method.title} ends at {response.steady_error:+.1%}" in figure.alt
        assert row["MaxVio at the end"] == f"{np.mean(response.max_vio_S[-200:]):.3f}"
    bars = charts.end_loads(responses[0])
    assert [row["load"] for row in bars.data["loads"]] == pytest.approx(
        responses[0].load_SE[-1] / 256
    )
    document = json.loads(cure_json(0.001, HARD, responses))
    assert len(document["controllers"]) == 6
    assert len(document["controllers"][0]["max_vio"]) == 1001
    assert kinds(responses) == ["bias", "pi", "quantile"]


def test_live_runs_differ_by_their_controller_only():
    settings = live_settings(0.001, seed=3)
    assert [m.title for m in settings][-1] == "Nothing" and len(settings) == 7
    assert len({s.balance for s in settings.values()}) == 7
    assert len({(s.seed, s.steps, s.router, s.batch) for s in settings.values()}) == 1
    for method, one in settings.items():
        if method.balance != "pi":
            assert one.make_balancer().options() == moe.make_balancer(method.balance).options()


def test_live_words_name_the_most_even_run():
    from dataclasses import replace

    small = dict(steps=25, batch=128, d_model=16, d_expert=8)
    chosen = [
        item for item in live_settings(0.01).items() if item[0].balance in ("quantile", "none")
    ]
    runs = {method: run(replace(one, **small)) for method, one in chosen}
    ends = {method.title: one.summary() for method, one in runs.items()}
    assert ends["Quantile"].max_vio < ends["Nothing"].max_vio
    assert "Most even at the end: Quantile" in live_words(runs)
    nothing = next(method for method in runs if method.balance == "none")
    told = {**runs, nothing: replace(runs[nothing], held_out_loss=1.0)}
    assert "With none at all the loss is 1.000, and none of the 1 " in live_words(told)
    told = {**runs, nothing: replace(runs[nothing], held_out_loss=9.0)}
    assert "Each controller predicts better than none at all (9.000)." in live_words(told)
    assert live_rows(runs)[0]["Loss on held-out data"] == f"{ends['Quantile'].held_out_loss:.3f}"
    figure = charts.live(runs, live_settings(0.01))
    assert f"Nothing ends at {ends['Nothing'].max_vio:+.0%}" in figure.alt


def test_chance_alone_is_not_even():
    settings = next(iter(live_settings().values()))
    rng = np.random.default_rng(7)
    draws = [
        np.bincount(rng.integers(0, 16, 1024), minlength=16).max() / 64 - 1 for _ in range(500)
    ]
    assert chance(settings) == pytest.approx(np.mean(draws), abs=0.02)
