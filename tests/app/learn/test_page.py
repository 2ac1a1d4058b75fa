"""The page Lessons without a browser: asked, answered, tried again, locked, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from moe.app.learn import ahead, story
from moe.app.learn.chart import on_page
from moe.lessons import lesson, lessons, make_notebook, question_of, show, values_of
from moe.pictures.palette import INK, PAPER_INK
from tests.app.visit import open_page, specs, words


def captions(page: AppTest) -> str:
    return "\n".join(one.value for one in page.caption)


def in_address(page: AppTest, name: str) -> str:
    """A part of the address: a text where the page has set it, a list where the test has."""
    value = page.query_params.get(name, "")
    return value if isinstance(value, str) else value[0]


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def say(page: AppTest, place: int, number: float, button: str = "This is my guess") -> None:
    page.number_input(key=f"number_{place}").set_value(number)
    next(one for one in page.button if one.label == button).click().run()
    assert not page.exception


def test_the_list_tells_what_each_lesson_takes_and_opens_it() -> None:
    page = open_page("learn", answers="7", lesson="../letters")
    assert not page.exception and dict(page.query_params) == {}
    assert "25 minutes · 0 of 6 questions answered" in captions(page)
    assert "after lessons 0, 1" in captions(page)
    assert labels(page)[: len(lessons())] == [label for label, _ in story.listed()]
    page.button(key="open_letters").click().run()
    assert page.title[0].value == lesson("letters").title
    assert in_address(page, "lesson") == "letters"


def test_a_lesson_goes_on_with_a_number_and_keeps_the_first() -> None:
    page = open_page("learn", lesson="letters", student="ada")
    assert "A character is a number" not in words(page) and not page.code
    say(page, 0, 12.7)
    assert "You said 12.7 %. **Not yet.** That is about how frequent" in words(page)
    assert "## A character is a number" in words(page)
    assert page.code[1].value == "[116, 104, 101, 32, 101]"
    assert "1 of 6 questions answered" in captions(page)
    assert in_address(page, "answers") == "12.7"
    say(page, 0, 0.39, "Try again")
    assert "You said 12.7 %, then 0.39 %. **Right.**" in words(page)
    assert "Try again" not in labels(page)
    own = question_of("letters.table").form(values_of("letters.table", "ada"))
    say(page, 1, own)
    assert in_address(page, "answers") == f"12.7~0.39_{own:g}"
    given = list(page.session_state["given"].values())
    assert [one.said for one in given] == ["12.7 %", "right"]


def test_another_name_begins_anew_and_the_first_finds_its_answers_again() -> None:
    page = open_page("learn", lesson="letters", student="ada", answers="1_2")
    assert "2 of 6" in captions(page)
    page.text_input(key="student").set_value("bob").run()
    assert "0 of 6" in captions(page) and "answers" not in page.query_params
    assert not page.session_state["given"]
    page.text_input(key="student").set_value("ada").run()
    assert "2 of 6" in captions(page) and in_address(page, "answers") == "1_2"
    next(one for one in page.button if one.label == "All lessons").click().run()
    assert "25 minutes · 2 of 6 questions answered" in captions(page)
    page.button(key="open_letters").click().run()
    assert "2 of 6" in captions(page)
    next(one for one in page.button if one.label == "Start this lesson again").click().run()
    assert "0 of 6" in captions(page) and "answers" not in page.query_params


def test_a_whole_lesson_shows_its_figure_and_the_way_on() -> None:
    numbers = "_".join("1" for _ in lesson("router").of("question"))
    page = open_page("learn", lesson="router", answers=numbers)
    assert not page.exception and len(specs(page)) == len(lesson("router").of("figure"))
    assert f"Next: {story.following(lesson('router')).title}" in labels(page)  # type: ignore[union-attr]
    assert "**What you have seen:** You have answered all" in words(page)


def test_a_teachers_link_fixes_lesson_and_name_and_takes_one_number() -> None:
    page = open_page("learn", lesson="letters", student="ada", lock="shown", answers="12.7")
    assert page.text_input(key="student").disabled
    assert labels(page) == ["This is my guess"]
    assert "Not yet." in words(page)
    free = open_page("learn", lesson="letters", lock="shown")
    assert not free.text_input(key="student").disabled


def test_a_teacher_makes_a_link_that_begins_before_the_first_answer() -> None:
    page = open_page("learn", lesson="letters", student="ada", answers="12.7")
    page.session_state["letters_task"] = True
    page.run()
    assert not page.text_area
    page.radio(key="letters_task_lock").set_value("shown").run()
    (link,) = (one.value for one in page.code if "lock=" in one.value)
    assert link.endswith("?lesson=letters&student=ada&lock=shown")


@pytest.mark.parametrize("text", ["<b>", "inf", "nan", "7_" * 3000, "7~8~9", "-", "%00"])
def test_a_strangers_address_does_no_harm(text: str) -> None:
    page = open_page("learn", lesson="letters", student=text, answers=text, lock=text)
    assert not page.exception and not page.error
    kept = in_address(page, "answers")
    assert len(kept) < 300 and set(kept) <= set("0123456789.-e_~")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}

    def button(label: str, data: Any, file_name: str, *_: object, **__: object) -> bool:
        found[file_name] = data
        return False

    monkeypatch.setattr(st, "download_button", button)
    yield found


def test_notebook_and_guesses_are_made_when_they_are_asked_for(files: dict[str, Any]) -> None:
    open_page("learn", lesson="letters", student="ada", answers="12.7")
    assert set(files) == {"moescope-letters.ipynb", "moescope-guesses.json"}
    with ThreadPoolExecutor(1) as elsewhere:
        made = {name: elsewhere.submit(make).result() for name, make in files.items()}
    assert made["moescope-letters.ipynb"] == make_notebook("letters", "ada")
    assert json.loads(made["moescope-guesses.json"])["guesses"][0]["said"] == "12.7 %"


@pytest.mark.parametrize("scheme", INK)
def test_a_figure_has_the_themes_ink_and_names_below_one_another(scheme: str) -> None:
    spec = on_page(show("expert.alone").figure, INK[scheme])
    assert (PAPER_INK in str(spec)) == (scheme == "light") and INK[scheme] in str(spec)
    assert spec["config"]["legend"]["columns"] == 1


def test_what_fails_behind_the_page_is_told_to_whoever_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = lesson("letters")
    question = one.of("question")[0]
    monkeypatch.setattr(ahead, "_BEGUN", {})

    def fail(part: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(ahead, "_work_out", fail)
    ahead.begin(one)
    with pytest.raises(RuntimeError, match="no memory"):
        ahead.wait_for(question)
    assert ahead.is_ready(question)
    ahead.begin(one)  # once is enough
