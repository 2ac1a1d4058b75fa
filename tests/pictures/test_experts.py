"""One name and one colour for an expert, legible in both themes."""

from __future__ import annotations

import itertools

import pytest

from moe.pictures.experts import (
    EXPERT_COLOURS,
    expert_colour,
    expert_name,
    letter_ink,
    luminance,
)
from moe.pictures.palette import CROWDED, FAIR, IDLE, PAPER, TWICE

AA, AA_GRAPHICS = 4.5, 3.0  # least contrast of letters and of what is not text, WCAG 2.2


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_names_count_as_columns_of_a_spreadsheet_do():
    assert [expert_name(e) for e in (0, 7, 25, 26, 27, 51, 52, 701, 702)] == [
        "A", "H", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip
    assert len({expert_name(e) for e in range(1000)}) == 1000


def test_luminance_is_what_wcag_says():
    assert luminance("#FFFFFF") == pytest.approx(1)
    assert luminance("#000000") == 0
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("colour", EXPERT_COLOURS)
@pytest.mark.parametrize("paper", PAPER.values())
def test_a_box_is_seen_on_the_page_of_each_theme(colour, paper):
    assert contrast(colour, paper) >= AA_GRAPHICS


@pytest.mark.parametrize("colour", [*EXPERT_COLOURS, IDLE, FAIR, TWICE, CROWDED])
def test_a_letter_is_legible_on_its_box(colour):
    ink = letter_ink(colour)
    least = AA if colour in EXPERT_COLOURS else AA_GRAPHICS  # large and bold on a load's colour
    assert contrast(colour, ink) >= least


def test_colours_differ_and_stand_for_experts_only_if_there_are_enough():
    assert len(set(EXPERT_COLOURS)) == 8
    for one, other in itertools.combinations(EXPERT_COLOURS, 2):
        parts = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (one, other)]
        assert sum((a - b) ** 2 for a, b in zip(*parts, strict=True)) ** 0.5 > 60
    assert [expert_colour(e, 8) for e in range(8)] == list(EXPERT_COLOURS)
    assert expert_colour(0, 9) is None


def test_what_is_no_expert_is_refused():
    with pytest.raises(ValueError, match=r"^e: got -1"):
        expert_name(-1)
    with pytest.raises(ValueError, match=r"^e: got 8"):
        expert_colour(8, 8)
