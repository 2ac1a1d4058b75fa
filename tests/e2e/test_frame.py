"""The frame in a real browser: groups, the way to the next page, and where a page begins."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from moe.app.frame import CLAIM
from moe.app.shared import path
from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e


def test_groups_lead_to_the_pages(page: Page, server: str) -> None:
    page.goto(server + "/cure")
    settled(page)
    expect(page.get_by_text(CLAIM)).to_be_visible()
    header = page.get_by_test_id("stHeader")
    for group in path.GROUPS:
        expect(header.get_by_text(group, exact=True)).to_be_visible()
    header.get_by_text("Story", exact=True).click()
    page.get_by_role("menuitem", name="4 · What does it save?").click()
    expect(page).to_have_url(re.compile("/savings$"))
    settled(page)
    title = page.get_by_role("heading", level=1)
    box, head = title.bounding_box(), header.bounding_box()
    assert box and head
    assert box["y"] - head["y"] - head["height"] <= 32
    assert title.evaluate("e => getComputedStyle(e).fontSize") == "32px"


def test_the_next_page_has_the_same_controls(page: Page, server: str) -> None:
    page.goto(server + "/cure?experts=8&seed=3")
    settled(page)
    page.get_by_role("link", name="And what does it save?").click()
    expect(page).to_have_url(re.compile(r"/savings\?experts=8$"))
    expect(page.get_by_text("Each token uses 2 of 8 experts").first).to_be_visible()
    settled(page)
    page.get_by_role("link", name="So did it cost").click()
    expect(page).to_have_url(re.compile("/five-million$"))
    settled(page)
    end = page.get_by_test_id("stMain").evaluate(
        "e => e.scrollHeight - (document.querySelector('.st-key-next_step')"
        ".getBoundingClientRect().bottom + e.scrollTop)"
    )
    assert end < 100  # and no empty screen below


def test_a_phone_reads_the_menu_as_groups(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server + "/routers")
    settled(page)
    expect(page.get_by_text(CLAIM)).to_be_visible()
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.get_by_test_id("stSidebar").get_by_text("The news")).to_be_visible()
    lists = page.get_by_test_id("stSidebarNavItems")
    expect(lists.first).to_have_attribute("role", "presentation")  # mended by a script of the page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    accessible(page)


def test_the_frame_leads_to_the_documentation_and_the_source(page: Page, server: str) -> None:
    page.goto(server + "/cure")
    settled(page)
    page.get_by_role("link", name="Documentation").click()
    expect(page.get_by_role("heading", name="Where can I read more?")).to_be_visible()
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()
    accessible(page)
    page.get_by_role("link", name="Source", exact=True).click()
    expect(page.get_by_text("choose, cap, dispatch, apply experts, combine")).to_be_visible()
    settled(page)
    accessible(page)


def shows(page: Page, word: Locator, meaning: str | None) -> None:
    """Wait until a word shows its meaning, or nothing for None."""
    content = "e => getComputedStyle(e, '::after').content"
    end = time.monotonic() + 10
    while (said := word.evaluate(content)) != (f'"{meaning}"' if meaning else "none"):
        assert time.monotonic() < end, said
        page.wait_for_timeout(50)


def test_a_word_is_explained_by_pointer_keyboard_and_touch(page: Page, server: str) -> None:
    page.goto(server)
    settled(page)
    page.locator("#moe-word-expert").wait_for(state="attached")
    word = page.locator(".moe-word", has_text="expert").first
    meaning = word.get_attribute("data-meaning")
    shows(page, word, None)
    word.hover()
    shows(page, word, meaning)
    page.keyboard.press("Escape")
    shows(page, word, None)
    page.mouse.move(0, 0)
    word.focus()
    shows(page, word, meaning)
    expect(word).to_have_accessible_description(meaning or "")
    accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    last = page.locator(".moe-word").last
    last.click()
    shows(page, last, last.get_attribute("data-meaning"))
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth") <= 390
