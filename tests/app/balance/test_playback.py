"""Two runs packed for the player: every field worked out anew from records made by hand."""

from __future__ import annotations

import base64
import math
from dataclasses import replace

import numpy as np
import pytest

from moe.app.balance.playback import nice_ticks, playback
from moe.training import TrainRecord

NBSP = "\u00a0"


def record(step: int, load: list[int], loss: float = 1.0, **numbers: float) -> TrainRecord:
    load_E = np.array(load)
    given = dict(max_vio=0.5, cv=0.1, dead=0, dropped=0.0) | numbers
    return TrainRecord(
        step=step, loss=loss, balance_loss=0.0, load=load_E, proposed=load_E, executed_flops=0,
        data="", **given,
    )  # fmt: skip


def reel(n_steps: int, n_experts: int, seed: int = 0) -> list[TrainRecord]:
    rng = np.random.default_rng(seed)
    return [
        record(step, rng.integers(0, 9, n_experts).tolist(), 3 - step / n_steps)
        for step in range(n_steps)
    ]


def with_losses(losses: list[float]) -> dict:
    """The axis of the losses of a run, beside one whose losses are in between."""
    run = [record(step, [1, 1], loss) for step, loss in enumerate(losses)]
    finite = [loss for loss in losses[len(losses) // 2 :] if math.isfinite(loss)] or [0.5]
    return playback(run, [replace(one, loss=finite[0]) for one in run])["loss_axis"]


def unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0, 1, 4, [0, 0.25, 0.5, 0.75, 1]),
        (0, 100, 5, [0, 20, 40, 60, 80, 100]),
        (1, 60, 5, [20, 40, 60]),
        (0, 4, 4, [0, 1, 2, 3, 4]),
        (0, 4.004, 4, [0, 1, 2, 3, 4]),  # a hair above a round number is that number
        (0, 4.1, 4, [0, 2, 4]),
        (0, 9, 4, [0, 2.5, 5, 7.5]),
        (0, 20, 4, [0, 5, 10, 15, 20]),
        (0, 24, 4, [0, 10, 20]),
        (0, 0.3, 3, [0, 0.1, 0.2, 0.3]),  # ends stay in, although 0.3 / 0.1 < 3
        (1.1, 1.5, 4, [1.1, 1.2, 1.3, 1.4, 1.5]),  # and although 1.1 / 0.1 > 11
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, 5, [3]),
        (5, 3, 5, [5]),
    ],
)
def test_ticks_are_round_numbers_inside(low, high, count, ticks) -> None:
    assert nice_ticks(low, high, count) == ticks


def test_every_field_of_a_run_is_what_it_says() -> None:
    few, many = reel(30, 4), reel(30, 20, seed=1)
    packed = playback(few, many, titles=("this", "that"))
    assert packed["steps"] == list(range(1, 31))
    assert packed["step_ticks"] == [[9, "10"], [19, "20"], [29, "30"]]
    assert packed["loss_note"] == "Thin: each step. Bold: mean of 2 steps."
    for records, run, n_experts, title in zip(
        (few, many), packed["runs"], (4, 20), ("this", "that"), strict=True
    ):
        fair = {4: "25.0%", 20: "5.0%"}[n_experts]
        assert (run["title"], run["n_experts"]) == (title, n_experts)
        assert run["fair"] * n_experts == 1 and run["fair_text"] == f"fair share {fair}"
        assert run["heat_text"] == f"Work of {n_experts} experts, steps 1 to 30."
        series = {name: unpack(text) for name, text in run["series"].items()}
        for at, one in enumerate(records):
            share_E = [n / sum(one.load) for n in one.load]
            assert series["share"].reshape(30, -1)[at] == pytest.approx(share_E, abs=1e-6)
            last = [step.loss for step in records[max(at - 1, 0) : at + 1]]
            assert series["loss"][at] == pytest.approx(one.loss)
            assert series["loss_mean"][at] == pytest.approx(sum(last) / len(last))
        assert len(run["sentences"]) == 30
    assert [run["expert_ticks"][:2] for run in packed["runs"]] == [
        [[0, "A"], [1, "B"]], [[0, "A"], [2, "C"]]
    ]  # fmt: skip
    assert [len(run["expert_ticks"]) for run in packed["runs"]] == [4, 10]
    assert [len(run["row_ticks"]) for run in packed["runs"]] == [4, 7]
    assert packed["runs"][1]["row_ticks"][1:] == [
        [3, "D"],
        [6, "G"],
        [9, "J"],
        [12, "M"],
        [15, "P"],
        [18, "S"],
    ]
    assert [run["title"] for run in playback(few, many)["runs"]] == ["A", "B"]


@pytest.mark.parametrize(("n_experts", "bars", "rows"), [(16, 16, 8), (17, 9, 6), (8, 8, 8)])
def test_more_experts_than_have_room_are_numbered_in_part(n_experts, bars, rows) -> None:
    run = playback(reel(2, n_experts), reel(2, n_experts))["runs"][0]
    assert (len(run["expert_ticks"]), len(run["row_ticks"])) == (bars, rows)


def test_the_axis_of_shares_ends_at_the_largest_of_both_runs() -> None:
    a, b = [record(0, [1, 1, 2])], [record(0, [4, 1])]
    for packed in (playback(a, b), playback(b, a)):
        axis = packed["share_axis"]
        assert axis["min"] == 0 and axis["max"] == 0.8
        assert axis["ticks"] == [[0, "0%"], [0.2, "20%"], [0.4, "40%"], [0.6, "60%"], [0.8, "80%"]]
    idle = [record(0, [0, 0])]
    axis = playback(idle, idle)["share_axis"]
    assert axis["max"] == 1 and [text for _, text in axis["ticks"]] == [
        "0%", "25%", "50%", "75%", "100%"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n_steps", "covered"), [(1, 1), (29, 1), (30, 2), (150, 10), (300, 20), (900, 20)]
)
def test_the_mean_of_the_loss_covers_fewer_steps_in_a_short_run(n_steps, covered) -> None:
    run = [record(step, [1, 1], float(step % 7)) for step in range(n_steps)]
    packed = playback(run, run)
    assert f"mean of {covered} steps" in packed["loss_note"]
    last = [one.loss for one in run[-covered:]]
    mean = unpack(packed["runs"][0]["series"]["loss_mean"])
    assert mean[-1] == pytest.approx(sum(last) / covered)
    assert mean[0] == 0


def test_the_axis_of_losses_fits_what_comes_after_the_warm_up() -> None:
    axis = with_losses([99.0] * 10 + [2.0] + [1.0] * 90)  # the first tenth of 100 gaps
    assert (axis["min"], axis["max"]) == pytest.approx((0.95, 2.05))
    assert axis["ticks"] == [[1, "1.0"], [1.5, "1.5"], [2, "2.0"]]
    axis = with_losses([99.0] * 3 + [40.0, 0.0] + [20.0] * 25)  # a part of a step is left out too
    assert (axis["min"], axis["max"]) == pytest.approx((-2, 42))
    assert axis["ticks"] == [[0, "0"], [20, "20"], [40, "40"]]
    axis = with_losses([1.0, 1.1, math.nan, math.inf, 1.0])
    assert (axis["min"], axis["max"]) == pytest.approx((0.995, 1.105))
    assert [text for _, text in axis["ticks"]] == ["1.00", "1.05", "1.10"]
    axis = with_losses([2.0] * 5)  # a flat line has room on both sides
    assert (axis["min"], axis["max"]) == pytest.approx((1.95, 2.05))
    axis = with_losses([math.nan] * 5)
    assert (axis["min"], axis["max"]) == pytest.approx((0.45, 0.55))
    nowhere = [record(0, [1, 1], math.nan)]
    axis = playback(nowhere, nowhere)["loss_axis"]
    assert (axis["min"], axis["max"]) == pytest.approx((-0.05, 1.05))


def test_a_step_is_told_in_words() -> None:
    run = [
        record(0, [2, 1, 5, 0], 2.3456, max_vio=1.5, dead=1),
        record(1, [2, 1, 4, 0], 2.0, max_vio=1.25, dead=1, dropped=0.125),
        record(2, [0, 0, 0, 0], 2.0, max_vio=0.0, dead=4),
    ]
    one, two, three = playback(run, run)["runs"][0]["sentences"]
    assert one == (
        "Step 1: busiest expert (C) does 62.5%, 2.5 times the fair share; 1 of 4 idle; "
        f"loss{NBSP}2.346."
    )
    assert two == (
        "Step 2: busiest expert (C) does 57.1%, 2.3 times the fair share; 1 of 4 idle; "
        f"12.5% of the work turned away; loss{NBSP}2.000."
    )
    assert three.startswith("Step 3: no expert does anything; 4 of 4 idle")


def test_steps_that_are_not_there_have_no_tick() -> None:
    run = [record(3 * at, [1, 1]) for at in range(10)]  # 1, 4, 7, ... 28
    packed = playback(run, run)
    assert packed["steps"] == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
    assert packed["step_ticks"] == [[3, "10"]]
    assert playback(run[:1], run[:1])["step_ticks"] == [[0, "1"]]


def test_the_name_of_a_pair_follows_all_that_is_packed() -> None:
    a, b = reel(3, 4), reel(3, 4, seed=1)
    names = {
        playback(a, b)["id"],
        playback(b, a)["id"],
        playback(a, b, titles=("A", "C"))["id"],
        playback(a[:2], b[:2])["id"],
        playback([*a[:2], replace(a[2], loss=7.0)], b)["id"],
    }
    assert len(names) == 5 and all(len(name) == 16 for name in names)
    assert playback(reel(3, 4), reel(3, 4, seed=1))["id"] in names


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], reel(2, 4), "records_a: got no records"),
        (reel(2, 4), [], "records_b: got no records"),
        (reel(2, 4), [*reel(1, 4), record(1, [1])], r"records_b: got loads of shape \[\(1,\), \(4"),
        ([record(0, [])], reel(1, 4), r"records_a: got loads of shape \[\(0,\)\]"),
        ([replace(record(0, []), load=np.ones((2, 2)))], reel(1, 4), r"shape \[\(2, 2\)\]"),
        (reel(2, 4), reel(3, 4), "records_b: got 3 steps, allowed are the same 2"),
        (reel(2, 4), [record(0, [1]), record(2, [1])], "records_b: got 2 steps"),
    ],
)
def test_runs_that_do_not_fit_each_other_are_refused(a, b, message) -> None:
    with pytest.raises(ValueError, match=message):
        playback(a, b)
