"""The pages on cost in a real browser: figures computed again, both themes, a phone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_app import accessible, bars, settled

pytestmark = pytest.mark.e2e


def test_the_published_figure_is_the_sum_of_its_bars(page: Page, server: str) -> None:
    page.goto(server + "/five-million")
    expect(page.get_by_text("$5.576M").first).to_be_visible(timeout=30_000)
    shown = "".join(bars(page, 3))
    dollars = [float(text) for text in re.findall(r"dollars: (\d+)", shown)]
    assert len(dollars) == 3 and sum(dollars) == 2 * 2_788_000
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=30_000)
    settled(page)
    slider = page.get_by_role("slider", name=re.compile("Rent of one chip")).first
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("price="))
    low = page.get_by_text(re.compile(r"\$4\.5M to \$17M")).first  # 1.75 x 2.545 million hours
    expect(low).to_be_visible()
    settled(page)


def test_a_machine_is_chosen(page: Page, server: str) -> None:
    page.goto(server + "/real-models?weights=16+bits")
    expect(page.get_by_text("With weights of 16 bits")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=30_000)
    settled(page)
    page.get_by_role("combobox", name=re.compile("Machine")).click()
    page.get_by_role("option", name="GeForce RTX 4090", exact=True).click()
    expect(page.get_by_text("in 22 GB of memory")).to_be_visible()
    expect(page).to_have_url(re.compile("machine=GeForce"))
    settled(page)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["five-million", "real-models"])
def test_a_page_on_a_phone(page: Page, server: str, name: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{server}/{name}")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    for text in page.locator('[data-testid="stExpander"] summary').all():
        text.click()
    page.wait_for_timeout(300)
    for holder in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{holder}.scrollWidth") <= 390
    accessible(page)


def test_every_page_is_reachable_from_a_phone(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(server + "/five-million")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    menu = page.get_by_test_id("stExpandSidebarButton")
    beside = menu.evaluate("e => getComputedStyle(e, '::after').content")
    assert beside == '"Menu · Did it cost $5M?"'
    for name, address, sign in (
        ("Would it run at home?", "/real-models", "models fit in"),
        ("What is it?", "/", "Follow one character"),
    ):
        menu.click()
        page.get_by_test_id("stSidebar").get_by_role("link", name=name).click()
        expect(page).to_have_url(re.compile(f"{address}$"))
        expect(page.get_by_text(sign).first).to_be_visible(timeout=30_000)
        expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")
        settled(page)
