"""What the page Cure says of step responses and of short runs, in every case."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import moe
from moe.app.cure import chart as charts
from moe.app.cure import share as cure_share
from moe.app.cure.story import (
    GUESSES,
    LIVE_NAMES,
    NOTHING,
    against_nothing,
    chance,
    first_to_settle,
    judge,
    kinds,
    live_rows,
    live_settings,
    live_words,
    response_words,
    rows,
    seconds_per_step,
    waiting_words,
)
from moe.studies.control import Method, Response, methods, respond_all
from moe.training.runs import Run, RunSummary, run
from tests.studies.test_control import HARD, made, sign


@pytest.fixture(scope="module")
def responses() -> list[Response]:
    return respond_all()


def test_the_first_to_be_even_and_the_swinging_are_named(responses):
    assert first_to_settle(responses).startswith("First to be even: All at once")
    turns = made([0.5] * 10, [[3, 1], [1, 3]] * 5)
    assert response_words(turns).startswith("Never rests: experts take turns")
    assert response_words(made([0.5] * 10)).startswith("Not there yet after 9 steps")


def swinging(by: int, max_vio: list[float]) -> Response:
    """A response whose loads move by so many hundredths of a fair share in every batch."""
    loads = [[200 + by, 200 - by], [200 - by, 200 + by]] * (len(max_vio) // 2)
    return made(max_vio, loads)


def pair(slow: Response, fast: Response) -> list[Response]:
    """As the page holds them, with a third that is not looked at."""
    return [made([9.0] * 10), slow, fast]


def test_ten_times_the_rate_is_judged_from_the_curves():
    assert judge(pair(sign(1e-3), sign(1e-2))).truth == "swings"
    assert judge(pair(sign(3e-4), sign(3e-3))).truth == "faster"
    assert judge(pair(sign(3e-4), sign(3e-4))).truth == "no"
    lost = judge(pair(sign(1e-2), sign(1e-1)))
    assert lost.truth == "swings" and "never comes close to even, and never" in lost.words
    assert judge(pair(sign(1e-3), sign(1e-2))).words == (
        "Ten times the push comes close to even 11 times sooner (26 steps, not 279), but never "
        "settles: the busiest expert stays 14% too busy. Your push ends at 3.9%."
    )
    assert set(GUESSES) == {"faster", "swings", "no"}


NOT_YET = "Not there yet after 10 steps: its busiest expert is"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (made([0.5] + [0.03] * 9),
         "Even after 1 step; at the end its busiest expert is 3.0% above the fair share."),
        (made([0.5] * 2 + [0.09] * 9), "Even after 2 steps; at the end its busiest expert is 9"),
        (made([0.03] * 10), "Even after 0 steps; at the end"),
        (made([0.5] * 3 + [0.095] * 9), "Even after 3 steps; at the end its busiest expert is 1"),
        (swinging(6, [0.104] * 10),
         "Never rests: experts take turns at too much work; its busiest expert is 10% above"),
        (swinging(4, [0.2] * 1002),
         "Not there yet after 1,001 steps: its busiest expert is 20% above the fair share."),
        (swinging(50, [0.03] * 10), "Even after 0 steps"),
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
         "Ten times the push comes close to even 3 times sooner (1 step, not 3): the busiest "
         "expert ends 40% too busy. Your push ends at 40%."),
        (made(NEVER), made(CLOSE_AT_3), "faster",
         "Ten times the push comes close to even after 3 steps, which yours never does: the "
         "busiest expert ends 40% too busy. Your push ends at 200%."),
        (made(CLOSE_AT_1), made(CLOSE_AT_3), "no", "close to even later (3 steps, not 1): the"),
        (made(CLOSE_AT_3), made(CLOSE_AT_3), "no", "close to even just as soon (3 steps): the"),
        (made(NEVER), made(NEVER), "no", "push never comes close to even: the busiest expert"),
        (made(CLOSE_AT_1), made(NEVER), "no", "push never comes close to even: the busiest"),
        (made(CLOSE_AT_3), swinging(6, CLOSE_AT_1), "swings",
         "sooner (1 step, not 3), but never settles: the busiest expert stays 40% too busy."),
        (made(CLOSE_AT_3), swinging(4, CLOSE_AT_1), "faster", "(1 step, not 3): the busiest"),
        (made(NEVER), swinging(6, NEVER), "swings", "even, and never settles: the busiest"),
        (made(CLOSE_AT_3), swinging(6, [2.0] + [0.0] * 9), "faster", "(1 step, not 3): the"),
        (made([2.0] * 1500 + [0.0] * 9), made(CLOSE_AT_1), "faster",
         "1500 times sooner (1 step, not 1,500):"),
        (made([2.0] * 4 + [0.4] * 6), made(CLOSE_AT_3), "faster", "a little sooner (3 steps, not"),
        (made(CLOSE_AT_3), made([0.4] * 10), "faster", "3 times sooner (0 steps, not 3):"),
    ],
)  # fmt: skip
def test_two_rates_are_compared_in_every_case(slow, fast, truth, said):
    verdict = judge(pair(slow, fast))
    assert verdict.truth == truth and said in verdict.words


def test_who_is_even_first_is_named():
    early, late = made([1.0] + [0.0] * 9, title="early"), made([1.0] * 2 + [0.0] * 8, title="late")
    assert first_to_settle([late, early]) == "First to be even: early, after 1 step."
    assert first_to_settle([made(NEVER), late]) == "First to be even: late, after 2 steps."
    assert first_to_settle([made(NEVER)] * 2) == "None of them is even in the end."


def test_the_table_has_a_row_for_each_controller():
    one, two = rows([made([2.0] * 2 + [0.03] * 8, title="one"), swinging(6, [0.4] * 10)])
    assert list(one.values()) == ["one", "2 steps", "0.030", "0.000"]
    assert list(two.values()) == ["made", "never", "0.400", "0.060"]
    assert "below 0.1" in list(one)[1]


def test_charts_tables_and_export_hold_the_curves(responses):
    figure = charts.step_response(responses[:3])
    assert sum(len(table) for table in figure.data.values()) <= 4000
    for response, row in zip(responses, rows(responses), strict=True):
        assert row["MaxVio at the end"] == f"{np.mean(response.max_vio_S[-200:]):.3f}"
    for response in responses[:3]:
        assert f"({response.method.title}) ends at {response.steady_error:+.1%}" in figure.alt
    bars = charts.end_loads(responses[0], "a tenth")
    assert [row["load"] for row in bars.data["loads"]] == pytest.approx(
        responses[0].load_SE[-1] / 256
    )
    document = json.loads(cure_share.document(0.001, HARD, responses))
    assert len(document["controllers"]) == 6
    assert len(document["controllers"][0]["max_vio"]) == 1001
    assert kinds(responses) == ["bias", "pi", "quantile"]


def test_live_runs_differ_by_their_push_only():
    settings = live_settings(0.001, seed=3)
    assert [m.title for m in settings][-1] == "No push" and len(settings) == 4 == len(LIVE_NAMES)
    assert len({s.balance for s in settings.values()}) == 4
    assert len({(s.seed, s.steps, s.router, s.batch) for s in settings.values()}) == 1
    for method, one in settings.items():
        assert one.make_balancer().options() == moe.make_balancer(method.balance).options()


def test_live_words_and_figure_are_of_the_runs():
    small = dict(steps=25, batch=128, d_model=16, d_expert=8)
    settings = live_settings(0.01)
    chosen = [item for item in settings.items() if item[0].balance in ("bias(rate=0.01)", "none")]
    runs = {method: run(replace(one, **small)) for method, one in chosen}
    ends = {method.title: one.summary() for method, one in runs.items()}
    least = min(ends, key=lambda title: ends[title].max_vio)
    assert f"Most even at the end: {least}, its busiest" in live_words(runs)
    assert live_rows(runs)[0]["Loss on held-out data"] == (
        f"{ends['Fixed push of 0.01'].held_out_loss:.3f}"
    )
    figure = charts.live(runs, settings, LIVE_NAMES)
    assert f"no push ends at {ends['No push'].max_vio:+.0%}" in figure.alt


def test_waiting_is_told_in_seconds():
    settings = live_settings()
    assert waiting_words(settings.values(), 0.0101) == (
        "4 short trainings from the same start, done in 7 s if nobody else trains."
    )
    few = replace(settings[NOTHING], steps=9, batch=64, d_model=16, d_expert=8)
    assert 0 < seconds_per_step(few) < 5


class Ended(Run):
    """A run of which the end is known, and the losses on the way."""

    def __init__(
        self, max_vio: float, held_out_loss: float, losses: tuple[float, ...] = (), dead: int = 3
    ):
        end = RunSummary(max_vio, 0.0, dead, 0.0, 9.0, held_out_loss, 0.5, 0, 0.1)
        object.__setattr__(self, "end", end)
        object.__setattr__(self, "records", [SimpleNamespace(loss=loss) for loss in losses])
        object.__setattr__(self, "settings", moe.TrainSettings(n_experts=16))

    def summary(self) -> RunSummary:
        return self.end


def ends(
    nothing: float, *losses: float, on_the_way: tuple[float, ...] = (4.0, 3.0, 2.5), dead: int = 3
) -> dict[Method, Run]:
    """Ended runs, each more even than the one before it, and one without a push."""
    steered = {
        Method(f"push {at}", "", "bias"): Ended(0.5 - 0.1 * at, loss)
        for at, loss in enumerate(losses)
    }
    return {**steered, NOTHING: Ended(2.0, nothing, on_the_way, dead)}


@pytest.mark.parametrize(
    ("nothing", "losses", "said"),
    [
        (2.0, (1.9, 1.8), "Each push predicts better than none: a loss below its 2.000."),
        (2.0, (1.9, 2.0, 2.1), "Without a push the loss is 2.000; 1 of 3 pushes does better. 3 of"),
        (2.0, (1.9, 1.9, 2.1), "Without a push the loss is 2.000; 2 of 3 pushes do better. 3 of"),
        (2.0, (2.0, 2.1), "No push at all predicts best: a loss of 2.000, with a push 2.000 to"),
        (2.0, (2.1,), "No push at all predicts best: a loss of 2.000, with a push 2.100. 3 of 16"),
    ],
)
def test_live_words_say_whether_pushing_helped(nothing, losses, said):
    assert said in live_words(ends(nothing, *losses))


def test_that_nothing_predicts_best_is_explained_from_the_numbers():
    early = against_nothing(ends(2.0, 2.01, 2.06))
    assert "3 of 16 experts are idle then, and the others have more text each" in early
    assert "in the last 1 steps the loss still falls by 0.500" in early
    assert "and all these runs lie within 0.060." in early
    late = against_nothing(ends(2.0, 2.01, 2.06, on_the_way=(2.0, 2.0, 1.98), dead=0))
    assert "Its busy experts have more text" in late and "idle" not in late
    assert "nearly come to rest: in the last 1 steps it falls by 0.020" in late


def test_live_words_and_rows_are_those_of_the_ends():
    made_up = ends(2.0, 1.9, 1.8)
    assert (
        "Most even at the end: push 1, its busiest expert 40% too busy; least even: No push, 200%."
    ) in live_words(made_up)
    assert [list(row.values()) for row in live_rows(made_up)] == [
        ["push 0", "+50%", "3", "1.900"],
        ["push 1", "+40%", "3", "1.800"],
        ["No push", "+200%", "3", "2.000"],
    ]


def test_live_runs_are_short_and_of_the_gate_that_the_rule_was_made_for():
    settings = live_settings()
    assert list(settings) == [*methods(0.001)[:3], NOTHING]
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
