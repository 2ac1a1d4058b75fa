"""The page Think without a browser: it asks first, plays, and lets a run learn in its worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from moe.app.shared import worker
from moe.app.think.page import recorded
from moe.app.think.story import at_words, judge
from moe.studies import thinking
from tests.app.visit import open_page, specs, spoken, words


def film(page: Any) -> dict[str, Any]:
    """What the browser gets of the film."""
    (sent,) = (json.loads(part.proto.json) for part in page.get("bidi_component")
               if "shown" in json.loads(part.proto.json))  # fmt: skip
    return sent


def test_it_asks_first_and_shows_nothing_of_what_comes():
    page = open_page("think")
    assert not page.exception and len(specs(page)) == 3
    looks = recorded()[0].looks
    assert f"{looks[0].accuracy:.0%}" in spoken(page)[1]
    assert judge(looks).words not in words(page)
    page.button(key="guess_grows").click().run()
    sent = film(page)
    assert len(sent["names"]) == len(looks) == len(sent["shown"])
    told = sent["words"]["words"]
    assert told[sent["names"][0]] == at_words(looks[0]) == told[""]
    assert told[sent["names"][-1]].startswith("You said: They grow longer. So did the run.")


def test_the_lines_grow_with_the_film():
    page = open_page("think", guess="skip")
    assert not page.exception and not page.error
    alts = film(page)["words"]["think_shares_alt"]
    looks = recorded()[0].looks
    assert alts[f"update={looks[-1].iteration}"].startswith(f"Two lines over {len(looks)} looks.")
    assert alts["update=2"].startswith("Two lines over 3 looks.")


def test_a_run_learns_in_the_worker_and_is_there_after_a_visit_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
):
    looks = recorded()[0].looks

    def watch(settings: object) -> Iterator[object]:
        yield thinking.Shown(10, 20, 0.5, 1.0)
        yield from looks[:3]

    works = worker.Works()
    monkeypatch.setattr("moe.app.shared.live_run.WORKS", works)
    monkeypatch.setattr("moe.app.shared.live_run.first_run", lambda language: False)
    monkeypatch.setattr(thinking, "watch", watch)
    page = open_page("think", guess="skip")
    n_charts = len(specs(page))
    page.button(key="think_begin").click().run()
    end = time.monotonic() + 60
    while at_words(looks[2]) not in words(page) and time.monotonic() < end:
        page.run()
    assert at_words(looks[2]) in words(page) and len(specs(page)) == n_charts + 3
    assert "It has ended." in [caption.value for caption in page.caption]
    assert page.button(key="think_begin").label == "Begin anew"


def test_a_server_that_is_full_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("moe.app.shared.live_run.WORKS", worker.Works(most=0))
    page = open_page("think", guess="skip")
    page.button(key="think_begin").click().run()
    assert "allowed are 0 at once on this server" in page.error[0].value
