"""What holds on every page: first screen, both themes, a phone's width, and no barrier."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from moe.app.shared.path import STOPS
from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e
MOST_WORDS, LOWEST = 60, 260  # before the picture, and pixels down to it

# The first picture that is drawn large enough to be one, and the words that stand above it outside
# of the frame, in the order of the page.
FIRST_SCREEN = """() => {
  const shown = (node) => {
    const box = node.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && getComputedStyle(node).visibility !== "hidden";
  };
  const inside = (root) => [...root.querySelectorAll("*")].flatMap((node) =>
    [node, ...(node.shadowRoot ? inside(node.shadowRoot) : [])]);
  const main = document.querySelector('[data-testid="stMain"]');
  const all = inside(main);
  const pictures = all.filter((node) => shown(node) && (
    node.matches('[data-testid="stVegaLiteChart"], canvas, [data-picture]')
    || (node.matches("svg") && node.getBoundingClientRect().height > 100)));
  const top = Math.min(...pictures.map((node) => node.getBoundingClientRect().top));
  const words = [];
  for (const node of all) {
    if (!shown(node) || node.closest("style, script, .moe-spoken, .moe-claim")) continue;
    for (const child of node.childNodes) {
      if (child.nodeType !== Node.TEXT_NODE || !child.data.trim()) continue;
      const range = document.createRange();
      range.selectNodeContents(child);
      const box = range.getBoundingClientRect();
      if (box.width > 1 && box.bottom <= top) words.push(...child.data.trim().split(/\\s+/));
    }
  }
  return { top, words, pictures: pictures.length };
}"""


# Letters of charts that a picture's edge cuts off, or that end in dots since they found no room.
CUT_OFF = """() => [...document.querySelectorAll("svg.marks")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  const upright = ":not(.role-axis-title text)";  // a turned one's box is larger than its letters
  return [...svg.querySelectorAll(`text${upright}`)].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width && getComputedStyle(text).opacity !== "0" && (text.textContent.endsWith("…")
      || box.left < frame.left - 2 || box.right > frame.right + 2);
  }).map((text) => text.textContent);
})"""


def theme(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    paper = {"light": "#FFFFFF", "dark": "#10161F"}[scheme]
    page.wait_for_function(  # the server has drawn for it
        "paper => getComputedStyle(document.documentElement).getPropertyValue('--moe-paper') "
        "=== paper",
        arg=paper,
    )
    settled(page)


TEXTS = ("learn", "reading")  # pages that begin with none; of lessons, see test_learn.py
PICTURES = [stop.address for stop in STOPS if stop.address not in TEXTS]


@pytest.mark.parametrize("address", [*PICTURES, *TEXTS])
@pytest.mark.soak
def test_a_page_keeps_the_rules_in_both_themes_and_on_a_phone(
    page: Page, server: str, address: str
) -> None:
    page.goto(f"{server}/{address}?guess=skip")
    expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=90_000)
    page.locator(".st-key-next_step a").wait_for()  # the page's end, which is sent last
    settled(page)
    if address in PICTURES:
        with contextlib.suppress(TimeoutError):  # what is there then is told below
            page.wait_for_function(f"() => ({FIRST_SCREEN})().top <= {LOWEST}", timeout=10_000)
        first = page.evaluate(FIRST_SCREEN)
        assert first["top"] <= LOWEST, first
        assert len(first["words"]) <= MOST_WORDS, first
    theme(page, "light")
    assert page.evaluate(CUT_OFF) == []
    accessible(page)
    theme(page, "dark")
    accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in ("dark", "light"):
        theme(page, scheme)
        assert page.evaluate(CUT_OFF) == []
        accessible(page)
        wide = "() => document.querySelector('[data-testid=stMain]').scrollWidth"
        assert page.evaluate(wide) <= 390
