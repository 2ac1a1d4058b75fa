"""The way through the pages: nothing is left out, and what one page gives to the next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moe.app import frame
from moe.app.shared import path
from moe.pictures.palette import INK
from tests.app.visit import open_page, words


def test_every_page_is_on_the_way_once_and_keeps_its_address():
    addresses = [stop.address for stop in path.STOPS]
    assert set(addresses) == set(frame._shown())
    assert len(set(addresses)) == len(addresses)
    assert {"balance", "cure", "savings", "five-million", "real-models"} <= set(addresses)
    assert {"routers", "moving-data", "your-model"} <= set(addresses)


def test_the_way_leads_through_the_story_first_and_round():
    seen, here = [], path.STOPS[0].address
    for _ in path.STOPS:
        seen.append(here)
        here = path.after(here).address
    assert here == seen[0] and len(set(seen)) == len(path.STOPS)
    assert [path.part_of_story(address) for address in seen[:5]] == [1, 2, 3, 4, 0]
    groups = [path.BY_ADDRESS[address].group for address in seen]
    assert list(dict.fromkeys(groups)) == list(path.GROUPS)


def test_a_page_is_given_only_the_controls_that_it_has():
    cure, routers = path.BY_ADDRESS["cure"], path.BY_ADDRESS["routers"]
    values = {"experts": 8, "seed": 0, "text": "a&b", "k": None}
    assert path.carried(values, cure) == {"experts": 8, "seed": 0}
    assert path.carried({"experts": 2, "k": 16}, cure) == {"experts": 4, "k": 8}
    assert path.link(routers, path.carried(values, routers)) == "/routers?text=a%26b&seed=0"
    assert path.link(cure, {}) == "/cure"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One has 1.5 times the work. Two has less.", "One has 1.5 times the work."),
        ("It took 2.5 s.", "It took 2.5 s."),
        ("Is it even? No.", "Is it even?"),
        ("It fits. **Much** does not.", "It fits."),
    ],
)
def test_the_first_sentence_ends_where_the_next_begins(text, first):
    assert path.first_sentence(text) == first


def test_the_present_part_of_the_story_is_marked():
    assert path.dots(2).count("<li") == path.N_STORY == 4
    assert '<li aria-current="step">2</li>' in path.dots(2)
    assert 'aria-label="Part 2 of 4 of the story"' in path.dots(2)


def test_a_page_ends_with_what_was_seen_and_hands_its_controls_on():
    page = open_page("cure", experts="8", seed="3", guess="skip")
    said = words(page)
    assert "**What you have seen:** " in said
    assert "[And what does it save? →](/savings?experts=8" in said


@pytest.mark.parametrize("scheme", INK)
def test_the_frame_is_filled_in_for_each_theme(scheme):
    style = frame.style("Did it cost $5M?", INK[scheme])
    assert "$5M" in style and "$ink" not in style and "$title" not in style
    assert f"--moe-ink: {INK[scheme]};" in style
    logo = frame.logo(INK[scheme])
    assert logo.startswith("<svg") and INK[scheme] in logo and "currentColor" not in logo


def test_the_first_visitor_waits_for_one_page_only():
    count = "print(sum(m.startswith('moe.app.') and m.endswith('.page') for m in sys.modules))"
    code = f"import sys, moe.app.frame as f; {count}; f.load_pages(); {count}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", str(len(path.STOPS))]
