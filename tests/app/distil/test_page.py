"""The page Distil without a browser: it asks first, then shows both lines and what is saved."""

from __future__ import annotations

from moe.app.distil import story
from moe.app.distil.page import recorded
from tests.app.visit import open_page, specs, spoken, words


def test_it_asks_first_and_shows_the_first_look_only():
    page = open_page("distil")
    assert not page.exception and len(specs(page)) == 1
    verdict = story.judge(recorded())
    assert verdict.words not in words(page)
    last = recorded()[0].students["alone"][-1].step
    assert f"over {last} of {last} steps" not in spoken(page)[0]
    page.button(key=f"guess_{verdict.truth}").click().run()
    assert not page.exception and len(specs(page)) == 2
    assert f"over {last} of {last} steps" in spoken(page)[0]
    assert "So did the run" in words(page) and verdict.truth in story.QUESTION.options


def test_the_clock_is_counted():
    page = open_page("distil", guess="skip")
    assert not page.exception and story.seconds_words(recorded()) in words(page)
    assert story.text_words(recorded()) in words(page)
    assert len(page.table[0].value) == len(recorded())
