"""The page Cure without a browser."""

from __future__ import annotations

import pytest

from moe.app.cure.story import judge
from moe.studies.control import respond_all
from tests.app.visit import open_page, specs, spoken, words


def test_cure_shows_slow_best_and_swinging_without_a_click() -> None:
    page = open_page("cure")
    assert not page.exception and not page.error and len(specs(page)) == 7
    assert judge(respond_all(0.001)).words in words(page)
    page.select_slider(key="rate").set_value(0.01).run()
    assert "Ten times the step never comes within 50% of the fair share" in words(page)
    assert "First to be even: Quantile" in words(page)


def test_cure_asks_before_it_shows() -> None:
    page = open_page("cure", predict="true")
    assert not specs(page) and "come to rest" not in words(page)
    page.button[0].click().run()
    assert "Choose one of the three" in page.error[0].value and not specs(page)
    page.radio[0].set_value("swings")
    page.button[0].click().run()
    assert "You were right. Ten times the step comes within 50%" in words(page) and specs(page)


def test_cure_ignores_a_bad_link() -> None:
    page = open_page("cure", rate="5", skew="x", experts="9999")
    assert not page.exception and not page.error
    assert page.select_slider(key="rate").value == 0.001
    assert page.slider(key="experts").value == 16


def test_cure_trains_with_every_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.cure import story

    monkeypatch.setattr(story, "SHORT", dict(steps=20, batch=64, d_model=16, d_expert=8))
    page = open_page("cure", live="true", rate="0.01")
    assert not page.exception and len(specs(page)) == 8
    assert "Most even at the end: " in words(page)
    assert "With none at all" in words(page) or "Each controller predicts better" in words(page)
    drawn = spoken(page)[-1]
    assert "Lines of 7 runs over 20 steps" in drawn and "Nothing ends at" in drawn
