"""The page Cure without a browser."""

from __future__ import annotations

import json

import pytest

from moe.app.cure.page import STEPS, TOKENS
from moe.app.cure.story import judge
from moe.studies.control import RATES, ControlSettings, respond_all
from tests.app.visit import open_page, specs, spoken, words

CROWD = ControlSettings(n_tokens=TOKENS, batches=STEPS)


def told(page) -> list[str]:
    """Paragraphs that follow the slider."""
    return [html.proto.body for html in page.get("html") if "moe-words" in html.proto.body]


def test_cure_asks_first_and_shows_two_lines_only() -> None:
    page = open_page("cure")
    assert not page.exception and len(specs(page)) == 1 and not told(page)
    assert "your push" in spoken(page)[0] and "ten times" not in spoken(page)[0]
    page.button(key="guess_swings").click().run()
    assert len(specs(page)) == 4
    assert "So did the experiment. Ten times the push comes close to even" in told(page)[0]


def test_cure_shows_slow_best_and_swinging() -> None:
    page = open_page("cure", guess="skip", others="true")
    assert not page.exception and not page.error and len(specs(page)) == 5
    responses = respond_all(0.001, CROWD)
    assert judge(responses).words in told(page)[0]
    page.select_slider(key="rate").set_value(0.01).run()
    assert "Ten times the push never comes close to even, and never settles" in told(page)[0]
    assert "First to be even: All at once" in words(page)


def test_every_position_of_the_slider_is_sent_once() -> None:
    page = open_page("cure", guess="skip", rate="0.003")
    sent = json.loads(page.get("bidi_component")[0].proto.json)
    assert sent["sliders"]["rate"]["names"] == [f"rate={rate}" for rate in RATES]
    for rate in (RATES[0], RATES[-1]):
        assert sent["words"]["words"][f"rate={rate}"] == judge(respond_all(rate, CROWD)).words
    assert sent["words"]["words"][""] == sent["words"]["words"]["rate=0.003"]


def test_the_first_picture_is_the_chart_that_all_positions_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is drawn before the other positions are worked out, and has to be kept until then."""
    from moe.app.shared import parts

    drawn: list[dict] = []
    draw = parts.draw_chart
    monkeypatch.setattr(
        parts, "draw_chart", lambda figure, spec, key: (drawn.append(spec), draw(figure, spec, key))
    )
    page = open_page("cure", guess="skip", seed="7171")
    assert not page.exception
    assert drawn[0] == drawn[1] and drawn[0]["params"]


def test_cure_ignores_a_bad_link() -> None:
    page = open_page("cure", rate="5", skew="x", experts="9999", guess="skip")
    assert not page.exception and not page.error
    assert page.select_slider(key="rate").value == 0.001
    assert page.slider(key="experts").value == 16


def test_cure_trains_with_every_push(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.cure import story

    monkeypatch.setattr(story, "SHORT", dict(steps=20, batch=64, d_model=16, d_expert=8))
    page = open_page("cure", live="true", rate="0.01", guess="skip")
    assert not page.exception and len(specs(page)) == 5
    assert "4 short trainings from the same start, done in " in words(page)
    assert "Most even at the end: " in words(page)
    drawn = spoken(page)[-1]
    assert "Lines of 4 runs over 20 steps" in drawn and "no push ends at" in drawn
