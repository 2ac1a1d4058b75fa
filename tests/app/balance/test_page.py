"""The page Balance without a browser, and its words and player on two short runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import moe
from moe.app.balance.playback import playback
from moe.app.balance.story import compare, first_runs, setup_words
from moe.app.shared import parts
from moe.app.shared.run_slots import run_slot
from moe.app.shared.titles import DROP_TITLES, TASK_TITLES
from moe.capacity import DROP_POLICIES
from moe.data import TASKS
from moe.training import TrainSettings
from tests.app.visit import open_page, specs, words


def film(page: AppTest) -> dict[str, Any]:
    """What the player was given."""
    (component,) = [
        one for one in page.get("bidi_component") if one.proto.component_name == "moe_run_player"
    ]
    given: dict[str, Any] = json.loads(component.proto.json)
    return given


def test_balance_asks_first_and_sends_nothing_that_tells() -> None:
    page = open_page("balance", steps="50")
    assert not page.exception and not specs(page)
    shown = " ".join(
        [
            page.title[0].value,
            words(page),
            *[one.label for one in page.button],
            *[one.value for one in page.caption],
        ]
    )
    for answer in ("collapse", "few experts", "fall idle", "evenly", "guesses better", "The run"):
        assert answer not in shown
    assert len(re.findall(r"[\w%]+", shown)) <= 60  # before the picture
    start = film(page)
    assert start["held"] and start["steps"] == [1] and not start["verdict"]
    page.button(key="guess_x2").click().run()
    assert not page.exception and page.query_params["guess"] == "x2"
    played = film(page)
    assert not played["held"] and len(played["steps"]) == 50
    reply, who_wins = played["verdict"]
    assert reply.startswith("You said: 12% (twice). ")
    assert re.search(r"A's busiest expert ended with \d+% of the work", reply)
    assert "spread the work" in who_wins and "loss on new data" in who_wins
    assert "**Why?** In A the model" in words(page)


def test_balance_draws_two_charts_and_a_third_if_work_is_turned_away() -> None:
    assert len(specs(open_page("balance", steps="50", guess="skip"))) == 2
    page = open_page("balance", steps="50", guess="skip", drop_a="order", room_a="0.5")
    assert len(specs(page)) == 3 and "Turned away" in "".join(
        html.proto.body for html in page.get("html")
    )


def test_an_answer_to_a_teachers_question_is_held_against_the_run() -> None:
    page = open_page("balance", steps="50", ask="Who wins?", options="A|B", guess="2")
    reply, _ = film(page)["verdict"]
    assert reply.startswith("You said: B. The run: A's busiest expert ended with ")


def test_the_setup_is_told_as_it_is() -> None:
    a, b = moe.TrainSettings(), moe.TrainSettings(balance="pi", router="switch")
    told = setup_words(a, b)
    assert "guess the next character. In A nothing evens out the work; " in told
    assert f"in B a rule does: {moe.BALANCERS['pi'].title} ({moe.ROUTERS['switch'].title})." in told
    assert "next character of your own text. In A" in setup_words(a, b, own_text=True)
    moons = moe.TrainSettings(task="moons")
    assert "solve the task “Two moons”" in setup_words(moons, moons)


def test_balance_says_what_came_out_and_not_what_should() -> None:
    page = open_page("balance", steps="50", guess="skip")
    page.selectbox(key="balance_a").set_value("aux").run()
    assert page.query_params["balance_a"] == "aux"
    a, b = (moe.TrainSettings(steps=50, balance=name) for name in ("aux", "bias"))
    (run_a,), (run_b,) = ([at.run for at in run_slot(one).progress() if at.run] for one in (a, b))
    assert film(page)["verdict"][1] == compare(run_a, run_b).words
    said = words(page)
    assert "Why?" not in said and "nothing evens out" not in said
    assert f"In A a rule does: {moe.BALANCERS['aux'].title}; in B a rule does: " in said
    page.selectbox(key="balance_a").set_value("none").run()
    assert "balance_a" not in page.query_params


def test_menus_show_words_and_old_links_hold() -> None:
    page = open_page("balance", steps="50", guess="skip", balance_b="pi", router_a="nobody")
    menu = page.selectbox(key="balance_b")
    assert menu.value == "pi" and moe.BALANCERS["pi"].title in menu.options
    assert page.selectbox(key="router_a").value == "topk" and "router_a" not in page.query_params
    assert set(TASK_TITLES) == set(TASKS) and tuple(DROP_TITLES) == DROP_POLICIES


@pytest.mark.parametrize(
    ("a", "b", "winner"), [(2.0, 1.9, "B guesses better"), (1.9, 2.0, "A guesses better"),
                           (2.0, 2.001, "They guess about equally well")],
)  # fmt: skip
def test_who_guesses_better_is_read_from_the_runs(
    two_runs: list, a: float, b: float, winner: str
) -> None:
    runs = [replace(one, held_out_loss=loss) for one, loss in zip(two_runs, (a, b), strict=True)]
    assert f"{winner} (loss on new data: A {a:.3f}, B {b:.3f}" in compare(*runs).words


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


def test_playback_holds_every_step(two_runs: list) -> None:
    import base64

    packed = playback(two_runs[0].records, two_runs[1].records)
    assert packed["steps"] == list(range(1, 61))  # as people count
    share = np.frombuffer(base64.b64decode(packed["runs"][0]["series"]["share"]), "<f4")
    load = two_runs[0].records[-1].load
    said = packed["runs"][0]["sentences"][-1]
    assert said.startswith("Step 60: ") and f"does {load.max() / load.sum():.1%}, " in said
    assert packed["runs"][0]["fair_text"] == "fair share 12.5%"
    assert np.allclose(share.reshape(60, 8)[-1], load / load.sum(), atol=1e-6)
    assert (
        json.dumps(packed)
        and packed["id"] == playback(two_runs[0].records, two_runs[1].records)["id"]
    )


def test_the_first_visit_shows_the_runs_that_a_server_has_ready(
    monkeypatch: pytest.MonkeyPatch, two_runs: list
) -> None:
    asked = []

    def trained(settings: TrainSettings, *_: object) -> object:
        asked.append(settings)
        return two_runs[0]

    monkeypatch.setattr(parts, "trained", trained)
    assert not open_page("balance").exception
    assert tuple(asked) == first_runs()
