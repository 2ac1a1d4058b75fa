"""A guess before the answer, and the tasks of a teacher's link."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from moe.app.shared.outside import plain
from moe.app.shared.question import (
    MAX_OPTION,
    MAX_OPTIONS,
    MAX_QUESTION,
    SKIPPED,
    Guess,
    Question,
    Task,
    closest,
)
from moe.app.shared.sharing import table_csv
from tests.app.visit import words

SCRIPT = """
import streamlit as st
from moe.app.shared import ask
from moe.app.shared.question import Question
from moe.app.shared.parts import BOUND, bound

question = Question("How many?", {"few": "About 2", "many": "About 9"})
guess = ask.first(question, "trial")
st.slider("Seed", 0, 9, 3, key="seed", **BOUND)
st.slider("Never", 0, 9, 3, key="never", **bound(disabled=True))
if guess:
    st.markdown(guess.reply("many", "It was 8."))
    ask.after(guess, "trial", "It was 8.")
"""
QUESTION = Question("How many?", {"few": "About 2", "many": "About 9"})


def visit(**query: str) -> AppTest:
    page = AppTest.from_string(SCRIPT)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_one_click_answers_and_stays_in_the_address() -> None:
    page = visit()
    assert "8" not in words(page)
    assert labels(page) == ["About 2", "About 9", "Skip"]
    page.button(key="guess_few").click().run()
    assert page.query_params["guess"] == "few" and labels(page) == ["Ask me again"]
    assert "You said: About 2. The run said: About 9. It was 8." in words(page)
    assert visit(guess="few").markdown[0].value == page.markdown[0].value  # a reload
    page.button(key="guess_again").click().run()
    assert "guess" not in page.query_params and "8" not in words(page)


def test_who_comes_back_from_another_page_is_not_asked_again() -> None:
    page = visit()
    page.button(key="guess_many").click().run()
    del page.query_params["guess"]  # a choice in the menu takes an address without it
    page.run()
    assert page.query_params["guess"] == "many"
    assert "So did the run. It was 8." in words(page)


def test_skipping_tells_without_a_reproach() -> None:
    page = visit()
    page.button(key="guess_skip").click().run()
    assert words(page) == "It was 8." and labels(page) == ["Ask me first"]


@pytest.mark.parametrize("guess", ["", "nobody", "1", "x" * 500, "<b>", "inf"])
def test_a_guess_that_is_no_answer_is_none(guess: str) -> None:
    assert labels(visit(guess=guess))[:2] == ["About 2", "About 9"]


def test_a_teachers_question_with_her_answers_is_not_judged() -> None:
    page = visit(ask="Why <b>8</b>?", options="because *it*|by chance|by chance||", seed="5")
    assert words(page) == f"**{plain('Why <b>8</b>?')}**"
    assert labels(page) == [plain("because *it*"), "by chance"]  # and nothing to skip it with
    page.button(key="guess_2").click().run()
    assert words(page) == "You said: by chance. The run: It was 8."
    assert not labels(page) and page.slider(key="seed").value == 5


def test_a_teachers_question_without_answers_takes_ones_own() -> None:
    page = visit(ask="Why?")
    page.text_input(key="guess_text").set_value("  ").run()
    page.button[0].click().run()
    assert "8" not in words(page)
    page.text_input(key="guess_text").set_value(" =it is ")
    page.button[0].click().run()
    assert page.query_params["guess"] == "=it is"
    assert words(page) == "You said: =it is. The run: It was 8."


@pytest.mark.parametrize(("lock", "is_locked"), [("shown", True), ("hidden", True), ("x", False)])
def test_a_lock_holds_every_control_and_the_question(lock: str, is_locked: bool) -> None:
    page = visit(lock=lock)
    assert page.slider(key="seed").disabled == is_locked and page.slider(key="never").disabled
    assert ("Skip" in labels(page)) != is_locked
    hides = any("display: none" in html.proto.body for html in page.get("html"))
    assert hides == (lock == "hidden")
    assert labels(visit(lock=lock, guess=SKIPPED)) == (labels(page) if is_locked else
                                                       ["Ask me first"])  # fmt: skip


def test_texts_of_a_link_are_cut() -> None:
    page = visit(ask="a" * 999, options="|".join(f"{n}{'b' * 99}" for n in range(9)))
    assert len(words(page)) == MAX_QUESTION + 4
    assert [len(label) for label in labels(page)] == [MAX_OPTION] * MAX_OPTIONS


def test_a_task_makes_its_part_of_the_address() -> None:
    assert Task().in_address() == {}
    made = Task("Why?", ("a|b", "c"), "hidden").in_address()
    assert made == {"ask": "Why?", "options": "a/b|c", "lock": "hidden"}


def test_replies() -> None:
    assert Guess(QUESTION, SKIPPED).reply("few", "2.") == "2."
    assert Guess(QUESTION, "few").reply("few", "2.") == "You said: About 2. So did the run. 2."
    counted = replace(QUESTION, by="the count")
    assert Guess(counted, "few").reply("few", "2.") == "You said: About 2. So did the count. 2."
    said = Guess(counted, "few").reply("many", "9.")
    assert said == "You said: About 2. The count said: About 9. 9."


def test_closest_goes_by_ratio() -> None:
    values = {"even": 0.06, "twice": 0.12, "half": 0.5}
    assert [closest(values, truth) for truth in (0.0, 0.07, 0.2, 0.3, 1.0)] == [
        "even", "even", "twice", "half", "half",
    ]  # fmt: skip


def test_a_spreadsheet_computes_nothing_of_a_table() -> None:
    rows = [{"a": "=1+1", "b": -2}, {"b": "  @x", "c": 'say "hi", you'}]
    assert list(csv.reader(io.StringIO(table_csv(rows).decode()), strict=True)) == [
        ["a", "b", "c"], ["'=1+1", "-2", ""], ["", "'  @x", 'say "hi", you'],
    ]  # fmt: skip
