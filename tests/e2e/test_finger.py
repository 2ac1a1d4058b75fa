"""Pictures that move while a slider is dragged: counted, and at rest where the finger left them."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.test_app import settled

pytestmark = pytest.mark.e2e
LEAST = 10  # changed pictures a second
# Counts frames in which the marks differ from the frame before, and charts that were drawn anew.
COUNT = """() => {
  const all = () => [...document.querySelectorAll("svg.marks")];
  const shapes = () => all().flatMap((svg) => [...svg.querySelectorAll("path")])
    .map((path) => path.getAttribute("d")).join();
  window.seen = { pictures: 0, anew: 0 };
  let charts = all(), last = shapes();
  const look = () => {
    const now = shapes();
    if (now !== last) window.seen.pictures += 1;
    window.seen.anew += charts.filter((svg) => !svg.isConnected).length;
    [charts, last] = [all(), now];
    requestAnimationFrame(look);
  };
  look();
}"""
HANDLE = """(input) => {
  let node = input;
  while (!(node.getAttribute("style") ?? "").includes("touch-action")) node = node.parentElement;
  const box = node.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    page.wait_for_timeout(500)  # charts below are still being drawn
    page.evaluate(COUNT)


def seen(page: Page, what: str) -> int:
    return int(page.evaluate(f"window.seen.{what}"))


def marks(page: Page) -> list[str]:
    paths = page.locator("svg.marks path").evaluate_all("all => all.map(p => p.getAttribute('d'))")
    return [path or "" for path in paths]


class Hand:
    """A mouse that has taken hold of a slider's handle."""

    def __init__(self, page: Page, key: str) -> None:
        self.page, self.track = page, page.locator(f".st-key-{key}").bounding_box()
        self.x, self.y = page.locator(f".st-key-{key} input").first.evaluate(HANDLE)
        page.mouse.move(self.x, self.y)
        page.mouse.down()

    def drag(self, share: float, seconds: float) -> float:
        """Move to a share of the track's length; returns the changed pictures a second."""
        assert self.track
        goal = self.track["x"] + 6 + share * (self.track["width"] - 12)
        before, start, now = seen(self.page, "pictures"), time.monotonic(), 0.0
        while now < seconds:
            now = min(time.monotonic() - start, seconds)
            self.page.mouse.move(self.x + (goal - self.x) * now / seconds, self.y)
        self.x = goal
        self.page.wait_for_timeout(50)
        return (seen(self.page, "pictures") - before) / (time.monotonic() - start)


def words(page: Page) -> Locator:
    return page.locator(".moe-words").first


@pytest.mark.parametrize(
    ("address", "key", "in_address"),
    [
        ("/cure?guess=skip", "rate", r"rate=0\.0"),
        ("/savings?guess=skip", "experts", "experts=[45]"),
    ],
)
@pytest.mark.soak
def test_the_picture_follows_the_finger_and_rests_where_it_leaves(
    page: Page, server: str, address: str, key: str, in_address: str
) -> None:
    opened(page, server + address)
    told = words(page).inner_text()
    hand = Hand(page, key)
    hand.drag(0.0, 0.5)
    best = max(hand.drag(share, 0.8) for share in (1.0, 0.0, 1.0))  # on a busy machine
    assert best >= LEAST, f"{best:.1f} changed pictures a second"
    hand.drag(0.7, 0.4)
    expect(words(page)).not_to_have_text(told)
    held, said, spoken = marks(page), words(page).inner_text(), page.locator(".moe-spoken").first
    heard = spoken.inner_text()
    assert not re.search(in_address, page.url)
    page.mouse.up()
    expect(page).to_have_url(re.compile(in_address))
    settled(page)
    assert words(page).inner_text() == said and spoken.inner_text() == heard
    n = page.locator("svg.marks").first.locator("path").count()
    assert marks(page)[:n] == held[:n] and seen(page, "anew") == 0


def test_the_slider_that_was_touched_last_counts_and_a_new_page_begins_at_rest(
    page: Page, server: str
) -> None:
    opened(page, server + "/savings?guess=skip")
    for name, key, said in (
        ("experts", "End", "2 of 64 experts"),
        ("k", "ArrowRight", "3 of 64 experts"),
        ("experts", "ArrowLeft", "3 of 63 experts"),
    ):
        slider = page.locator(f".st-key-{name} input")
        slider.focus()
        slider.press(key)
        expect(words(page)).to_have_text(re.compile(said))
    expect(page).to_have_url(re.compile("experts=63.*k=3|k=3.*experts=63"))
    settled(page)
    expect(words(page)).to_have_text(re.compile("3 of 63 experts"))
    at_rest = marks(page)
    page.reload()
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    expect(words(page)).to_have_text(re.compile("3 of 63 experts"))
    expect(page.locator("svg.marks path")).to_have_count(len(at_rest))
    assert marks(page) == at_rest
