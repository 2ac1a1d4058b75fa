"""Play in a real browser: a run that is watched, changed, left and taken up again."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.e2e.conftest import free_port, started
from tests.e2e.test_app import accessible

pytestmark = pytest.mark.e2e


def opened(page: Page, address: str) -> Locator:
    page.goto(address)
    root = page.locator('[data-moe="play"]')
    root.wait_for(timeout=60_000)
    return root


# The component stands in a shadow tree, where Playwright's locators look and this has to, too.
ROOT = """[...document.querySelectorAll('*')].map((node) => node.shadowRoot?.querySelector(
  '[data-moe="play"]')).find(Boolean)"""


def wait(page: Page, condition: str) -> None:
    """Wait until the run's data say so; they are `d` in the condition, as texts."""
    page.wait_for_function(f"() => {{ const d = {ROOT}?.dataset; return d && {condition}; }}")


def play_until(page: Page, step: int) -> None:
    wait(page, f"Number(d.step) >= {step}")


def test_play_pause_step_and_reset(page: Page, edition: str) -> None:
    root = opened(page, edition + "/play")
    expect(root).to_have_attribute("data-state", "playing")  # by itself, once it is seen
    play_until(page, 20)
    page.get_by_role("button", name="Pause").click()
    expect(root).to_have_attribute("data-state", "paused")
    step = int(root.get_attribute("data-step") or 0)
    page.get_by_role("button", name="Step", exact=True).click()
    expect(root).to_have_attribute("data-step", str(step + 1))
    expect(page).to_have_url(re.compile(rf"run=8-0_{step + 1}$"))
    page.get_by_role("button", name="Reset").click()
    wait(page, f"d.state === 'playing' && Number(d.step) < {step}")
    frames = int(root.get_attribute("data-frames") or 0)
    wait(page, f"Number(d.frames) > {frames + 30}")
    accessible(page)


def test_a_collapse_is_repaired_in_the_same_run(page: Page, edition: str) -> None:
    root = opened(page, edition + "/play")
    wait(page, "Number(d.step) > 40 && Number(d.maxVio) > 2.3")
    expect(root.locator(".words")).to_contain_text("idle")
    step = int(root.get_attribute("data-step") or 0)
    group = page.get_by_role("radiogroup", name="Balancing")
    assert group.get_by_role("radio").count() == 4
    group.get_by_role("radio", name="DeepSeek's").check(force=True)
    wait(page, f"Number(d.step) > {step} && Number(d.maxVio) < 0.6")
    expect(root.locator(".words")).to_contain_text("spread evenly")
    expect(page).to_have_url(re.compile(r"run=8-0_\d+bdeepseek_\d+$"))
    assert int(root.get_attribute("data-felt") or 9999) < 3000  # the measure, on a busy machine


@pytest.mark.soak
def test_an_expert_is_switched_off_and_its_heirs_are_named(page: Page, server: str) -> None:
    root = opened(page, server + "/play")
    play_until(page, 60)
    page.get_by_role("button", name="Switch off expert E", exact=True).click()
    expect(root.locator(".words")).to_contain_text(re.compile("E is off. (Most|All)"))
    page.get_by_role("button", name="Switch on expert E", exact=True).wait_for()
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_url(re.compile(r"run=8-0_\d+x4_\d+$"))


def test_a_reload_keeps_the_state(page: Page, server: str) -> None:
    root = opened(page, server + "/play?run=8-1_30bdeepseek_90")
    expect(root).to_have_attribute("data-state", "paused")
    expect(root).to_have_attribute("data-step", "90")
    vio = root.get_attribute("data-max-vio")
    expect(page.get_by_role("radio", name="DeepSeek's")).to_be_checked()
    page.get_by_role("button", name="Play", exact=True).click()
    play_until(page, 100)
    page.get_by_role("button", name="Pause").click()
    step = root.get_attribute("data-step")
    expect(page).to_have_url(re.compile(rf"_{step}$"))
    page.reload()
    expect(root).to_have_attribute("data-step", str(step))
    expect(root).to_have_attribute("data-state", "paused")
    opened(page, server + "/play?run=8-1_30bdeepseek_90")
    expect(root).to_have_attribute("data-step", "90")
    expect(root).to_have_attribute("data-max-vio", str(vio))  # the same run, to the last bit


@pytest.mark.soak
def test_presets_and_other_numbers_of_experts(page: Page, edition: str) -> None:
    opened(page, edition + "/play")
    play_until(page, 5)
    page.get_by_role("button", name="64 experts").click()
    expect(page.get_by_role("button", name=re.compile("^Switch off expert"))).to_have_count(64)
    wait(page, "Number(d.step) > 20 && Number(d.maxVio) > 8")
    page.get_by_role("button", name="One expert only").click()
    wait(page, "Number(d.step) > 40 && Number(d.maxVio) > 6.5")
    expect(page.get_by_role("radio", name="1", exact=True)).to_be_checked()


@pytest.mark.soak
def test_a_problem_is_said_and_the_page_stays(page: Page, server: str) -> None:
    root = opened(page, server + "/play?run=8-0_0k7")
    expect(page.get_by_text("k: got '7'")).to_be_visible()
    play_until(page, 5)
    on, off = (
        page.get_by_role("button", name=re.compile(f"^Switch {way} expert"))
        for way in ("on", "off")
    )
    for switched in range(1, 7):
        off.first.click()
        expect(on).to_have_count(switched)
    off.first.click()
    expect(root.locator(".hint")).to_contain_text("needs its experts")
    assert on.count() == 6


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_on_a_phone(page: Page, server: str, scheme: str) -> None:
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": 390, "height": 844})
    root = opened(page, server + "/play")
    root.scroll_into_view_if_needed()
    root.locator("canvas").scroll_into_view_if_needed()
    play_until(page, 10)
    presets = root.locator(".preset")
    expect(presets).to_have_count(6)
    for box in (presets.nth(n).bounding_box() for n in range(6)):  # in sight without scrolling
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    for holder in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{holder}.scrollWidth") <= 390
    accessible(page)


@pytest.mark.soak
def test_a_run_is_taken_up_where_it_was_when_the_theme_changes(page: Page, server: str) -> None:
    page.emulate_media(color_scheme="light")
    root = opened(page, server + "/play")
    play_until(page, 60)
    page.get_by_role("radio", name="strong").check()
    play_until(page, 70)
    for scheme in ("dark", "light"):
        step = int(root.get_attribute("data-step") or 0)
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        paper = "#10161F" if scheme == "dark" else "#FFFFFF"
        page.wait_for_function(
            "paper => getComputedStyle(document.documentElement)"
            ".getPropertyValue('--moe-paper') === paper",
            arg=paper,
        )
        wait(page, f"d.state !== 'waiting' && Number(d.step) >= {step}")
        expect(page.get_by_role("radio", name="strong")).to_be_checked()


@pytest.mark.soak
def test_reduced_motion_waits_for_play(page: Page, server: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    root = opened(page, server + "/play")
    expect(root).to_have_attribute("data-state", "paused")
    page.get_by_role("button", name="Play", exact=True).click()
    play_until(page, 15)
    page.emulate_media(reduced_motion="no-preference")


@pytest.mark.soak
def test_a_server_that_was_killed_comes_back_in_the_same_state(
    visitor: BrowserContext, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moe", "app", "--port", str(port), "--no-browser"]
    first = started(tmp_path / "one", url, *command)
    assert first
    page = visitor.new_page()
    try:
        root = opened(page, url + "/play")
        play_until(page, 40)
        page.get_by_role("radio", name="DeepSeek's").check(force=True)
        play_until(page, 70)
        first.kill()
        first.wait()
        step = int(root.get_attribute("data-step") or 0)
        second = started(tmp_path / "two", url, *command)
        assert second
        try:
            wait(page, f"Number(d.step) > {step + 40}")
            expect(page.get_by_role("radio", name="DeepSeek's")).to_be_checked()
            wait(page, "Number(d.maxVio) < 1")
        finally:
            second.terminate()
            second.wait(10)
    finally:
        first.kill()
        page.close()
