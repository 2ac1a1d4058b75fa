"""The page Moving data in a real browser: both themes, a phone, controls, links."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_app import accessible, bars, changed, settled

pytestmark = pytest.mark.e2e


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)


def test_the_story_and_a_control(page: Page, server: str) -> None:
    opened(page, server + "/moving-data")
    expect(page.get_by_text(re.compile("times less"))).to_be_visible()
    before = bars(page, 3)
    links = page.get_by_test_id("stVegaLiteChart").nth(1).locator(".mark-rule line")
    expect(links).to_have_count(17)  # NVLink and network of eight nodes, and what joins them
    slider = page.get_by_role("slider", name="Nodes a token may reach")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("limit=3"))
    page.get_by_text(re.compile("8.00, 5.29, 2.9")).wait_for(timeout=30_000)
    settled(page)
    changed(page, before)
    accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_on_a_phone_that_becomes_a_desk(page: Page, server: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 900})
    opened(page, server + "/moving-data?tokens=128")
    for text in page.locator('[data-testid="stExpander"] summary').all():
        text.click()
    page.get_by_test_id("stVegaLiteChart").nth(4).locator("svg.marks").wait_for()
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)  # charts are drawn anew
        for holder in (
            "document.documentElement",
            "document.querySelector('[data-testid=stMain]')",
        ):
            assert page.evaluate(f"{holder}.scrollWidth") <= width
        accessible(page)
