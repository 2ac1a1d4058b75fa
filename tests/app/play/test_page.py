"""The page Play, opened without a browser: what it begins with, and bad addresses."""

from __future__ import annotations

import json

import pytest

from moe.app.play.player import markup
from moe.app.play.presets import PRESETS
from tests.app.visit import open_page


def data(page: object) -> dict:
    (element,) = page.get("bidi_component")  # type: ignore[attr-defined]
    return json.loads(element.proto.json)


def test_it_begins_with_the_run_of_the_address() -> None:
    page = open_page("play", run="16-3_9bdeepseek_40")
    assert not page.exception and not page.error
    sent = data(page)
    assert (sent["run"], sent["at"]) == ("16-3_9bdeepseek", 40)
    assert sent["experts"]["names"] == list("ABCDEFGHIJKLMNOP")


@pytest.mark.parametrize("run", ["", "8-0_", "8-0_5k9", "<img src=x>", "8-0_0x7.7", "9" * 900])
def test_a_bad_address_is_named_and_the_page_stays(run: str) -> None:
    page = open_page("play", run=run)
    assert not page.exception and len(page.error) == 1
    assert data(page)["run"] == "8-0"


def test_controls_are_there_by_their_names() -> None:
    html = markup()
    for name in ("Play", "Step", "Reset", "Balancing", "DeepSeek&#x27;s", "gentle", "strong"):
        assert f">{name}<" in html
    assert all(f'data-run="{preset.plan.written()}"' in html for preset in PRESETS)
    assert html.count('type="radio"') == 4 + 3 + 4 + 4
