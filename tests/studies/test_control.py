"""Controllers on frozen scores: published figures, the shortcut against plain steps, verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.app.cure import chart as charts
from moe.app.cure import share as cure_share
from moe.app.cure.live import NOTHING, chance, live_rows, live_settings, live_words
from moe.studies.control import (
    GUESSES,
    RATES,
    ControlSettings,
    Method,
    Response,
    compare_rates,
    first_to_settle,
    judge,
    kinds,
    methods,
    respond,
    respond_all,
    rows,
    sign_rates,
)
from moe.training.runs import Run, RunSummary, run

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


def swinging(by: int, max_vio: list[float]) -> Response:
    """A response whose loads move by so many hundredths of a fair share in every batch."""
    loads = [[200 + by, 200 - by], [200 - by, 200 + by]] * (len(max_vio) // 2)
    return made(max_vio, loads)


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
    turns = made([0.5] * 10, [[3, 1], [1, 3]] * 5)
    assert turns.swing == pytest.approx(1.0) and turns.words().startswith("Swings for ever")
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
    with pytest.raises(ValueError, match=r"rate: got 1\.01"):
        methods(1.01)
    assert sign_rates(1.0) == (0.1, 1.0, 10.0)
    assert sign_rates(0.0123456) == (0.00123, 0.0123, 0.123)  # three digits, as they are written


def test_each_controller_is_what_its_title_says():
    assert methods() == methods(RATES[1]) and RATES[1] == 0.001
    *signs, proportional, pi, quantile = methods(0.003)
    for method, rate in zip(signs, (0.0003, 0.003, 0.03), strict=True):
        made_of = moe.make_balancer(method.balance)
        assert made_of.name == "bias" and made_of.rate == rate and made_of.form == "sign"
        assert method.title == f"Sign, step {rate:g}" and "same nudge" in method.idea
    made_of = moe.make_balancer(proportional.balance)
    assert (made_of.name, made_of.form, made_of.rate) == ("bias", "proportional", 0.03)
    assert proportional.title == "Proportional, step 0.03" and "gap" in proportional.idea
    assert (pi.title, pi.balance) == ("PI", "pi") and "sum of all gaps" in pi.idea
    assert (quantile.title, quantile.balance) == ("Quantile", "quantile")


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


NOT_YET = "Not there yet after 10 batches: its busiest expert is"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (made([0.5] + [0.03] * 9),
         "Even after 1 batch; at the end its busiest expert is 3.0% above the fair share."),
        (made([0.5] * 2 + [0.09] * 9), "Even after 2 batches; at the end its busiest expert is 9"),
        (made([0.03] * 10), "Even after 0 batches; at the end"),
        (made([0.5] * 3 + [0.095] * 9), "Even after 3 batches; at the end its busiest expert is 1"),
        (swinging(6, [0.104] * 10),
         "Swings for ever: experts take turns at too much work, its busiest expert is 10% above"),
        (swinging(4, [0.2] * 1002),
         "Not there yet after 1,001 batches: its busiest expert is 20% above the fair share."),
        (swinging(50, [0.03] * 10), "Even after 0 batches"),
        (made([0.3] * 9 + [0.0, 0.189]), f"{NOT_YET} 9.4% above the fair share."),
        (made([0.3] * 9 + [0.0, 0.192]), f"{NOT_YET} 10% above the fair share."),
    ],
)  # fmt: skip
def test_each_kind_of_curve_has_its_sentence(response, said):
    assert response.words().startswith(said)


NEVER = [2.0] * 10
CLOSE_AT_1, CLOSE_AT_3 = [2.0] + [0.4] * 9, [2.0] * 3 + [0.4] * 7


@pytest.mark.parametrize(
    ("slow", "fast", "truth", "said"),
    [
        (made(CLOSE_AT_3), made(CLOSE_AT_1), "faster",
         "Ten times the step comes within 50% of the fair share after 1 batch instead of 3: its "
         "busiest expert stays 40% above; with the smaller step it is 40%."),
        (made(NEVER), made(CLOSE_AT_3), "faster",
         "Ten times the step comes within 50% of the fair share after 3 batches: its busiest "
         "expert stays 40% above; with the smaller step it is 200%."),
        (made(CLOSE_AT_1), made(CLOSE_AT_3), "no", "after 3 batches instead of 1: its"),
        (made(CLOSE_AT_3), made(CLOSE_AT_3), "no", "after 3 batches instead of 3: its"),
        (made(NEVER), made(NEVER), "no", "never comes within 50% of the fair share: its busiest"),
        (made(CLOSE_AT_1), made(NEVER), "no", "never comes within 50% of the fair share: its"),
        (made(CLOSE_AT_3), swinging(6, CLOSE_AT_1), "swings",
         "after 1 batch instead of 3, but swings for ever: its busiest expert stays 40% above"),
        (made(CLOSE_AT_3), swinging(4, CLOSE_AT_1), "faster", "after 1 batch instead of 3: its"),
        (made(NEVER), swinging(6, NEVER), "swings", "fair share, and swings for ever: its busiest"),
        (made(CLOSE_AT_3), swinging(6, [2.0] + [0.0] * 9), "faster", "after 1 batch instead of 3:"),
        (made([2.0] * 1500 + [0.0] * 9), made(CLOSE_AT_1), "faster", "1 batch instead of 1,500:"),
    ],
)  # fmt: skip
def test_two_rates_are_compared_in_every_case(slow, fast, truth, said):
    verdict = compare_rates(slow, fast)
    assert verdict.truth == truth and said in verdict.words


def test_who_is_even_first_is_named():
    early, late = made([1.0] + [0.0] * 9, title="early"), made([1.0] * 2 + [0.0] * 8, title="late")
    assert first_to_settle([late, early]) == "First to be even: early, after 1 batch."
    assert first_to_settle([made(NEVER), late]) == "First to be even: late, after 2 batches."
    assert first_to_settle([made(NEVER)] * 2) == "None of them is even in the end."
    verdict = judge([made(NEVER), made(CLOSE_AT_3), made(CLOSE_AT_1), late])
    assert verdict.truth == "faster" and "after 1 batch instead of 3" in verdict.words
    assert verdict.words.endswith(" First to be even: late, after 2 batches.")


def test_the_table_has_a_row_for_each_controller():
    one, two = rows([made([2.0] * 2 + [0.03] * 8, title="one"), swinging(6, [0.4] * 10)])
    assert list(one.values()) == ["one", "2 batches", "0.030", "0.000"]
    assert list(two.values()) == ["made", "never", "0.400", "0.060"]
    assert "below 0.1" in list(one)[1]


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
    document = json.loads(cure_share.document(0.001, HARD, responses))
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


class Ended(Run):
    """A run of which only the end is known."""

    def __init__(self, max_vio: float, held_out_loss: float) -> None:
        end = RunSummary(max_vio, 0.0, 3, 0.0, 9.0, held_out_loss, 0.5, 0, 0.1)
        object.__setattr__(self, "end", end)

    def summary(self) -> RunSummary:
        return self.end


def ends(nothing: float, *losses: float) -> dict[Method, Run]:
    """Ended runs, each more even than the one before it, and one without a controller."""
    steered = {
        Method(f"controller {at}", "", "bias"): Ended(0.5 - 0.1 * at, loss)
        for at, loss in enumerate(losses)
    }
    return {**steered, NOTHING: Ended(2.0, nothing)}


@pytest.mark.parametrize(
    ("nothing", "losses", "said"),
    [
        (2.0, (1.9, 1.8), "Each controller predicts better than none at all (2.000)."),
        (2.0, (1.9, 2.0, 2.1), "the loss is 2.000, and only 1 of the 3 controllers does better:"),
        (2.0, (1.9, 1.8, 2.1), "the loss is 2.000, and only 2 of the 3 controllers do better:"),
        (2.0, (2.0, 2.1), "the loss is 2.000, and none of the 2 controllers does better: in so"),
    ],
)
def test_live_words_say_whether_steering_helped(nothing, losses, said):
    words = live_words(ends(nothing, *losses))
    assert said in words
    low, high = min(nothing, *losses), max(nothing, *losses)
    assert f"Losses on held-out data lie between {low:.3f} and {high:.3f}." in words


def test_live_words_and_rows_are_those_of_the_ends():
    made_up = ends(2.0, 1.9, 1.8)
    assert (
        "Most even at the end: controller 1, its busiest expert 40% above the fair share; least "
        "even: Nothing, 200% above."
    ) in live_words(made_up)
    assert [list(row.values()) for row in live_rows(made_up)] == [
        ["controller 0", "+50%", "3", "1.900"],
        ["controller 1", "+40%", "3", "1.800"],
        ["Nothing", "+200%", "3", "2.000"],
    ]


def test_live_runs_are_short_and_of_the_gate_that_the_rule_was_made_for():
    settings = live_settings()
    assert list(settings) == [*methods(0.001), NOTHING]
    assert settings == live_settings(0.001, 0) and NOTHING.balance == "none"
    for method, one in settings.items():
        assert one == moe.TrainSettings(
            router="deepseek_v3", steps=150, batch=512, seed=0, balance=method.balance
        )


def test_chance_alone_is_not_even():
    settings = next(iter(live_settings().values()))
    rng = np.random.default_rng(7)
    draws = [
        np.bincount(rng.integers(0, 16, 1024), minlength=16).max() / 64 - 1 for _ in range(500)
    ]
    assert chance(settings) == pytest.approx(np.mean(draws), abs=0.02)
