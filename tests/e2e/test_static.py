"""The static edition, served without Python: its pages draw, move and keep the rules."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from moe.app.start.opening import QUESTION
from moe.app.static import PAGES
from tests.e2e.test_app import accessible

pytestmark = [pytest.mark.e2e, pytest.mark.soak]
COUNT = """(selector) => {
  window.pictures = 0;
  let last = "";
  const look = () => {
    const now = [...document.querySelectorAll(selector)].map((n) => n.getAttribute("d")).join();
    if (now !== last) { last = now; window.pictures += 1; }
    requestAnimationFrame(look);
  };
  look();
}"""


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=60_000)


@pytest.mark.parametrize("address", PAGES)
def test_a_static_page_in_both_themes_and_on_a_phone(
    page: Page, static_edition: str, address: str
) -> None:
    opened(page, f"{static_edition}/{address}/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(f'nav a[href="../{address}/"]')).to_have_attribute("aria-current", "page")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            accessible(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for link in page.locator("main a").all():
        target = link.get_attribute("href") or ""
        assert re.match(r"(\.\./[a-z-]+/|#|play\?|play$)", target), target


def test_the_first_page_balances_the_run_on_screen(page: Page, static_edition: str) -> None:
    opened(page, static_edition)
    film = page.locator('[data-moe="film"]')
    expect(film).to_have_attribute("data-step", re.compile(r"^([6-9]\d|1\d\d)$"), timeout=60_000)
    page.get_by_role("button", name=QUESTION.options["even"], exact=True).click()
    page.get_by_role("button", name="Balance the work").click()
    expect(film.locator(".reply")).to_contain_text("The work is spread evenly", timeout=60_000)
    expect(page).to_have_url(re.compile("guess=even"))
    page.get_by_role("link", name="See it live").click()
    expect(page).to_have_url(re.compile(r"/play/\?run=8-0_\d+bdeepseek"))
    play = page.locator('[data-moe="play"]')
    expect(play).to_have_attribute("data-state", re.compile("playing|paused"), timeout=60_000)


def test_what_was_not_recorded_is_said(page: Page, static_edition: str) -> None:
    opened(page, static_edition + "/play/")
    play = page.locator('[data-moe="play"]')
    expect(play).to_have_attribute("data-state", "playing")
    group = page.get_by_role("radiogroup", name="Experts per character")
    group.get_by_role("radio", name="4").check(force=True)
    expect(play.locator(".note")).to_contain_text("This is a recording")
    expect(play).to_have_attribute("data-state", "paused")
    page.get_by_role("button", name="Collapse", exact=True).click()
    expect(play).to_have_attribute("data-state", "playing")


def test_balance_plays_both_runs(page: Page, static_edition: str) -> None:
    opened(page, static_edition + "/balance/")
    player = page.locator(".player")
    expect(player).to_have_attribute("data-state", "ended", timeout=60_000)
    assert int(player.get_attribute("data-frames") or 0) > 60


@pytest.mark.parametrize("address", ["start", "savings", "five-million"])
def test_pictures_move_under_the_finger(page: Page, static_edition: str, address: str) -> None:
    opened(page, f"{static_edition}/{address}/")
    slider = page.locator(".slider input").first
    slider.scroll_into_view_if_needed()
    words = page.locator("[data-finger-words]").first.inner_text()
    page.evaluate(COUNT, "svg.marks path")
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2, steps=40)
    page.mouse.up()
    page.wait_for_function("() => window.pictures > 5")
    texts = page.locator("[data-finger-words]").all_inner_texts()
    assert words not in texts[:1]
