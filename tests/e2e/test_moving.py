"""The page Moving data in a real browser: both themes, a phone, controls, links."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from moe.app.moving_data.story import MovingSettings, wishes_met
from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)


def test_packets_travel_and_the_limit_moves_them_under_the_finger(page: Page, server: str) -> None:
    opened(page, server + "/moving-data?tokens=128")
    film = page.locator('[data-moe="packets"]')
    expect(film).to_have_attribute("data-state", "playing")
    expect(film).to_have_attribute("data-frames", re.compile(r"\d{3,}"))
    expect(film).to_have_attribute("data-limit", "4")
    slider = page.get_by_role("slider", name="Servers a token may reach")
    handle = page.locator(".st-key-limit [data-rac][style*='touch-action']").nth(1).bounding_box()
    track = page.locator(".st-key-limit").bounding_box()
    assert handle and track
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + 8, handle["y"] + 5, steps=8)
    expect(film).to_have_attribute("data-limit", "1")  # before the slider is let go
    share = film.locator(".share")
    expect(share).to_have_text(f"{wishes_met(MovingSettings())[1]:.0%}")
    page.mouse.up()
    expect(page).to_have_url(re.compile("limit=1"))
    settled(page)
    expect(film).to_have_attribute("data-limit", "1")
    slider.focus()
    slider.press("End")
    expect(share).to_have_text("100%")
    expect(page).to_have_url(re.compile("limit=8"))
    settled(page)
    film.get_by_role("button", name="Pause").click()
    expect(film).to_have_attribute("data-state", "paused")
    accessible(page)


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_on_a_phone_that_becomes_a_desk(page: Page, server: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 900})
    opened(page, server + "/moving-data?tokens=128")
    for text in page.locator('[data-testid="stMain"] [data-testid="stExpander"] summary').all():
        text.click()
    page.get_by_test_id("stVegaLiteChart").nth(5).locator("svg.marks").wait_for()
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)  # charts are drawn anew
        for holder in (
            "document.documentElement",
            "document.querySelector('[data-testid=stMain]')",
        ):
            assert page.evaluate(f"{holder}.scrollWidth") <= width
        accessible(page)
