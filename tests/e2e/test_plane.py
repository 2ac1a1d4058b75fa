"""The plane in a real browser: two models learn, their experts' territories are seen and moved."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.conftest import free_port, started
from tests.e2e.test_app import accessible

pytestmark = pytest.mark.e2e
PLANE, GEOMETRY = "/play?view=Plane", "/play?view=Plane&plane_show=Geometry"
# The component stands in a shadow tree, where Playwright's locators look and this has to, too.
STEP = """Number([...document.querySelectorAll('*')].map((node) => node.shadowRoot?.querySelector(
  '[data-moe="plane"]')).find(Boolean)?.dataset.step ?? -1)"""


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator('[data-moe="plane"][data-state="paused"]')).to_be_visible()
    expect(page.locator("canvas.plane").first).to_have_attribute("aria-label", re.compile("Run A"))


def value(page: Page, name: str) -> float:
    return float(page.locator('[data-moe="plane"]').get_attribute(f"data-{name}") or 0)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def until(page: Page, step: int) -> None:
    page.wait_for_function(f"() => {STEP} >= {step}")


def test_it_plays_pauses_steps_and_begins_anew(page: Page, server: str) -> None:
    opened(page, server + PLANE)
    top = page.locator("canvas.plane").first.bounding_box()
    assert top and top["y"] <= 260
    until(page, 0)
    press(page, "Play")
    until(page, 20)
    before = value(page, "step"), value(page, "frames")
    until(page, 60)
    after = value(page, "step"), value(page, "frames")
    # Every second step is a picture of its own, and the browser draws what is between them.
    assert after[1] - before[1] > (after[0] - before[0]) / 2
    assert value(page, "max-vio") > 0
    press(page, "Pause")
    root = page.locator('[data-moe="plane"]')
    expect(root).to_have_attribute("data-state", "paused")
    step = -1
    while step != int(value(page, "step")):  # an answer may still be under way
        step = int(value(page, "step"))
        page.wait_for_timeout(1500)
    press(page, "Step")
    expect(root).to_have_attribute("data-step", str(step + 1))
    expect(page.locator(".difference")).to_contain_text("Different experts answer")
    press(page, "Reset")
    expect(root).to_have_attribute("data-step", "0")
    expect(page.locator(".difference")).to_contain_text("same everywhere")


def ring(page: Page, side: int) -> tuple[float, float]:
    page.locator(".side").select_option(str(side))
    box = page.locator(".handle").nth(side).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    "query", [GEOMETRY, f"{GEOMETRY}&plane_router_b=deepseek_v3&plane_balance_b=bias"]
)
@pytest.mark.soak
def test_what_is_drawn_under_the_finger_is_what_the_server_says(
    page: Page, server: str, query: str
) -> None:
    opened(page, server + query)
    press(page, "Play")
    until(page, 30)
    x, y = ring(page, 1)
    page.mouse.move(x, y)
    page.mouse.down()
    expect(page.locator('[data-moe="plane"]')).to_have_attribute("data-state", "held")
    words, frames = page.locator(".words").nth(1).inner_text(), value(page, "frames")
    for i in range(20):
        page.mouse.move(x - 4 * i, y + 3 * i)
    assert value(page, "frames") - frames >= 19  # each move is a picture
    page.mouse.up()
    expect(page.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(page.locator(".words").nth(1)).not_to_have_text(words)
    until(page, int(value(page, "step")) + 10)  # the run goes on from there
    expect(page.locator(".words").first).to_contain_text("0 of 16,384 pixels differ")
    press(page, "Pause")


@pytest.mark.soak
def test_keys_and_the_head_start_move_an_expert(page: Page, server: str) -> None:
    opened(page, server + GEOMETRY)
    page.locator(".expert").select_option("1")  # B, who holds ground from the start
    before = ring(page, 0)
    page.locator(".handle").first.focus()
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(page.locator(".difference")).to_contain_text("Different experts")
    assert ring(page, 0) != before
    apart = page.locator(".difference").inner_text()
    page.locator(".lift").focus()
    page.keyboard.press("End")
    expect(page.locator(".difference")).not_to_have_text(apart)
    expect(page.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(page.locator(".lift")).to_have_value("0")


@pytest.mark.soak
def test_balancing_acts_on_the_running_model(page: Page, server: str) -> None:
    opened(page, server + PLANE)
    press(page, "Play")
    until(page, 30)
    page.get_by_role("combobox", name="Balancing of A").click()
    page.get_by_role("option", name="Auxiliary loss", exact=True).click()
    expect(page.locator(".title").first).to_contain_text("Auxiliary loss")
    until(page, 60)  # it went on
    assert "plane_balance_a=aux" in page.url
    press(page, "Pause")


@pytest.mark.soak
def test_a_server_that_was_started_anew_takes_the_run_up_again(
    visitor: BrowserContext, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"]
    page = visitor.new_page()
    server = started(tmp_path / "log", url, *command)
    assert server
    try:
        opened(page, url + GEOMETRY)
        press(page, "Play")
        until(page, 20)
        press(page, "Pause")
        page.wait_for_timeout(500)  # an answer may still be under way
        words, step = page.locator(".words").nth(1).inner_text(), value(page, "step")
        server.kill()
        server.wait()
        server = started(tmp_path / "log", url, *command)
        assert server
        page.reload()
        until(page, int(step))
        assert value(page, "step") == step
        expect(page.locator(".words").nth(1)).to_have_text(words)
    finally:
        page.close()
        if server:
            server.kill()
            server.wait()


@pytest.mark.soak
def test_motion_that_nobody_wants_is_left_out(page: Page, server: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    opened(page, server + PLANE)
    press(page, "Play")
    until(page, 15)
    frames = value(page, "frames")
    page.wait_for_timeout(2000)
    assert 2 <= value(page, "frames") - frames <= 10
    press(page, "Pause")


@pytest.mark.parametrize("query", [PLANE, GEOMETRY])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.soak
def test_everybody_can_use_it(page: Page, server: str, query: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    opened(page, server + query)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        small = page.locator('[data-moe="plane"] :is(button, select):visible').evaluate_all(
            "nodes => nodes.filter(n => n.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
