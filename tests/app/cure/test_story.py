"""What the page Cure says of step responses and of short runs, in every case."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.app.cure import chart as charts
from moe.app.cure import share as cure_share
from moe.app.cure.story import (
    GUESSES,
    NOTHING,
    chance,
    compare_rates,
    first_to_settle,
    judge,
    kinds,
    live_rows,
    live_settings,
    live_words,
    response_words,
    rows,
)
from moe.studies.control import Method, Response, methods, respond_all
from moe.training.runs import Run, RunSummary, run
from tests.studies.test_control import HARD, made, sign


@pytest.fixture(scope="module")
def responses() -> list[Response]:
    return respond_all()


def test_the_first_to_be_even_and_the_swinging_are_named(responses):
    assert "First to be even: Quantile" in judge(responses).words
    turns = made([0.5] * 10, [[3, 1], [1, 3]] * 5)
    assert response_words(turns).startswith("Swings for ever")
    assert response_words(made([0.5] * 10)).startswith("Not there yet after 9 batches")


def swinging(by: int, max_vio: list[float]) -> Response:
    """A response whose loads move by so many hundredths of a fair share in every batch."""
    loads = [[200 + by, 200 - by], [200 - by, 200 + by]] * (len(max_vio) // 2)
    return made(max_vio, loads)


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
    assert response_words(response).startswith(said)


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
