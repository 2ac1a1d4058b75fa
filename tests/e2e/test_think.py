"""Thinking that pays in the browser: a guess, the film, its words; and a run of one visitor."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from moe.app.think.page import recorded
from moe.app.think.story import judge
from tests.e2e.test_app import settled

pytestmark = pytest.mark.e2e
TILES = "svg.marks .mark-rect path"


@pytest.mark.soak
def test_a_guess_starts_the_film_and_its_end_tells_what_came_out(page: Page, server: str) -> None:
    page.goto(f"{server}/think")
    page.get_by_role("button", name="They grow longer").click()
    film = page.locator(".reel")
    expect(film).to_have_attribute("data-state", "playing")
    tiles = page.get_by_test_id("stVegaLiteChart").first.locator(TILES)
    before = tiles.count()
    words = page.locator(".moe-words")
    expect(film).to_have_attribute("data-state", "ended")
    expect(words).to_contain_text("You said: They grow longer. So did the run.")
    expect(words).to_contain_text(judge(recorded()[0].looks).words)
    assert tiles.count() > before  # more is written in front of the answers
    page.get_by_role("slider", name="Updates by rewards").press("Home")
    expect(words).to_contain_text("After 0 updates by rewards")
    settled(page)


@pytest.mark.soak
def test_a_run_of_ones_own_goes_on_while_its_visitor_is_elsewhere(page: Page, server: str) -> None:
    page.goto(f"{server}/think?guess=skip")
    page.get_by_role("button", name="Let it learn now").click()
    expect(page.get_by_text("You may go to another page")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("It stands still until you let it go on.")).to_be_visible()
    page.locator(".st-key-next_step a").click()  # to another page, and back
    expect(page).to_have_url(re.compile("/play"))
    expect(page.locator('[data-moe="play"]')).to_be_visible()
    settled(page)
    while "/think" not in page.url:  # Play may have written its run into the address meanwhile
        page.go_back()
        page.wait_for_timeout(200)
    settled(page)
    expect(page.get_by_text("It stands still until you let it go on.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("It is shown answers:")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped it.")).to_be_visible()
    settled(page)
