"""What the page on thinking says of runs, in every case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe.app.think import share, story
from moe.app.think.story import (
    GROWS,
    SHRINKS,
    STAYS,
    at_words,
    film_words,
    judge,
    last_update,
    live_words,
    place,
    seeds_rows,
    seeds_words,
    starts_words,
    until,
    why,
)
from moe.studies.thinking import Look, Shown, Thinking, prompts
from tests.app.visit import plain, read

FIRST = Look(
    iteration=0, accuracy=0.2, sampled=0.3, length=3.0, thinks=0.2, right_thinking=0.9,
    right_at_once=0.21, zero_variance=0.1, seconds=4.0, written=(">0$",) * 8,
)  # fmt: skip
LAST = replace(FIRST, iteration=1, accuracy=0.99, length=8.0, thinks=0.98, seconds=10.4)


def run(*looks: Look, seed: int = 0, start: str = "good") -> Thinking:
    return Thinking(seed, start, looks)


@pytest.mark.parametrize(
    ("length", "truth"),
    [(8.0, GROWS), (3.75, GROWS), (3.74, STAYS), (2.41, STAYS), (2.4, SHRINKS), (1.0, SHRINKS)],
)
def test_the_end_is_held_against_the_start(length: float, truth: str):
    verdict = judge([FIRST, replace(LAST, length=length)])
    assert verdict.truth == truth
    assert f"from 3.0 to {length:.1f} signs, and right ones from 20% to 99%." in verdict.words


def test_the_share_that_thinks_is_named_where_it_rose():
    assert judge([FIRST, LAST]).words.endswith(
        "At first 20% wrote something before they answered, in the end 98%."
    )
    assert "wrote something" not in judge([FIRST, replace(LAST, thinks=0.24)]).words


def test_why_it_came_so_is_read_from_the_first_look():
    assert "running sums in front were right in 90% of cases, the others in 21%" in why([FIRST])
    worse = replace(FIRST, right_thinking=0.1)
    assert "no more often than the others (10% against 21%)" in why([worse])
    assert why([replace(FIRST, right_thinking=None)]) == ""
    assert why([replace(FIRST, right_at_once=None)]) == ""


def test_the_film_tells_the_answer_at_its_end_only():
    assert film_words([FIRST, LAST], 1, "You said so.") == "You said so."
    assert (
        film_words([FIRST, LAST], 0, "You said so.")
        == at_words(FIRST)
        == ("After 0 updates by rewards: 20% right, 3.0 signs long, 20% write something first.")
    )
    assert place(LAST) == "1 update" and until([FIRST, LAST], 0) == [FIRST]


def test_other_seeds_are_counted():
    runs = [run(FIRST, LAST), run(FIRST, replace(LAST, length=3.0, accuracy=0.4), seed=1)]
    assert seeds_words(runs) == (
        "The same with other seeds: in 1 of 2 runs answers grew longer, at least 1.0 times; 40.0% "
        "to 99.0% were right in the end. Each took 10 seconds at most, demonstrations included."
    )
    assert list(seeds_rows(runs)[1].values()) == [
        "1", "20.0% to 40.0%", "3.0 to 3.0", "20% to 98%", "10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (replace(FIRST, zero_variance=0.8), "in 80% of the groups all answers to a problem got"),
        (replace(FIRST, right_thinking=0.1, right_at_once=0.2),
         "were right in 10% of cases, others in 20%. So writing first did not pay, and its share "
         "went from 20% to 98%."),
        (FIRST, "10% of its first groups had no difference in rewards."),
        (replace(FIRST, right_thinking=None), "10% of its first groups had no difference"),
    ],
)  # fmt: skip
def test_a_failed_start_tells_its_cause(look: Look, said: str):
    failed = run(look, replace(LAST, accuracy=0.21), start="weak")
    words = starts_words({"weak": failed, "good": run(FIRST, LAST)})
    assert words.startswith("With too few demonstrations, right answers went from 20% to 21%: ")
    assert said in words
    assert words.endswith("too (10%), but because 30% of its answers are right.")


def test_a_live_run_is_told_step_by_step():
    assert live_words([]) == "The model has seen nothing yet."
    assert "10 of 160 steps" in live_words([Shown(10, 160, 1.234, 1.0)])
    assert live_words([Shown(10, 160, 1.2, 1.0), LAST]) == at_words(LAST)
    assert last_update([FIRST]) > 10 and last_update([replace(FIRST, iteration=900)]) == 900


def test_the_export_holds_every_run():
    runs = [run(FIRST, LAST), run(FIRST, LAST, seed=1)]
    found = read(share.document(runs), "think")
    assert found["words"] == judge(runs[0].looks).words and found["prompts"] == list(prompts())
    assert found["runs"] == plain([one.as_json() for one in runs])
    assert share.rows(runs[0])[1]["signs"] == 8.0 and len(share.rows(runs[0])[1]) == 5 + 8
    assert "finished(1)" in share.code(runs[1]) and "--seed 1" in share.command(runs[1])
    compile(share.code(runs[0]), "code", "exec")


def test_every_start_has_a_name():
    from moe.studies.thinking import STARTS

    assert set(story.START_NAMES) == set(STARTS)
