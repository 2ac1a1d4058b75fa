"""The page without a browser: what it shows first, and what a slider changes."""

from __future__ import annotations

from moe.app.scaling import story
from moe.scaling.budget import border_words
from tests.app.visit import open_page, specs, spoken, words


def told(page: object) -> str:
    return next(
        html.proto.body for html in page.get("html") if "data-finger-words" in html.proto.body
    )


def test_the_page_shows_two_pictures_and_what_they_say() -> None:
    page = open_page("scaling")
    assert not page.exception and not page.error
    assert len(specs(page)) == 2 and len(spoken(page)) == 2
    assert story.words(story.USUAL_SIZE, story.USUAL_EXPERTS).split(".")[0] in told(page)
    assert "Do not believe it" in words(page) and "Do not believe it" in border_words("S-Base")
    assert next(caption.value for caption in page.caption) == story.law_words()


def test_a_slider_changes_words_pictures_and_code_and_the_address_opens_the_same() -> None:
    page = open_page("scaling")
    before = spoken(page)
    page.select_slider(key="pool").set_value(8).run()
    assert not page.exception and spoken(page) != before
    said = story.words(story.USUAL_SIZE, 8).split(".")[0]
    assert said in told(page) and "experts=8" in page.code[0].value
    again = open_page("scaling", pool="8", size=str(story.USUAL_SIZE))
    assert spoken(again) == spoken(page)
