"""A round of the game in a real browser, by mouse and by key."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e


def test_a_round_is_played_and_its_link_shows_the_same_score(page: Page, server: str) -> None:
    page.goto(server + "/gate?seed=7")
    board = page.locator('[data-moe="gate"]')
    expect(board).to_have_attribute("data-state", "ready", timeout=60_000)
    settled(page)
    accessible(page)
    board.get_by_role("button", name="Start").click()
    expect(board).to_have_attribute("data-state", "playing")
    board.get_by_role("button", name="Expert A").click()
    expect(board).to_have_attribute("data-placed", "1")
    for n in range(1, 24):
        page.keyboard.press("1234"[n % 4])
        expect(board).to_have_attribute("data-placed", str(n + 1))
    expect(board).to_have_attribute("data-state", "done")
    score = page.get_by_text(re.compile(r"^You made \d+ of 100 points")).first
    expect(score).to_be_visible()
    expect(page).to_have_url(re.compile("moves=7." + "ABCD" * 6))
    settled(page)
    accessible(page)
    said = score.inner_text()
    page.reload()
    expect(score).to_have_text(said)
    expect(board).to_have_attribute("data-state", "done")


@pytest.mark.soak
def test_the_clock_ends_a_round_and_can_be_left_out(page: Page, server: str) -> None:
    page.clock.install()
    page.goto(server + "/gate?seed=7")
    board = page.locator('[data-moe="gate"]')
    for _ in range(600):  # the page's own timers stand still as well
        if board.count() and board.get_attribute("data-state") == "ready":
            break
        page.clock.run_for(100)
    board.get_by_label("Without the clock").check()
    board.get_by_role("button", name="Start").click()
    page.clock.run_for(90_000)
    expect(board).to_have_attribute("data-state", "playing")
    board.get_by_label("Without the clock").uncheck()
    board.get_by_role("button", name="Play again").click()
    page.keyboard.press("A")
    page.clock.run_for(59_000)
    expect(board).to_have_attribute("data-state", "playing")
    page.clock.run_for(2_000)
    expect(board).to_have_attribute("data-state", "done")
    expect(board).to_have_attribute("data-placed", "24")
