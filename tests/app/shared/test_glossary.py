"""Words and their meanings: one source, marked once in a text, safe to show."""

from __future__ import annotations

import re
from html import unescape

import pytest

from docs.generator import site
from docs.generator.glossary import PAGE, page
from moe.app.shared.glossary import WORDS, marked, meanings

ASKED = (
    "expert", "router", "token", "character", "step", "work", "fair share", "loss", "dense",
    "active", "balancing", "room", "attention", "transformer", "distillation", "policy", "reward",
    "reinforcement learning",
)  # fmt: skip


def test_the_words_are_there_with_a_short_meaning_each():
    assert [word.name for word in WORDS] == list(ASKED)
    for word in WORDS:
        assert word.meaning.endswith(".") and len(word.meaning.split()) <= 35


def test_the_first_place_of_each_word_is_marked_and_no_other():
    text = marked("Experts work. An expert has its *fair share* of the work.")
    assert re.findall(r">([^<>]+)</button>", text) == ["Experts", "work", "fair share"]
    plain = re.sub(r"</?button[^>]*>", "", text)
    assert plain == "Experts work. An expert has its *fair share* of the work."


@pytest.mark.parametrize(
    "kept", ["`step = 1`", "[the router](/routers)", "<b title='work'>", "framework"]
)
def test_code_links_tags_and_other_words_stay(kept):
    assert marked(f"See {kept} here") == f"See {kept} here"


def test_each_marked_word_has_its_meaning_in_the_frame():
    held = meanings()
    for word in WORDS:
        button = marked(word.name)
        described = re.search(r'aria-describedby="([^"]+)"', button)
        assert described and f'id="{described[1]}"' in held
        shown = re.search(r'data-meaning="([^"]+)"', button)
        assert shown and unescape(shown[1]) == word.meaning


def test_the_documentation_has_the_same_words():
    assert (site.HERE / PAGE).read_text("utf-8") == page()
    assert all(word.meaning in page() for word in WORDS)
    assert f": {PAGE}" in (site.HERE.parent / "mkdocs.yml").read_text("utf-8")
