"""What the sliders come to, in words that are worked out from the law and the cost model."""

from __future__ import annotations

import math

import pytest

from moe.app.scaling import share, story
from moe.numbers import gigabytes
from moe.scaling.budget import compare
from moe.scaling.runs import fitted, runs
from tests.app.visit import plain, read


def test_the_sliders_stand_at_sizes_that_were_trained() -> None:
    assert story.SIZES == (16527360, 27279360, 57369600, 132163584, 368123904, 1308819456)
    assert story.EXPERTS == (2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert {run.experts for run in runs()} == {1, *story.EXPERTS}


@pytest.mark.parametrize(("size", "pool"), [(16527360, 2), (368123904, 64), (1308819456, 512)])
def test_words_are_the_comparison(size: int, pool: int) -> None:
    found = compare(size, pool)
    mixture, as_good, as_large, as_fast = found.options
    said = story.words(size, pool)
    assert said.startswith(f"{pool} experts make this model as good as an ordinary one")
    worth = fitted().law.worth(size, pool) / size
    assert f"{worth:.1f} times as large" in said and f"{worth:.1f} times" in story.learnt(
        size, pool
    )
    assert f"takes {gigabytes(mixture.memory_bytes / 1e9)} of memory" in said
    assert f"instead of {gigabytes(as_good.memory_bytes / 1e9)}." in said
    assert f"{mixture.tokens_per_s / as_large.tokens_per_s:.1f} times slower" in said
    # What the sentences claim of any position of the sliders.
    assert as_large.loss < mixture.loss < as_fast.loss
    assert mixture.tokens_per_s >= 0.98 * as_fast.tokens_per_s


def test_what_no_run_is_near_is_said_to_be_guessed() -> None:
    for size, pool, guessed in (
        (16527360, 2, ""),
        (368123904, 64, "the equally large one"),
        (1308819456, 512, "the equally good one, the equally large one"),
        (16527360, 512, "the mixture, the equally large one"),
    ):
        _, found, rest = story.words(size, pool).partition(
            " Guessed, as the formula is fitted to no such model: "
        )
        assert rest.rstrip(".") == guessed and bool(found) == bool(guessed), (size, pool)
        options = dict(story.named(compare(size, pool)))
        for name, option in options.items():
            assert option.measured or name in guessed or name == "equally fast"


def test_every_position_is_better_and_no_slower_than_without_experts() -> None:
    for size in story.SIZES:
        for pool in story.EXPERTS:
            mixture, as_good, as_large, as_fast = story.comparison(size, pool).options
            assert as_large.loss < mixture.loss < as_fast.loss, (size, pool)
            assert as_fast.active == pytest.approx(size, rel=0.03)  # it has no gates to read
            assert mixture.memory_bytes > as_good.memory_bytes


def test_the_caption_says_how_far_dots_are_and_whose_they_are() -> None:
    said = story.law_words()
    assert "223 models" in said and "0.037" in said and "59 of them" in said
    assert "google-deepmind/scaling_laws_for_routing" in said and "CC-BY 4.0" in said
    assert "bounds for 4-bit weights and one text at a time on the machine Mac Studio" in said
    assert story.hesitates(compare(1e8, 2).options[0]) == math.exp(compare(1e8, 2).options[0].loss)


def test_the_document_is_the_comparison_and_the_code_prints_it() -> None:
    found = compare(368123904, 64)
    assert read(share.document(found), "scaling") == plain(found.as_json())
    assert "compare(active=368123904, experts=64)" in share.code(368123904, 64)
    assert share.command(368123904, 64) == "moe scaling --active 368123904 --experts 64"
