"""The page Balance without a browser, and its words and player on two short runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.app.balance.playback import playback
from moe.app.balance.story import compare, judge_guess, setup_words
from moe.app.shared.run_slots import run_slot
from tests.app.visit import open_page, specs, words


def test_balance_compares_two_runs_and_can_hide_them_until_a_guess() -> None:
    page = open_page("balance", steps="50")
    assert not page.exception and "spread the work more evenly" in words(page)
    assert len(specs(page)) == 5
    shown = page.title[0].value + words(page)
    assert "a few experts" in shown and "predicts better" in shown
    page = open_page("balance", steps="50", predict="true")
    for _ in range(2):
        assert not specs(page) and "metric" not in page
        told = page.title[0].value + words(page)
        for answer in ("few experts", "fall idle", "evenly", "predict", "win"):
            assert answer not in told
        page.button[0].click().run()  # without a guess, which is no guess of zero
        assert page.error[0].value == "Type a number first."
    page.number_input(key="guess").set_value(10.0)
    page.button[0].click().run()
    assert not page.exception and not page.error
    assert specs(page) and page.metric[0].value == "10%"
    took = float(page.metric[1].value.rstrip("%"))
    assert page.metric[1].delta == f"{took - 10:+.1f} points"
    assert "a few experts" in page.title[0].value and "What you should see" in words(page)


def test_the_setup_is_told_as_it_is() -> None:
    a, b = moe.TrainSettings(), moe.TrainSettings(balance="pi", router="switch")
    told = setup_words(a, b)
    assert "guess the next character, from" in told
    assert f"A: {moe.BALANCERS['none'].title}. " in told
    assert f"B: {moe.BALANCERS['pi'].title}, {moe.ROUTERS['switch'].title}." in told
    assert "next character of your own text, from" in setup_words(a, b, own_text=True)
    moons = moe.TrainSettings(task="moons")
    assert "points of the plane (the task 'moons')" in setup_words(moons, moons)


def test_balance_says_what_came_out_and_not_what_should(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.balance import page as view

    page = open_page("balance", steps="50")
    assert view.WHY in words(page)
    page.selectbox(key="balance_a").set_value("aux").run()
    said = words(page)
    a, b = (moe.TrainSettings(steps=50, balance=name) for name in ("aux", "bias"))
    (run_a,), (run_b,) = ([at.run for at in run_slot(one).progress() if at.run] for one in (a, b))
    assert f"**What you should see:** {compare(run_a, run_b).words}" in said
    assert view.WHY not in said and "does nothing" not in said
    assert f"A: {moe.BALANCERS['aux'].title}. B: {moe.BALANCERS['bias'].title}." in said


@pytest.mark.parametrize(
    ("a", "b", "winner"), [(2.0, 1.9, "B predicts better"), (1.9, 2.0, "A predicts better"),
                           (2.0, 2.001, "They predict about equally well")],
)  # fmt: skip
def test_who_predicts_better_is_read_from_the_runs(
    two_runs: list, a: float, b: float, winner: str
) -> None:
    runs = [replace(one, held_out_loss=loss) for one, loss in zip(two_runs, (a, b), strict=True)]
    assert f"{winner} (held-out loss: A {a:.3f}, B {b:.3f}" in compare(*runs).words


def test_balance_shows_an_impossible_choice_beside_the_control() -> None:
    page = open_page("balance", steps="50", router_a="noisy_topk", balance_a="bias")
    assert not page.exception
    assert "balance: got 'bias' with router 'noisy_topk'" in page.error[0].value
    inside = [error.value for expander in page.expander for error in expander.error]
    assert not inside  # where nobody would see it who came by a link


def test_run_summaries_are_means_of_the_last_steps(two_runs: list) -> None:
    for finished in two_runs:
        summary, last = finished.summary(), finished.records[-20:]
        assert summary.max_vio == pytest.approx(
            sum(max(r.proposed) / (sum(r.proposed) / 8) - 1 for r in last) / 20
        )
        assert summary.loss == pytest.approx(sum(r.loss for r in last) / 20)
    assert compare(*two_runs).rows[2]["A"] == f"{two_runs[0].summary().max_vio:.2f}"


def test_guesses_are_judged_fairly(two_runs: list) -> None:
    truth = 100 * two_runs[0].summary().hottest_share
    assert judge_guess(truth, two_runs[0].summary()).verdict == "Spot on."
    assert "more than" in judge_guess(truth - 10, two_runs[0].summary()).verdict
    assert "less than" in judge_guess(truth + 10, two_runs[0].summary()).verdict


def test_playback_holds_every_step(two_runs: list) -> None:
    import base64

    packed = playback(two_runs[0].records, two_runs[1].records)
    assert packed["steps"] == list(range(1, 61))  # as people count
    share = np.frombuffer(base64.b64decode(packed["runs"][0]["series"]["share"]), "<f4")
    load = two_runs[0].records[-1].load
    said = packed["runs"][0]["sentences"][-1]
    assert said.startswith("Step 60: ") and f"takes {load.max() / load.sum():.1%} (" in said
    assert "fair share 12.5%" in said
    assert np.allclose(share.reshape(60, 8)[-1], load / load.sum(), atol=1e-6)
    assert (
        json.dumps(packed)
        and packed["id"] == playback(two_runs[0].records, two_runs[1].records)["id"]
    )
