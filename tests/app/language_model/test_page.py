"""The page Language model without a browser: it asks first, plays, and trains in its worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from moe.app.language_model import story
from moe.app.language_model.page import recorded
from moe.app.shared import worker
from moe.studies import language_model
from tests.app.visit import open_page, specs, words


def film(page: Any) -> dict[str, Any]:
    (sent,) = (json.loads(part.proto.json) for part in page.get("bidi_component")
               if "shown" in json.loads(part.proto.json))  # fmt: skip
    return sent


def test_it_asks_first_and_plays_then():
    page = open_page("language_model")
    assert not page.exception and len(specs(page)) == 1
    verdict = story.judge(recorded())
    page.button(key=f"guess_{verdict.truth}").click().run()
    assert not page.exception and len(specs(page)) == 3
    sent = film(page)
    told = sent["words"]["words"]
    assert told["look=0"] == story.at_words(recorded(), 0)
    assert "So did the run." in told[sent["names"][-1]] and verdict.words in told[sent["names"][-1]]
    looks = story.of_kind(recorded(), story.MOE)[0].looks
    assert sent["words"]["samples"]["look=3"] == story.sample_text(looks[3])


def test_the_other_layer_is_shown_when_it_is_asked_for():
    first, last = (open_page("language_model", guess="skip", layer=name) for name in story.LAYERS)
    told = [film(page)["words"]["language_passage_alt"]["look=5"] for page in (first, last)]
    assert "in the first layer" in told[0] and "in the last layer" in told[1]


def test_a_model_trains_in_the_worker(monkeypatch: pytest.MonkeyPatch):
    looks = story.of_kind(recorded(), story.MOE)[0].looks
    asked: list[tuple[str, int, int]] = []

    def watch(trainer: object) -> Iterator[object]:
        yield language_model.Step(1, 6.5, 0.1)
        yield looks[2]

    def trainer_of(*told: Any) -> None:
        asked.append(told)

    monkeypatch.setattr("moe.app.shared.live_run.WORKS", worker.Works())
    monkeypatch.setattr("moe.app.shared.live_run.first_run", lambda language: False)
    monkeypatch.setattr(language_model, "watch", watch)
    monkeypatch.setattr(story, "trainer_of", trainer_of)
    page = open_page("language_model", guess="skip", steps="100", seed="5", model="active")
    page.button(key="language-model_begin").click().run()
    end = time.monotonic() + 60
    while f"{looks[2].bits:.2f} bits for a letter" not in words(page) and time.monotonic() < end:
        page.run()
    assert f"{looks[2].bits:.2f} bits for a letter" in words(page) and not page.exception
    assert asked == [("active", 100, 5)] and len(specs(page)) == 5
