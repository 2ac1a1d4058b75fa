"""The page Little memory in a real browser: the slider moves bars and words, without a barrier."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from moe.app.expert_cache import story
from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e


def test_words_and_bars_follow_the_slider(page: Page, server: str) -> None:
    page.goto(server + "/expert-cache")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    expect(page.get_by_text(story.verdict(16), exact=True)).to_be_visible()
    slider = page.get_by_role("slider", name="Experts kept in each layer")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_text(story.verdict(24), exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("slots=24"))
    settled(page)
    faster = story.speed_words(story.LittleMemory(slots=24))
    expect(page.get_by_text(faster)).to_be_visible()
    accessible(page)
