"""The plane's controls, and wishes of the browser, without one."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from moe.app.play import plane as subject
from tests.app.visit import open_page


def opened(**query: str) -> AppTest:
    return open_page("play", view="Plane", **query)


def the_pair(page: AppTest):
    return page.session_state[subject.PAIR][1]


def wish(page: AppTest, **wanted) -> AppTest:
    page.session_state[subject.WISH] = {"n": 7, "id": the_pair(page).id, "steps": 0} | wanted
    return page.run()


def test_it_opens_with_one_seed_and_two_methods():
    page = opened()
    assert not page.exception and page.title[0].value == subject.QUESTION
    a, b = (run.controls.settings for run in the_pair(page).runs)
    assert (a.router, a.balance) == ("switch", "none") and (b.router, b.balance) == (
        "switch",
        "aux",
    )
    assert a.seed == b.seed and a.task == b.task == "spirals"


def test_wishes_train_move_and_begin_anew():
    page = opened()
    first = the_pair(page)
    wish(page, steps=6)
    assert first.n_steps == 6 and page.session_state[subject.ANSWERED] == 7
    wish(page, move=[1, 0, [1.0, 1.0], 0.0])
    assert [len(run.recipe.changes) for run in first.runs] == [0, 1]
    wish(page, reset=True)
    assert the_pair(page) is not first and the_pair(page).n_steps == 0
    assert not page.exception and not page.error


@pytest.mark.parametrize(
    "wanted",
    [
        {"steps": -5}, {"steps": "many"}, {"steps": None}, {"steps": 1.5}, {"steps": True},
        {"n": "x", "steps": 4}, {"id": -1, "steps": 4}, {"move": "abcd"}, {"move": [1, 2]},
    ],
)  # fmt: skip
def test_nonsense_is_no_wish(wanted):
    page = opened()
    wish(page, **wanted)
    assert the_pair(page).n_steps == 0 and not page.exception and not page.error


def test_a_move_that_cannot_be_is_told_and_the_page_stays():
    page = opened()
    wish(page, move=[0, 99, [0, 0], 0])
    assert "expert" in page.error[0].value and not page.exception
    wish(page, steps=2)
    assert the_pair(page).n_steps == 2 and not page.error


def test_balancing_acts_on_the_running_model_and_all_else_begins_anew():
    page = opened()
    first = the_pair(page)
    wish(page, steps=4)
    page.selectbox(key="plane_balance_a").select("bias").run()
    assert the_pair(page) is first and first.runs[0].recipe.changes[0][:2] == (4, "balance")
    page.selectbox(key="plane_task").select("moons").run()
    assert the_pair(page) is not first and the_pair(page).n_steps == 0
    assert not page.exception


def test_only_what_suits_the_router_is_offered():
    page = opened()
    page.selectbox(key="plane_router_b").select("hash").run()
    assert page.selectbox(key="plane_balance_b").options == ["No balancing"]
    assert not page.exception
    assert any("Not offered with **Hash layer**" in text.value for text in page.markdown)


def test_settings_that_do_not_go_together_leave_the_page():
    page = opened(plane_experts="4", plane_k="8")
    assert any("only 4 experts" in caption.value for caption in page.caption)
    page.selectbox(key="plane_router_a").select("moe_pp").run()
    assert not page.exception
