"""The plane in a real browser: two models learn, their experts' territories are seen and moved."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from .conftest import ROOT, free_port

SCRIPT = """
import streamlit as st
st.set_page_config(page_title="MoEscope", layout="wide")
from moe.app.play import plane
from moe.app.shared import parts
st.html(parts.FIGURE_STYLE)
plane.show()
"""
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
GEOMETRY = "?plane_show=Geometry"


class Served:
    """The view by itself, on a port that stays."""

    def __init__(self, folder) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "app.py").write_text(SCRIPT, encoding="utf-8")
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [
            sys.executable, "-m", "streamlit", "run", str(self.folder / "app.py"),
            "--server.port", str(self.port), "--server.address", "127.0.0.1",
            "--server.headless", "true",
        ]  # fmt: skip
        log = self.folder / "log"
        with log.open("w") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                answer = urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5)
                if answer.status == 200 and self.url in log.read_text():
                    return
            time.sleep(0.05)
        pytest.fail(log.read_text())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("plane"))
    yield server
    server.stop()
    assert "Traceback" not in (server.folder / "log").read_text()


@pytest.fixture
def plane(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((served.url, served.url.replace("http", "ws"), "data:", "blob:"))
            else problems.append(f"outside: {r.url}")
        ),
    )
    yield page
    context.close()
    assert not problems, problems


def opened(page: Page, served: Served, query: str = "") -> Page:
    page.goto(f"{served.url}/{query}")
    expect(page.locator('[data-moe="plane"][data-state="paused"]')).to_be_visible()
    expect(page.locator("canvas.plane").first).to_have_attribute("aria-label", re.compile("Run A"))
    return page


def value(page: Page, name: str) -> float:
    return float(page.locator('[data-moe="plane"]').get_attribute(f"data-{name}") or 0)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def until(page: Page, step: int) -> None:
    page.wait_for_function(
        "step => Number(document.querySelector('[data-moe=plane]').dataset.step) >= step", arg=step
    )


def test_it_plays_pauses_steps_and_begins_anew(plane: Page, served: Served) -> None:
    opened(plane, served)
    top = plane.locator("canvas.plane").first.bounding_box()
    assert top and top["y"] <= 260
    until(plane, 0)
    press(plane, "Play")
    until(plane, 20)
    before = value(plane, "step"), value(plane, "frames")
    plane.wait_for_timeout(2000)
    after = value(plane, "step"), value(plane, "frames")
    assert after[0] - before[0] >= 20 and after[1] - before[1] >= 40  # in two seconds, at least
    assert value(plane, "max-vio") > 0
    press(plane, "Pause")
    root = plane.locator('[data-moe="plane"]')
    expect(root).to_have_attribute("data-state", "paused")
    plane.wait_for_timeout(300)  # an answer may still be under way
    step = int(value(plane, "step"))
    press(plane, "Step")
    expect(root).to_have_attribute("data-step", str(step + 1))
    expect(plane.locator(".difference")).to_contain_text("Different experts answer")
    press(plane, "Reset")
    expect(root).to_have_attribute("data-step", "0")
    expect(plane.locator(".difference")).to_contain_text("same everywhere")


def ring(page: Page, side: int) -> tuple[float, float]:
    page.locator(".side").select_option(str(side))
    box = page.locator(".handle").nth(side).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    "query", [GEOMETRY, f"{GEOMETRY}&plane_router_b=deepseek_v3&plane_balance_b=bias"]
)
def test_what_is_drawn_under_the_finger_is_what_the_server_says(
    plane: Page, served: Served, query: str
) -> None:
    opened(plane, served, query)
    press(plane, "Play")
    until(plane, 30)
    x, y = ring(plane, 1)
    plane.mouse.move(x, y)
    plane.mouse.down()
    expect(plane.locator('[data-moe="plane"]')).to_have_attribute("data-state", "held")
    words, frames = plane.locator(".words").nth(1).inner_text(), value(plane, "frames")
    for i in range(20):
        plane.mouse.move(x - 4 * i, y + 3 * i)
    assert value(plane, "frames") - frames >= 19  # each move is a picture
    plane.mouse.up()
    expect(plane.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(plane.locator(".words").nth(1)).not_to_have_text(words)
    until(plane, int(value(plane, "step")) + 10)  # the run goes on from there
    expect(plane.locator(".words").first).to_contain_text("0 of 16,384 pixels differ")
    press(plane, "Pause")


def test_keys_and_the_head_start_move_an_expert(plane: Page, served: Served) -> None:
    opened(plane, served, GEOMETRY)
    before = ring(plane, 0)
    plane.locator(".handle").first.focus()
    plane.keyboard.press("Shift+ArrowUp")
    expect(plane.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(plane.locator(".difference")).to_contain_text("Different experts")
    assert ring(plane, 0) != before
    apart = plane.locator(".difference").inner_text()
    plane.locator(".lift").focus()
    plane.keyboard.press("End")
    expect(plane.locator(".difference")).not_to_have_text(apart)
    expect(plane.locator('[data-moe="plane"]')).to_have_attribute("data-differ", "0")
    expect(plane.locator(".lift")).to_have_value("0")


def test_balancing_acts_on_the_running_model(plane: Page, served: Served) -> None:
    opened(plane, served)
    press(plane, "Play")
    until(plane, 30)
    plane.get_by_role("combobox", name="Balancing of A").click()
    plane.get_by_role("option", name="Auxiliary loss", exact=True).click()
    expect(plane.locator(".title").first).to_contain_text("Auxiliary loss")
    until(plane, 60)  # it went on
    assert "plane_balance_a=aux" in plane.url
    press(plane, "Pause")


def test_a_server_that_was_started_anew_takes_the_run_up_again(plane: Page, served: Served) -> None:
    opened(plane, served, GEOMETRY)
    press(plane, "Play")
    until(plane, 20)
    press(plane, "Pause")
    plane.wait_for_timeout(500)
    words, step = plane.locator(".words").nth(1).inner_text(), value(plane, "step")
    served.stop()
    served.start()
    plane.reload()
    until(plane, int(step))
    assert value(plane, "step") == step
    expect(plane.locator(".words").nth(1)).to_have_text(words)


def test_motion_that_nobody_wants_is_left_out(plane: Page, served: Served) -> None:
    plane.emulate_media(reduced_motion="reduce")
    opened(plane, served)
    press(plane, "Play")
    until(plane, 15)
    frames = value(plane, "frames")
    plane.wait_for_timeout(2000)
    assert 2 <= value(plane, "frames") - frames <= 10
    press(plane, "Pause")


@pytest.mark.parametrize("query", ["", GEOMETRY])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_use_it(
    plane: Page, served: Served, query: str, scheme: str, width: int
) -> None:
    plane.emulate_media(color_scheme=scheme)
    plane.set_viewport_size({"width": width, "height": 844})
    opened(plane, served, query)
    found = Axe().run(plane, options=AXE).response["violations"]
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    assert plane.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        small = plane.locator('[data-moe="plane"] :is(button, select):visible').evaluate_all(
            "nodes => nodes.filter(n => n.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
