"""The site's pages of the lessons, made from the same texts."""

from __future__ import annotations

import re

import pytest

from docs.generator import lessons as pages
from moe.lessons import lesson, lessons, prompt, question_of, show, values_of
from moe.lessons.course import FILES


@pytest.fixture(scope="module")
def made() -> dict[str, str | bytes]:
    return pages.files()


@pytest.mark.parametrize("name", FILES)
def test_a_page_has_notebook_pictures_and_folded_questions(
    name: str, made: dict[str, str | bytes]
) -> None:
    text = str(made[f"lessons/{name}.md"])
    one = lesson(name)
    assert text.startswith(f"# {one.title}\n\n*{one.minutes} minutes.")
    assert f"]({name}.ipynb)" in text and f"lessons/{name}.ipynb" in made
    for part in one.of("figure"):
        assert f"![{show(part.name).figure.alt}]({part.name}.svg)" in text
        assert str(made[f"lessons/{part.name}.svg"]).startswith("<svg")
    for part in one.of("question"):
        asked, values = question_of(part.name), values_of(part.name)
        assert prompt(part.name).splitlines()[0] in text
        for form in (asked.form, *(slip.form for slip in asked.slips)):
            assert f'        ??? quote "{form(values):.4g}' in text
    assert text.count("!!! question") == len(one.of("question"))
    assert "moe/lessons/course" not in text and "../../" not in text


def test_numbers_below_a_question_are_sorted_so_that_the_place_says_nothing() -> None:
    text = pages.lesson_page(lesson("letters"))
    block = text[text.index("Four characters have") :]
    numbers = re.findall(r'\?\?\? quote "([\d.]+)', block[: block.index("Three characters")])
    assert numbers == ["0.25", "0.5", "0.6667", "1", "4"]


def test_the_navigation_has_every_lesson() -> None:
    listed = [place for entry in pages.navigation() for place in entry.values()]
    assert listed == ["lessons.md", *(f"lessons/{one.name}.md" for one in lessons())]
