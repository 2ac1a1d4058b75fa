"""The frame in a real browser: groups, the way to the next page, and where a page begins."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

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
    expect(page.get_by_text("Every token passes 2 of 8 experts").first).to_be_visible()
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
    accessible(page)
