"""The page Your model in a real browser: samples, uploads, every section, both themes, a phone."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from moe.traces import samples
from tests.app.shared.test_outside import HOSTILE, hostile_trace
from tests.app.your_model.test_story import PARITY, zipped
from tests.e2e.test_app import accessible, bars, settled

pytestmark = pytest.mark.e2e


def upload(page: Page, path: Path, at: int = 0) -> None:
    page.get_by_test_id("stFileUploader").nth(at).locator("input").set_input_files(path)


def test_a_sample_and_an_upload_in_a_browser(page: Page, server: str) -> None:
    page.goto(server + "/your-model")
    expect(page.get_by_text("“Experts are topic specialists.”")).to_be_visible(timeout=30_000)
    bars(page, 16)
    settled(page)
    accessible(page)
    below = page.locator(".moe-text .t").first
    expect(below.locator("small")).to_have_text(re.compile(r"\d+"))
    assert below.evaluate("e => getComputedStyle(e).borderBottomColor") != "rgba(0, 0, 0, 0)"
    upload(page, samples.SAMPLES[2].path)
    expect(page.get_by_text("collapsed.npz")).to_be_visible()
    expect(page.get_by_text(re.compile("tiny.*collapsed.*tokens"))).to_be_visible(timeout=30_000)
    settled(page)
    box = page.get_by_role("combobox", name=re.compile("Show"))
    box.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_timeout(300)  # a list closes when the page scrolls below it
    box.click()
    page.get_by_role("option", name="3", exact=True).click()
    expect(page.get_by_text("Expert 3 is among the choices")).to_be_visible()
    expect(page).to_have_url(re.compile("focus=3"))
    settled(page)
    accessible(page)


def test_hostile_files_end_in_a_message(page: Page, server: str, tmp_path: Path) -> None:
    page.goto(server + "/your-model")
    page.get_by_test_id("stFileUploader").first.wait_for(timeout=30_000)
    for name, raw, problem in (
        ("bad.npz", b"PK\x03\x04<script>alert(1)</script>", "cannot be read"),
        ("bad.csv", b"logit_0,logit_1\n1,<img src=x onerror=alert(1)>\n", "line 2"),
        ("bad.zip", b"PK\x05\x06" + bytes(18), "config.json"),
    ):
        (tmp_path / name).write_bytes(raw)
        upload(page, tmp_path / name)
        expect(page.get_by_role("alert").filter(has_text=problem)).to_be_visible(timeout=20_000)
        settled(page)
    accessible(page)
    with (tmp_path / "large.npz").open("wb") as large:
        large.truncate(21 * 2**20)
    upload(page, tmp_path / "large.npz")
    expect(page.get_by_text("or smaller").first).to_be_visible()
    # Names that are Markdown, HTML, formulas and icons stand there letter for letter; that nothing
    # is fetched for them is what the fixture checks of every page.
    (tmp_path / "names.npz").write_bytes(hostile_trace(tmp_path))
    upload(page, tmp_path / "names.npz")
    words = " ".join(HOSTILE.replace("\u2028", " ").split())
    for section, where in (("Neighbours", "td"), ("Topics", "p"), ("Words", "td")):
        page.get_by_test_id("stButtonGroup").get_by_text(section, exact=True).click()
        wanted = repr(HOSTILE)[1:-1] if section == "Words" else words
        shown: list[str] = []
        end = time.monotonic() + 30
        while not shown or not all(wanted in text for text in shown):
            assert time.monotonic() < end, (section, shown)
            page.wait_for_timeout(50)  # the section before stands until this one is drawn
            texts = page.get_by_test_id("stMain").locator(where).all_text_contents()
            found = [" ".join(text.replace("\u2060", "").split()) for text in texts]
            shown = [text for text in found if "evil" in text]
        settled(page)
        for live in ("a[href*=evil]", "img[src*=evil]", "td img", "p img", "td code", ".katex"):
            assert page.get_by_test_id("stMain").locator(live).count() == 0, (section, live)


@pytest.mark.soak
def test_a_checkpoint_in_a_browser(page: Page, server: str, tmp_path: Path) -> None:
    page.goto(server + "/your-model")
    page.get_by_test_id("stFileUploader").first.wait_for(timeout=30_000)
    (tmp_path / "m.zip").write_bytes(zipped(PARITY / "mixtral"))
    upload(page, tmp_path / "m.zip")
    expect(page.get_by_text("random numbers, not text")).to_be_visible(timeout=20_000)
    bars(page)
    settled(page)
    accessible(page)


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_on_a_phone(page: Page, server: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(server + "/your-model")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    for text in page.locator('[data-testid="stExpander"] summary').all():
        text.click()
    for section, sign in (
        ("Topics", "Each kind of text"),
        ("Words", "The firmest"),
        ("Neighbours", "The next token goes to the same expert"),
        ("Pairs", "Which experts work together"),
        ("Devices", "Overload factor"),
        ("Little memory", "The latest used are there"),
        ("Early and late", "Already chosen"),
        ("Layers", "mutual information"),
    ):
        page.get_by_test_id("stButtonGroup").get_by_text(section, exact=True).click()
        expect(page.get_by_text(sign).first).to_be_visible(timeout=20_000)
        settled(page)
        for holder in (
            "document.documentElement",
            "document.querySelector('[data-testid=stMain]')",
        ):
            assert page.evaluate(f"{holder}.scrollWidth") <= 390, section
        accessible(page)
