"""A first visit: from the opening to a collapse that was seen, guessed and repaired in one run.

The time is that of reading all words that were in sight up to then, at 250 a minute, and of
watching the film, one after the other, though a visitor does both at once.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from moe.app.start.opening import QUESTION
from tests.e2e.test_app import accessible, settled

pytestmark = pytest.mark.e2e
A_MINUTE, MOST_SECONDS, MOST_CLICKS = 250, 45, 4
COLLAPSED = 60  # step at which a few experts have had all the work for a while

# Texts in sight, of components too, each once: (text, place) for what can be read without a click.
IN_SIGHT = """() => {
  const found = [];
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.shadowRoot) look(node.shadowRoot);
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
      if (["STYLE", "SCRIPT"].includes(node.parentElement.tagName)) continue;
      if (node.parentElement.closest('[data-testid="stIconMaterial"]')) continue;
      if (!node.parentElement.checkVisibility({ visibilityProperty: true })) continue;
      const range = document.createRange();
      range.selectNode(node);
      const { top, bottom, left, width, height } = range.getBoundingClientRect();
      const seen = width > 1 && height > 1 && bottom > 0 && top < innerHeight && left > -width;
      if (seen) found.push(node.data.trim());
    }
  };
  look(document.body);
  return found;
}"""


class Visit:
    """Counts what a visitor reads and clicks, and the seconds that she watches."""

    def __init__(self, page: Page) -> None:
        self.page, self.read, self.clicks, self.watched = page, set[str](), 0, 0.0

    def reads(self) -> None:
        self.read |= {re.sub(r"\d+", "#", text) for text in self.page.evaluate(IN_SIGHT)}

    def click(self, name: str) -> None:
        self.reads()
        self.page.get_by_role("button", name=name, exact=True).click()
        self.clicks += 1
        self.reads()

    def watch(self, until: str) -> None:
        """Watch until the film's root is as asked, a condition on the element `film`."""
        film = self.page.locator('[data-moe="film"]')
        start = time.monotonic()
        while not film.evaluate(f"film => {until}"):
            assert time.monotonic() < start + 60, until
            self.page.wait_for_timeout(50)
        self.watched += time.monotonic() - start
        self.reads()

    @property
    def words(self) -> int:
        return sum(len(text.split()) for text in self.read)

    @property
    def seconds(self) -> float:
        return 60 * self.words / A_MINUTE + self.watched


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.soak) for s in (1, 2))])
def test_a_visitor_sees_guesses_and_repairs_a_collapse(page: Page, server: str, seed: int) -> None:
    page.goto(f"{server}/?seed={seed}")
    film = page.locator('[data-moe="film"]')
    expect(film).to_have_attribute("data-state", "playing", timeout=60_000)
    visit = Visit(page)
    visit.watch(f"Number(film.dataset.step) >= {COLLAPSED}")
    expect(film.locator("canvas")).to_have_attribute(
        "aria-label", re.compile("next to nothing|idle")
    )
    visit.click(QUESTION.options["even"])
    before = int(film.get_attribute("data-step") or 0)
    visit.click("Balance the work")
    visit.watch("film.querySelector('.reply').textContent !== ''")
    assert int(film.get_attribute("data-fork") or 0) >= before  # the very run goes on
    reply = film.locator(".reply")
    expect(reply).to_contain_text("You said: All get to work. So did the run.")
    expect(reply).to_contain_text("The work is spread evenly")
    visit.reads()
    assert visit.clicks <= MOST_CLICKS
    assert visit.seconds <= MOST_SECONDS, (visit.words, visit.watched, sorted(visit.read))
    expect(page).to_have_url(re.compile("guess=even"))
    seed_name = "" if seed == 0 else str(seed)
    assert film.locator(".live").get_attribute("href") == (
        f"play?run=8-{seed_name or 0}_{film.get_attribute('data-fork')}bdeepseek"
    )
    page.reload()
    expect(page.get_by_role("button", name="All get to work")).to_have_attribute(
        "aria-pressed", "true", timeout=60_000
    )


@pytest.mark.soak
def test_the_first_screen_is_short_and_nothing_is_a_dead_end(page: Page, server: str) -> None:
    page.goto(server)
    settled(page)
    film = page.locator('[data-moe="film"]')
    box = film.locator("canvas").bounding_box()
    assert box and box["y"] <= 260
    title = page.get_by_role("heading", level=1).inner_text()
    news = film.locator(".news").inner_text()
    assert len(news.split()) <= 45 and len(f"{title} {news}".split()) <= 60
    for door in ("I am curious", "I teach", "I build models"):
        expect(page.get_by_text(door, exact=True)).to_be_attached()
    accessible(page)
    page.get_by_role("link", name="Why does it collapse? →").first.click()
    expect(page).to_have_url(re.compile(r"/balance"))
    settled(page)
    page.goto(server)
    page.get_by_role("link", name="See it live").click()
    expect(page).to_have_url(re.compile(r"/play\?run=8-0"))


@pytest.mark.soak
def test_the_film_stands_still_for_who_wants_no_motion(page: Page, server: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(server)
    film = page.locator('[data-moe="film"]')
    expect(film).to_have_attribute("data-step", "119", timeout=60_000)
    expect(film.locator(".words")).to_contain_text("of the work")
    page.get_by_role("button", name="Balance the work").click()
    expect(film.locator(".reply")).to_contain_text("The work is spread evenly")
    frames = film.get_attribute("data-frames")
    page.wait_for_timeout(500)
    assert film.get_attribute("data-frames") == frames
    page.emulate_media(reduced_motion="no-preference")


@pytest.mark.soak
def test_the_film_repeats_and_shows_the_cure_by_itself_until_it_is_touched(
    page: Page, server: str
) -> None:
    page.goto(server)
    film = page.locator('[data-moe="film"]')
    expect(film).to_have_attribute("data-state", "playing", timeout=60_000)
    expect(film).to_have_attribute("data-fork", re.compile(r"\d+"), timeout=60_000)
    page.get_by_role("button", name="Pause").click()
    expect(film).to_have_attribute("data-state", "paused")
    step = film.get_attribute("data-step")
    page.wait_for_timeout(500)
    assert film.get_attribute("data-step") == step
