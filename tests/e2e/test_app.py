"""Each page in a real browser: it opens, a control changes its chart, and nothing goes wrong."""

from __future__ import annotations

import json
import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.test_project import AA, contrast

pytestmark = pytest.mark.e2e
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],  # to list all that passes takes longer than to check it
}


def bars(page: Page, count: int | None = None, chart: int = 0) -> list[str]:
    """Spoken labels of a chart's bars, which hold their numbers, once all of them are there.

    A page is drawn from the top while its script runs, so which chart is the first changes on the
    way, and its bars come after it.
    """
    settled(page)
    marks = page.get_by_test_id("stVegaLiteChart").nth(chart)
    labels = marks.locator('svg.marks path[aria-roledescription="bar"]')
    expect(labels).not_to_have_count(0)  # a bar of no height counts as hidden, and is there
    if count:
        expect(labels).to_have_count(count)
    return [label.get_attribute("aria-label") or "" for label in labels.all()]


def changed(page: Page, before: list[str], chart: int = 0) -> None:
    """Wait until a chart's bars hold other numbers than before."""
    end = time.monotonic() + 30
    while bars(page, chart=chart) == before:
        assert time.monotonic() < end, f"still {before}"
        page.wait_for_timeout(50)


def settled(page: Page) -> None:
    state = '[data-testid="stApp"][data-test-script-state="notRunning"]'
    page.locator(state).wait_for(timeout=60_000)
    assert page.get_by_test_id("stException").count() == 0


# What a run of the page is about to replace is faded meanwhile; other pages have no such runs.
AT_REST = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return !app || (app.dataset.testScriptState === "notRunning"
    && !app.querySelector('[data-stale="true"]'));
}"""


def accessible(page: Page) -> None:
    page.wait_for_function(AT_REST)
    # What fades in, such as the ends of a slider's scale, has no contrast half way.
    page.add_style_tag(content="* { transition: none !important }")
    violations = Axe().run(page, options=RULES).response["violations"]
    assert not violations, [(v["id"], [n["html"] for n in v["nodes"]]) for v in violations]


def legible(page: Page) -> None:
    """Letters of axes have a contrast of 4.5 on the page."""
    texts = page.locator(".role-axis-label text, .role-axis-title text, .role-legend-label text")
    colours = texts.evaluate_all("all => all.map(text => getComputedStyle(text).fill)")
    assert len(colours) > 10
    paper = page.locator("body").evaluate(
        "() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    for colour in set(colours):
        one, other = (
            tuple(int(part) / 255 for part in re.findall(r"\d+", text)[:3])
            for text in (colour, paper)
        )
        assert contrast(one, other) >= AA, (colour, paper)


def test_start_shows_collapse_and_the_slider_mends_it(page: Page, server: str) -> None:
    page.goto(server)
    expect(page.get_by_role("heading", name="What happens if nobody shares")).to_be_visible()
    before = bars(page, 8)
    said = page.locator(".moe-words")
    expect(said).to_have_text(re.compile("[1-7] are idle|1 is idle"))
    settled(page)
    slider = page.get_by_role("slider", name="Balancing")
    slider.focus()
    slider.press("End")
    expect(said).to_have_text(re.compile("none is idle"))
    settled(page)
    changed(page, before)
    expect(page).to_have_url(re.compile("balance=100"))
    legible(page)
    with page.expect_download() as given:
        page.get_by_role("button", name="Run as JSON").click()
    assert json.loads(given.value.path().read_bytes())["balancing_percent"] == 100
    accessible(page)


def test_balance_plays_two_runs(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 250})
    page.goto(server + "/balance?steps=100&guess=skip")
    player = page.locator(".player")
    player.wait_for(timeout=60_000)
    settled(page)
    expect(player).to_have_attribute("data-state", "waiting")  # nobody has seen it yet
    page.set_viewport_size({"width": 1280, "height": 900})
    assert (player.locator(".bars").first.bounding_box() or {})["y"] <= 260
    expect(player).to_have_attribute("data-state", "playing")
    expect(player.locator(".verdict")).to_be_empty()
    expect(player).to_have_attribute("data-ends", "1")
    assert int(player.get_attribute("data-frames") or 0) > 60
    expect(player.locator(".verdict")).to_contain_text("B spread the work more evenly")
    expect(player).to_have_attribute("data-state", "playing")  # again, until it is touched
    player.get_by_role("slider", name="Step").fill("10")
    expect(player).to_have_attribute("data-step", "11")  # the first step is the first position
    expect(player).to_have_attribute("data-state", "paused")
    expect(player.locator(".step")).to_have_text(re.compile("Step 11 of 100"))
    for control in ("Balancing", "Who is turned away"):
        page.get_by_role("combobox", name=re.compile(control)).first.scroll_into_view_if_needed()
        expect(player.locator(".bars").first).to_be_in_viewport()
    accessible(page)


@pytest.mark.soak
def test_balance_asks_for_a_guess_first(page: Page, server: str) -> None:
    page.goto(server + "/balance?steps=100")
    player = page.locator(".player")
    player.wait_for(timeout=60_000)
    settled(page)
    expect(player).to_have_attribute("data-step", "1")
    expect(player.locator(".heat").first).to_be_hidden()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(0)
    accessible(page)
    page.get_by_role("button", name="12% (twice)").click()
    expect(page).to_have_url(re.compile("guess=x2"))
    said = player.locator(".verdict")
    expect(said).to_contain_text("You said: 12% (twice). The run said: ")
    page.reload()
    expect(said).to_contain_text("You said: 12% (twice).")
    page.get_by_role("button", name="Ask me again").click()
    expect(page.get_by_role("button", name="12% (twice)")).to_be_visible()


@pytest.mark.soak
def test_a_teachers_link_asks_and_locks(page: Page, server: str) -> None:
    page.goto(server + "/balance?steps=100&guess=skip")
    page.get_by_text("Make a task for my class").click(timeout=60_000)
    page.get_by_label("Your question").fill("Who <b>wins</b>?")
    page.keyboard.press("Tab")
    page.get_by_label("Answers to choose from").fill("A\nB")
    page.keyboard.press("Tab")
    page.get_by_text("not see the controls").click()
    link = page.locator(".st-key-balance_task code")
    expect(link).to_contain_text("lock=hidden")
    page.goto(link.inner_text())
    expect(page.get_by_text("Who <b>wins</b>?")).to_be_visible(timeout=60_000)
    settled(page)
    expect(page.get_by_role("button", name="Skip")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Balancing").first).to_be_hidden()
    page.get_by_role("button", name="B", exact=True).click()
    expect(page.locator(".player .verdict")).to_contain_text("You said: B. The run: A's busiest")
    expect(page.get_by_role("combobox", name="Balancing").first).to_be_hidden()
    expect(page.get_by_text("Make a task for my class")).to_have_count(0)
    accessible(page)


def test_the_share_box_copies_the_link_and_shows_it_as_a_qr_code(page: Page, server: str) -> None:
    page.goto(server + "/moving-data?limit=3")
    page.get_by_role("button", name="Copy embed code").click(timeout=60_000)
    box = page.locator(".share .by-hand").first
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")  # not allowed to
    page.get_by_role("button", name="Copy link").click()
    expect(box).to_have_value(f"{server}/moving-data?limit=3")
    page.get_by_role("button", name="Copy embed code").click()
    expect(box).to_have_value(re.compile(r'<iframe src=".*/moving-data\?limit=3&amp;embed=true"'))
    settled(page)
    page.get_by_role("button", name="QR code").click()
    expect(page.get_by_text("Scan it with a phone")).to_be_visible()
    code = page.get_by_role("img", name="QR code of the link")
    assert code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    settled(page)
    accessible(page)


def test_routers_asks_and_changes_with_the_menu_and_the_link_says_so(
    page: Page, server: str
) -> None:
    page.goto(server + "/routers")
    half = page.get_by_role("button", name="62 (half)")
    half.wait_for(timeout=60_000)
    settled(page)
    letters = page.get_by_test_id("stVegaLiteChart").first
    assert (letters.bounding_box() or {})["y"] <= 260
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(1)
    accessible(page)
    half.click()
    expect(page).to_have_url(re.compile("guess=half"))
    expect(page.get_by_text(re.compile("You said: 62 .*go to other experts"))).to_be_visible()
    before = bars(page, 16, chart=1)
    assert "run: A" in "".join(before)
    settled(page)
    page.get_by_role("combobox", name=re.compile("Router B")).click()
    page.get_by_role("option", name="Switch (top-1)").click()
    expect(page).to_have_url(re.compile(r"b=Switch"))
    settled(page)
    changed(page, before, chart=1)
    expect(page.get_by_text("You said")).to_have_count(0)  # of another pair
    slider = page.get_by_role("slider", name="Experts per character").first
    slider.focus()
    drawn = letters.locator("svg.marks").element_handle()
    told = page.locator(".moe-spoken").first
    assert told.bounding_box()["width"] <= 1 and "Lines from each" in told.inner_text()
    before = told.inner_text()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("k_topk_a=3"))
    settled(page)
    expect(told).not_to_have_text(before)
    assert drawn.evaluate("svg => svg.isConnected")  # new data in the same chart, which is quick
    accessible(page)
    page.get_by_role("button", name="experts can be full").click()
    expect(page.get_by_text("turns 153 choices away")).to_be_visible()
    expect(page).to_have_url(re.compile("limited=true"))
    page.reload()
    expect(page.get_by_text("turns 153 choices away")).to_be_visible()


def test_cure_asks_steers_and_trains(page: Page, server: str) -> None:
    page.goto(server + "/cure")
    drawn = page.get_by_test_id("stVegaLiteChart").first.locator(".mark-text text")
    expect(drawn.filter(has_text="your push")).to_have_count(1, timeout=30_000)
    expect(drawn.filter(has_text="ten times")).to_have_count(0)
    accessible(page)
    page.get_by_role("button", name="It comes close sooner, but never comes to rest").click()
    words = page.locator(".moe-words")
    expect(words).to_have_text(
        re.compile("So did the experiment.*24 steps, not 258.*never settles")
    )
    page.get_by_role("heading", name="And on a model that learns?").wait_for()
    settled(page)
    bars(page, 16, chart=1)
    assert page.locator("svg.marks").first.bounding_box()["y"] <= 260
    slider = page.get_by_role("slider", name="How hard to push")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("rate=0.0012"))
    expect(words).not_to_have_text(re.compile("24 steps, not 258"))
    settled(page)
    for name in ("a tenth", "your push", "ten times", "even below"):
        expect(drawn.filter(has_text=name)).to_have_count(1)
    page.get_by_text("Train them now").click()
    expect(page.get_by_text("Most even at the end")).to_be_visible(timeout=90_000)
    expect(page).to_have_url(re.compile("live=true"))
    page.get_by_text("Three ways without a fixed push").click()
    page.locator(".katex").first.wait_for()
    settled(page)
    accessible(page)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["routers", "cure"])
def test_a_new_page_in_the_dark_on_a_phone(page: Page, server: str, name: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{server}/{name}?guess=skip")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    for text in page.locator('[data-testid="stExpander"] summary').all():
        text.click()
    for holder in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{holder}.scrollWidth") <= 390
    accessible(page)


def test_savings_asks_counts_and_measures(page: Page, server: str) -> None:
    page.goto(server + "/savings?model=64&width=64")
    bars(page, 2)
    accessible(page)
    page.get_by_role("button", name="An eighth of it").click()
    before = bars(page, 3)
    settled(page)
    assert page.locator("svg.marks").first.bounding_box()["y"] <= 260
    slider = page.locator(".st-key-experts input")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("experts=17"))
    expect(page.locator(".moe-words")).to_have_text(re.compile("Each token uses 2 of 17 experts"))
    changed(page, before)
    page.get_by_role("button", name="Measure these layers").click()
    page.get_by_text("Break-even").first.wait_for(timeout=180_000)
    settled(page)
    chart = page.get_by_test_id("stVegaLiteChart").filter(has_text="slower")
    expect(chart.locator(".role-legend-symbol path")).to_have_count(2)
    page.get_by_role("button", name="Measure again").wait_for()
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_text("Measured for 17 experts")).to_be_visible()
    expect(page.get_by_text("The sliders are elsewhere by now.")).to_be_visible()
    accessible(page)
