"""A lesson in a real browser: a number, what it shows, and the way on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from moe.lessons import lesson, lessons
from tests.e2e.test_app import accessible, settled
from tests.e2e.test_every_page import FIRST_SCREEN, MOST_WORDS, theme

pytestmark = pytest.mark.e2e
SLOWEST = 150  # ms of the page's own work between a number and what it shows


def guess(page: Page, number: str, button: str = "This is my guess") -> None:
    page.get_by_role("spinbutton").last.fill(number)
    page.get_by_role("button", name=button).last.click()


def test_a_lesson_goes_on_with_a_number_and_its_link_shows_the_same(
    page: Page, server: str
) -> None:
    page.goto(server + "/learn?lesson=letters&student=ada")
    expect(page.get_by_text("Question 1 of 6.")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("A character is a number")).to_have_count(0)
    guess(page, "12.7")
    said = page.get_by_text("You said 12.7 %. Not yet.")
    expect(said).to_be_visible()
    expect(page.get_by_text("1 of 6 questions answered")).to_be_visible()
    expect(page).to_have_url(re.compile("answers=12.7"))
    settled(page)
    accessible(page)
    page.reload()
    expect(said).to_be_visible()
    expect(page.get_by_text("Question 2 of 6.")).to_be_visible()


@pytest.mark.soak
@pytest.mark.parametrize("name", [one.name for one in lessons()])
def test_every_lesson_keeps_the_rules_in_both_themes_and_on_a_phone(
    page: Page, server: str, name: str
) -> None:
    n_questions = len(lesson(name).of("question"))
    page.goto(f"{server}/learn?lesson={name}")
    expect(page.get_by_text(f"Question 1 of {n_questions}.")).to_be_visible(timeout=60_000)
    settled(page)
    first = page.evaluate(
        FIRST_SCREEN.replace("const pictures =", "const pictures = all.filter((node) =>"
                             " node.matches('.st-key-question_0')) ?? ")
    )  # fmt: skip
    assert first["pictures"] == 1 and len(first["words"]) <= MOST_WORDS, first
    page.goto(f"{server}/learn?lesson={name}&answers={'_'.join('1' * n_questions)}")
    expect(page.get_by_text("You have answered all")).to_be_visible(timeout=120_000)
    charts = page.get_by_test_id("stVegaLiteChart")
    expect(charts).to_have_count(len(lesson(name).of("figure")))
    for scheme in ("light", "dark"):
        theme(page, scheme)
        accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    accessible(page)
    assert page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


@pytest.mark.soak
def test_a_class_is_gathered_from_files_that_pupils_saved(
    page: Page, server: str, tmp_path: Path
) -> None:
    saved = []
    for student, number in (("ada", "0.39"), ("bob", "12.7"), ("cy", "50")):
        page.goto(f"{server}/learn?lesson=letters&student={student}&lock=shown")
        expect(page.get_by_text("Question 1 of 6.")).to_be_visible(timeout=60_000)
        expect(page.get_by_role("textbox", name="Your name")).to_be_disabled()
        guess(page, number)
        with page.expect_download() as download:
            page.get_by_role("button", name="My guesses").click()
        saved.append(tmp_path / f"{student}.json")
        download.value.save_as(saved[-1])
        assert json.loads(saved[-1].read_text())["guesses"][0]["said"] == f"{number} %"
        expect(page.get_by_text("See my class's guesses")).to_have_count(0)
    page.goto(f"{server}/learn")
    page.get_by_text("See my class's guesses").click()
    page.locator('input[type="file"]').set_input_files(saved)
    expect(page.get_by_text("The right number is 0.390625 %.")).to_be_visible()
    bars = page.locator('.stVegaLiteChart path[aria-roledescription="bar"]')
    expect(bars.first).to_be_attached()
    settled(page)
    accessible(page)


@pytest.mark.soak
def test_a_number_is_answered_within_the_time_of_a_blink(page: Page, server: str) -> None:
    page.goto(f"{server}/learn?lesson=letters&answers=1_1_1_1_1_1")
    expect(page.get_by_text("You have answered all")).to_be_visible(timeout=120_000)
    times = []
    for n in range(7):
        settled(page)
        page.get_by_role("spinbutton").first.fill(str(60 + n))
        page.get_by_role("spinbutton").first.blur()
        times.append(
            page.evaluate(
                """words => new Promise(done => {
                  const began = performance.now();
                  new MutationObserver((_, observer) => {
                    if (!document.body.textContent.includes(words)) return;
                    observer.disconnect();
                    done(performance.now() - began);
                  }).observe(document.body, {subtree: true, childList: true, characterData: true});
                  [...document.querySelectorAll("button")]
                    .find(one => one.textContent.includes("Try again")).click();
                })""",
                f"then {60 + n} %",
            )
        )
    assert sorted(times)[1] <= SLOWEST, times  # what else this machine does only adds
