"""The pages on cost in a real browser: figures computed again, both themes, a phone."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from moe.app.real_models.story import HAVE, OWN_MACHINE, Answers, Question
from moe.cost import MODELS
from moe.traffic.tables import load_table
from tests.e2e.test_app import accessible, bars, changed, settled

pytestmark = pytest.mark.e2e


SPEEDS = 3  # charts of the page on real models before that of speeds


def fitting(machine: str, **own: float) -> str:
    """How many of all models fit, as the page says it."""
    answers = Answers(Question(machine=machine, **own))
    return f"{len(answers.fitting)} of {len(MODELS)}"


# Counts the pictures of a chart that differ from the one before, at the screen's rate.
COUNT = """chart => {
  const seen = { pictures: 0, last: "" };
  const look = () => {
    const now = chart.querySelector("svg.marks").innerHTML;
    if (now !== seen.last) { seen.last = now; seen.pictures += 1; }
    requestAnimationFrame(look);
  };
  look();
  window.seen = seen;
}"""
# Words that stand before an element on the screen and in the page, the frame around it left out.
WORDS_BEFORE = """picture => {
  const main = document.querySelector('[data-testid=stMain]');
  const end = picture.getRootNode().host ?? picture;
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  let words = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!(node.compareDocumentPosition(end) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
    const box = node.parentElement.getBoundingClientRect();
    const apart = "style, script, .moe-spoken, .moe-claim";
    if (box.width < 2 || node.parentElement.closest(apart)) continue;
    if (!node.parentElement.checkVisibility({ visibilityProperty: true })) continue;
    words += node.textContent.split(/\\s+/).filter(Boolean).length;
  }
  return words;
}"""


def pictures_a_second(page: Page, key: str, chart: Locator) -> float:
    """Drag a slider's last handle to its end and far back, and count the pictures that change."""
    chart.evaluate(COUNT)
    track = page.locator(f".st-key-{key}").bounding_box()
    handle = page.locator(f".st-key-{key} [data-rac][style*='touch-action']").last.bounding_box()
    assert track and handle
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    ends = track["x"] + track["width"] - 12, track["x"] + 0.4 * track["width"]
    page.mouse.move(x, y)
    page.mouse.down()
    before, begun = page.evaluate("seen.pictures"), time.monotonic()
    for end, steps in zip(ends, (30, 45), strict=True):
        page.mouse.move(end, y, steps=steps)
    seconds = time.monotonic() - begun
    changed = page.evaluate("seen.pictures") - before
    page.mouse.up()
    print(f"{key}: {changed} pictures in {seconds:.2f} s")
    return float(changed / seconds)


def first_screen(page: Page, picture: Locator) -> None:
    box = picture.bounding_box()
    assert box and box["y"] <= 260
    assert picture.evaluate(WORDS_BEFORE) <= 60


def test_the_servers_are_asked_for_first_and_then_drawn_to_scale(page: Page, server: str) -> None:
    page.goto(server + "/five-million")
    picture = page.locator(".squares")
    expect(picture.locator("rect[data-key]")).to_have_count(1)
    expect(page.get_by_role("button", name="Figure as SVG")).to_be_visible()
    settled(page)
    first_screen(page, picture)
    page.get_by_role("tab", name="What was left out?").click()
    expect(page.get_by_text("Guess first, or skip")).to_be_visible()
    page.get_by_role("button", name="About $100M").click()
    expect(page.get_by_text("290 times the famous figure")).to_be_visible()
    expect(page).to_have_url(re.compile("guess=100"))
    expect(picture).to_have_attribute("data-state", "still", timeout=20_000)
    expect(picture).to_have_attribute("data-step", "servers")
    squares = picture.locator("rect[data-key]").evaluate_all(
        "all => all.map(r => [r.dataset.key, +r.dataset.dollars, "
        "+r.getAttribute('width'), +r.getAttribute('height')])"
    )
    assert {key: dollars for key, dollars, _, _ in squares} == {
        "run": 2 * 2_788_000, "trials": 8 * 2_788_000, "guess": 100e6, "servers": 1.6e9,
    }  # fmt: skip
    scales = [dollars / (width * height) for _, dollars, width, height in squares]
    assert max(scales) == pytest.approx(min(scales), rel=1e-9)
    assert all(width == height for _, _, width, height in squares)
    crossed_by_no_line(picture)
    page.get_by_role("button", name="Trial runs").click()
    expect(picture).to_have_attribute("data-step", "trials")
    expect(picture).to_have_attribute("data-state", "still", timeout=20_000)
    crossed_by_no_line(picture)
    accessible(page)
    page.reload()
    expect(page.get_by_text("You said $100M")).to_be_visible()
    settled(page)


def crossed_by_no_line(picture: Locator) -> None:
    """No edge of a square runs through the letters of a label."""
    crossings = picture.evaluate(
        """root => {
          const edges = [...root.querySelectorAll("rect")].map(r => r.getBoundingClientRect());
          const texts = [...root.querySelectorAll("text")].filter(t => t.getClientRects().length);
          return texts.flatMap(t => {
            const b = t.getBoundingClientRect();
            const through = (at, low, high) => at > low + 2 && at < high - 2;
            return edges.filter(e => b.width &&
              (e.top < b.bottom && e.bottom > b.top &&
                (through(e.left, b.left, b.right) || through(e.right, b.left, b.right))) ||
              (e.left < b.right && e.right > b.left && through(e.top, b.top, b.bottom))
            ).map(() => t.textContent);
          });
        }"""
    )
    assert crossings == []


@pytest.mark.soak
def test_the_rent_follows_the_finger(page: Page, server: str) -> None:
    page.goto(server + "/five-million")
    chart = page.get_by_test_id("stVegaLiteChart").first
    bars(page, 1)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=30_000)
    settled(page)
    chart.scroll_into_view_if_needed()
    for key in ("price", "mfu"):
        assert pictures_a_second(page, key, chart) >= 10
    expect(page).to_have_url(re.compile("price="))
    settled(page)
    page.goto(server + "/five-million")
    slider = page.get_by_role("slider", name=re.compile("Rent of one chip")).first
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("price="))
    low = page.get_by_text(re.compile(r"\$4\.5M to \$17M")).first  # 1.75 x 2.545 million hours
    expect(low).to_be_visible()
    settled(page)


@pytest.mark.soak
def test_the_published_figure_is_the_sum_of_its_bars(page: Page, server: str) -> None:
    page.goto(server + "/five-million")
    expect(page.get_by_text("$5.576M").first).to_be_visible(timeout=30_000)
    settled(page)
    page.get_by_role("tab", name="What did it pay for?").click()
    page.get_by_role("heading", name="and what it paid for").wait_for()
    shown = "".join(bars(page, 3))
    dollars = [float(text) for text in re.findall(r"dollars: (\d+)", shown)]
    assert len(dollars) == 3 and sum(dollars) == 2 * 2_788_000
    assert page.locator("main svg.marks:visible").first.bounding_box()["width"] > 300


def test_one_click_changes_what_a_real_model_reads(page: Page, server: str) -> None:
    page.goto(server + "/real-models")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    picture = page.get_by_test_id("stVegaLiteChart").first
    first_screen(page, picture)
    marks = picture.locator("svg.marks path[aria-roledescription='rect mark']")
    expect(marks).to_have_count(26 * 64)
    said = page.get_by_text(re.compile("the busiest expert of a layer does|does 5.8 times")).first
    expect(said).to_contain_text("On translation, the busiest expert of a layer does 5.8 times")
    before = marks.first.get_attribute("aria-label")
    page.get_by_role("radio", name="Law").click()
    expect(page).to_have_url(re.compile("task=Law"))
    expect(page.get_by_text("On law").first).to_be_visible()
    settled(page)
    expect(marks.first).not_to_have_attribute("aria-label", before or "")
    loads = load_table("v2-lite").loads["law"][0]
    ratio = loads[0] * 64 / sum(loads)
    expect(marks.first).to_have_attribute("aria-label", re.compile(f"fair shares: {ratio:.2f}"))
    page.reload()
    expect(page.get_by_text("On law").first).to_be_visible(timeout=30_000)
    settled(page)
    page.get_by_text("Where these figures are from").click()
    expect(page.get_by_role("link", name="deepseek-ai/ESFT")).to_be_visible()
    settled(page)
    accessible(page)


@pytest.mark.soak
def test_a_machine_is_chosen_and_two_models_write(page: Page, server: str) -> None:
    page.goto(server + "/real-models")
    race = page.locator(".typing")
    expect(race.get_by_role("heading", name="gpt-oss-20b")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=30_000)
    settled(page)
    race.scroll_into_view_if_needed()
    slow, fast = race.locator(".side").all()
    expect(slow).to_have_attribute("data-letters", re.compile("[6-9][0-9]|[0-9]{3}"))
    race.get_by_role("button", name="Pause").click()
    expect(race).to_have_attribute("data-state", "paused")
    letters = [int(side.get_attribute("data-letters") or 0) for side in (slow, fast)]
    speeds = [float(side.locator(".speed").inner_text().split()[0]) for side in (slow, fast)]
    if letters[1] < 400:  # not at the end of its text
        assert letters[1] / letters[0] == pytest.approx(speeds[1] / speeds[0], rel=0.1)
    assert len(slow.locator(".text").inner_text().rstrip()) <= letters[0]
    page.get_by_text("Gaming PC 24 GB").click()
    expect(page.get_by_text(fitting(HAVE["Gaming PC 24 GB"][0]), exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("have=Gaming"))
    settled(page)
    page.get_by_text("Every figure, and where it is from").click()
    expect(page.get_by_test_id("stDataFrame")).to_have_count(1)
    settled(page)
    accessible(page)


@pytest.mark.soak
def test_who_prefers_no_motion_gets_the_numbers_only(page: Page, server: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(server + "/real-models")
    race = page.locator(".typing")
    expect(race).to_have_attribute("data-state", "still")
    expect(race.locator(".speed").first).to_be_visible()
    expect(race.locator(".paper").first).to_be_hidden()
    page.goto(server + "/five-million?guess=400")
    squares = page.locator(".squares")
    expect(squares).to_have_attribute("data-state", "still")
    expect(squares).to_have_attribute("data-step", "servers")
    settled(page)
    page.emulate_media(reduced_motion="no-preference")


@pytest.mark.soak
def test_the_list_of_models_follows_the_finger(page: Page, server: str) -> None:
    page.goto(server + "/real-models?have=My+own")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=30_000)
    settled(page)
    chart = page.get_by_test_id("stVegaLiteChart").nth(SPEEDS)
    before = bars(page, len(MODELS), SPEEDS)
    page.locator(".st-key-gb").evaluate("e => e.scrollIntoView({block: 'center'})")
    for key in ("gbs", "gb"):
        assert pictures_a_second(page, key, chart) >= 10
    slider = page.get_by_role("slider", name="Its memory, GB")
    slider.focus()
    slider.press("End")
    expect(page).to_have_url(re.compile("gb=512"))
    most = fitting(OWN_MACHINE, memory_gb=512)
    expect(page.get_by_text(most, exact=True)).to_be_visible()
    changed(page, before, SPEEDS)
    settled(page)


def test_more_experts_are_worth_more_under_the_finger_and_in_the_address(
    page: Page, server: str
) -> None:
    page.goto(server + "/scaling")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    told, slider = page.locator(".moe-words").first, page.locator(".st-key-pool input")
    expect(told).to_have_text(re.compile("^64 experts make this model"))
    before = page.locator(".moe-spoken").first.inner_text()
    slider.focus()
    slider.press("End")
    expect(told).to_have_text(re.compile("^512 experts make this model"))
    expect(page).to_have_url(re.compile("pool=512"))
    settled(page)
    expect(page.locator(".moe-spoken").first).not_to_have_text(before)
    expect(page.get_by_text("Do not believe it")).to_be_visible()
    page.get_by_role("link", name="What moves between the chips?").click()
    expect(page).to_have_url(re.compile("/moving-data"))
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["five-million?guess=25", "real-models", "scaling"])
@pytest.mark.soak
def test_a_page_on_a_phone(page: Page, server: str, address: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{server}/{address}")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    settled(page)
    for tab in [None, *page.get_by_role("tab").all()]:
        if tab:
            tab.click()
        for text in page.locator('[data-testid="stExpander"] summary:visible').all():
            if not text.evaluate("e => e.parentElement.open"):
                text.click()
                settled(page)
        page.wait_for_timeout(300)
        for holder in ("documentElement", "querySelector('[data-testid=stMain]')"):
            assert page.evaluate(f"document.{holder}.scrollWidth") <= 390
        accessible(page)


@pytest.mark.soak
def test_every_page_is_reachable_from_a_phone(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(server + "/five-million")
    page.get_by_role("button", name="Figure as SVG").wait_for(timeout=60_000)
    menu = page.get_by_test_id("stExpandSidebarButton")
    beside = menu.evaluate("e => getComputedStyle(e, '::after').content")
    assert beside == '"Menu · Did it cost $5M?"'
    for name, address, sign in (
        ("Real models", "/real-models", "models fit. The best is"),
        ("What is it?", "/", "Follow one character"),
    ):
        menu.click()
        page.get_by_test_id("stSidebar").get_by_role("link", name=name).click()
        expect(page).to_have_url(re.compile(f"{address}$"))
        expect(page.get_by_text(sign).first).to_be_visible(timeout=30_000)
        expect(page.get_by_test_id("stSidebar")).to_have_attribute("data-collapsed", "true")
        settled(page)
