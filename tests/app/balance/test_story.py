"""Ends of runs and what is said of them, from records made by hand: both sides of each limit."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

import moe
from moe.app.balance.story import answer, compare, play_run, question, sources, why
from moe.app.play.plan import read
from moe.app.shared.run_slots import RunSlot, run_slot
from moe.training import TrainRecord, TrainSettings
from moe.training.runs import LAST, Run, RunSummary, method_words
from tests.app.visit import open_page

SMALL = dict(steps=20, batch=32, d_model=8, d_expert=4, n_experts=4)
END = RunSummary(
    max_vio=1.0, cv=0.5, dead=2, dropped=0.125, loss=2.5, held_out_loss=2.0, hottest_share=0.4,
    hottest=3, fair_share=0.25,
)  # fmt: skip


class Ended(Run):
    """A run of which only the end is known."""

    def __init__(self, **changes: float) -> None:
        object.__setattr__(self, "end", replace(END, **changes))

    def summary(self) -> RunSummary:
        return self.end


def record(step: int, **numbers) -> TrainRecord:
    """A record whose numbers all differ, and differ from step to step."""
    given = dict(
        step=step, loss=5.0 - 0.1 * step, balance_loss=9.0, load=np.array([step, 2, 0]),
        proposed=np.array([step, 4, 1]), max_vio=0.1 * step, cv=0.01 * step, dead=step % 3,
        dropped=0.001 * step, executed_flops=7, data="",
    )  # fmt: skip
    return TrainRecord(**given | numbers)


def finished(n_steps: int = 50, **settings) -> Run:
    return Run(TrainSettings(**SMALL | settings), [record(i) for i in range(n_steps)], 1.25)


def test_the_end_of_a_run_is_the_mean_of_its_last_twenty_steps() -> None:
    run = finished()
    assert LAST == 20  # steps 30 to 49, whose mean is 39.5
    assert run.end_load().tolist() == [790, 80, 20]
    assert asdict(run.summary()) == {
        "max_vio": pytest.approx(3.95), "cv": pytest.approx(0.395), "dead": 49 % 3,
        "dropped": pytest.approx(0.0395), "loss": pytest.approx(1.05), "held_out_loss": 1.25,
        "hottest_share": pytest.approx(790 / 890), "hottest": 0, "fair_share": 1 / 3,
    }  # fmt: skip


def test_a_series_is_averaged_over_stretches() -> None:
    run = finished(200)
    whole = run.series("loss", 1000)
    assert whole == [(i, pytest.approx(5.0 - 0.1 * i)) for i in range(200)]
    assert len(run.series("loss")) == 100
    assert run.series("max_vio", 50)[1] == (pytest.approx(5.5), pytest.approx(0.55))
    assert finished(3).series("cv") == [(0, 0), (1, pytest.approx(0.01)), (2, pytest.approx(0.02))]


def test_bars_of_the_terminal_are_as_long_as_the_loads() -> None:
    run = replace(finished(), records=[record(0), record(1, load=np.array([10, 4, 0]))])
    assert run.load_bars(20) == [(0, 10, "█" * 20), (1, 4, "█" * 8), (2, 0, "")]
    assert run.load_bars()[0][2] == "█" * 40
    idle = replace(run, records=[record(0, load=np.zeros(3, int))])
    assert idle.load_bars() == [(0, 0, ""), (1, 0, ""), (2, 0, "")]


@pytest.mark.parametrize(
    ("max_vio", "settings", "collapsed"),
    [
        (1.0, {}, True),
        (0.99, {}, False),
        (2.0, {"balance": "bias"}, False),
        (2.0, {"task": "moons"}, False),
    ],
)
def test_a_run_collapsed_if_nothing_kept_text_even(max_vio, settings, collapsed) -> None:
    run = Run(TrainSettings(**SMALL | settings), [record(0, max_vio=max_vio)], 1.0)
    assert run.collapsed() is collapsed


def test_a_method_is_named_with_what_is_unusual() -> None:
    usual = TrainSettings(balance="bias")
    title = moe.BALANCERS["bias"].title
    assert method_words(usual) == title == Run(usual, [], 0.0).name()
    limited = replace(usual, capacity_factor=1.25, drop="order")
    assert method_words(limited) == f"{title}, room 1.25"
    switch = replace(limited, router="switch", balance="pi", capacity_factor=1.0)
    assert method_words(switch) == (
        f"{moe.BALANCERS['pi'].title}, {moe.ROUTERS['switch'].title}, room 1"
    )


def test_the_table_holds_every_number_of_both_ends() -> None:
    other = dict(
        max_vio=0.25, cv=0.125, dead=1, dropped=0.0, loss=2.25, held_out_loss=1.5,
        hottest_share=0.3, fair_share=0.125,
    )  # fmt: skip
    rows = compare(Ended(), Ended(**other)).rows
    assert [(row[""].partition(":")[0], row["A"], row["B"]) for row in rows] == [
        ("Busiest expert's share of the work", "40.0%", "30.0%"),
        ("Fair share", "25.0%", "12.5%"),
        ("MaxVio", "1.00", "0.25"),
        ("CV", "0.50", "0.12"),
        ("Idle experts in the last step", "2", "1"),
        ("Share of the work that found its expert full", "12.5%", "0.0%"),
        ("Loss while training", "2.500", "2.250"),
        ("Loss on new data", "2.000", "1.500"),
    ]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (dict(max_vio=0.5), dict(max_vio=0.75, dead=2),
         "A spread the work more evenly: its busiest expert had 1.5 times its fair share; "
         "B's had 1.8 times."),
        (dict(max_vio=2.0, dead=3), dict(max_vio=0.5),
         "B spread the work more evenly: its busiest expert had 1.5 times its fair share; "
         "A's had 3.0 times, and 3 of its experts did nothing."),
        (dict(max_vio=2.0, dead=1), dict(max_vio=0.5), "A's had 3.0 times."),
        (dict(max_vio=0.25), dict(max_vio=0.125 + 0.25), "A spread the work more evenly"),
        (dict(max_vio=0.25), dict(max_vio=0.34),
         "Both spread the work about equally: the busiest expert had 1.2 times its fair share "
         "in A, 1.3 in B."),
        (dict(max_vio=0.1), dict(max_vio=0.0), "had 1.1 times its fair share in A, 1.0 in B."),
    ],
)  # fmt: skip
def test_who_is_more_even_is_read_from_the_ends(a, b, said) -> None:
    assert said in compare(Ended(**a), Ended(**b)).words


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (1.0, 1.0, "They guess about equally well (loss on new data: A 1.000, B 1.000;"),
        (1000.0, 997.0, "They guess about equally well"),  # 0.3 % of the larger one
        (997.0, 1000.0, "They guess about equally well"),
        (1000.0, 996.9, "B guesses better (loss on new data: A 1000.000, B 996.900; lower is"),
        (996.9, 1000.0, "A guesses better (loss on new data: A 996.900, B 1000.000; lower is"),
    ],
)
def test_who_guesses_better_is_read_from_the_ends(a, b, said) -> None:
    words = compare(Ended(held_out_loss=a), Ended(held_out_loss=b)).words
    assert said in words and words.startswith("Both spread the work about equally")


@pytest.mark.parametrize(
    ("n_experts", "k", "options"),
    [
        (16, 2, ["6% (its fair share)", "12% (twice)", "25% (4 times)", "50% (8 times)"]),
        (8, 2, ["12% (its fair share)", "25% (twice)", "50% (4 times)"]),
        (4, 4, ["25% (its fair share)", "50% (twice)", "100% (4 times)"]),
    ],
)  # fmt: skip
def test_a_guess_is_one_of_some_multiples_of_the_fair_share(n_experts, k, options) -> None:
    asked = question(TrainSettings(n_experts=n_experts, k=k))
    assert list(asked.options.values()) == options and asked.judged


@pytest.mark.parametrize(("share", "key"), [(0.26, "x1"), (0.36, "x2"), (0.7, "x2"), (0.72, "x4")])
def test_the_answer_is_the_nearest_multiple(share: float, key: str) -> None:
    asked = question(TrainSettings(n_experts=4, k=2))
    truth, told = answer(Ended(hottest_share=share), asked)
    assert truth == key
    assert f"ended with {share:.0%} of the work, {4 * share:.1f} times its fair share" in told


@pytest.mark.parametrize(
    ("n_experts", "k", "taken"), [(16, 2, (16, 2)), (4, 1, (8, 1)), (60, 8, (64, 4))]
)
def test_a_run_goes_along_to_play(n_experts: int, k: int, taken: tuple[int, int]) -> None:
    plan, step = read(play_run(TrainSettings(n_experts=n_experts, k=k, seed=7)))
    assert (plan.experts, plan.changes[0].value) == taken and (plan.seed, step) == (7, 0)


def test_each_method_has_its_source_once() -> None:
    a, b = TrainSettings(), TrainSettings(balance="bias")
    told = sources((a, b)).split(" · ")
    methods = [moe.BALANCERS["none"], moe.ROUTERS["topk"], moe.BALANCERS["bias"]]
    assert told == [f"{method.title}: {method.source}" for method in methods]


def test_a_reason_is_given_only_for_runs_that_collapsed() -> None:
    uneven, even = (
        Run(TrainSettings(**SMALL, balance=balance), [record(0, max_vio=2.0)], 1.0)
        for balance in ("none", "bias")
    )
    assert why({"A": even, "B": even}) == ""
    assert why({"A": even, "B": uneven}).startswith("**Why?** In B the model")
    assert why({"A": uneven, "B": uneven}).startswith("**Why?** In A and B the model")


def test_progress_tells_how_far_a_training_is() -> None:
    settings = TrainSettings(**SMALL, seed=77)  # of nobody else, whose run would be kept
    *between, last = RunSlot(settings).progress()
    assert [at.done for at in between] == [0.5, 1.0] and all(at.run is None for at in between)
    assert last.done == 1.0 and last.words == "done" and last.run is not None
    ten = last.run.records[9]
    assert between[0].words == f"step 10 of 20, loss {ten.loss:.2f}, MaxVio {ten.max_vio:.2f}"
    again = list(RunSlot(settings).progress())
    assert [at.words for at in again] == ["done"] and again[0].run is last.run


def test_all_who_ask_for_the_same_share_one_place() -> None:
    settings = TrainSettings(**SMALL, seed=78)
    place = run_slot(settings)
    assert run_slot(TrainSettings(**SMALL, seed=78)) is place
    texts = [run_slot(settings, text) for text in (b"one", b"another", b"")]
    assert len({id(one) for one in [place, *texts]}) >= 3
    assert run_slot(settings, b"one") is texts[0] and run_slot(replace(settings, seed=79)) != place


def test_progress_counts_steps_from_one_to_all() -> None:
    slot = RunSlot(TrainSettings(steps=50, batch=64, d_model=16, d_expert=8))
    said = [at.words for at in slot.progress()]
    assert [words.partition(",")[0] for words in said if words.startswith("step")] == [
        f"step {step} of 50" for step in (10, 20, 30, 40, 50)
    ]


def test_a_training_that_takes_too_long_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunSlot, "longest", 0.0)
    page = open_page("balance", guess="skip", steps="50", seed="77")
    assert not page.exception
    assert "more than 0 seconds of computing" in page.error[0].value
    monkeypatch.setattr(RunSlot, "longest", 300.0)
    assert not open_page("balance", guess="skip", steps="50", seed="77").error
