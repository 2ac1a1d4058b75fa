"""The opening film: measured collapse and repair, the same bits as a run that is changed live."""

from __future__ import annotations

import json

import numpy as np
import pytest

from moe.app.play.plan import read
from moe.app.shared.kept import KEPT
from moe.app.shared.question import Question
from moe.app.shared.stage.words import work_words
from moe.app.start.film import packet
from moe.app.start.opening import (
    BALANCING,
    END,
    FORK_STEPS,
    FORKS,
    QUESTION,
    SEEDS,
    STEPS,
    news,
    opening,
    outcome,
    seed_of,
)
from moe.training import LiveRun


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SEEDS if seed)]
)
def test_every_seed_collapses_and_is_repaired_from_any_step_of_the_film(seed: int) -> None:
    film = opening(seed).film
    shares = np.array([record.share_E for record in film.main])
    fair = 1 / shares.shape[1]
    for at in FORKS:  # wherever the button is pressed, the collapse has been seen
        before_E = shares[at - 10 : at].mean(axis=0)
        assert before_E.max() > 2.2 * fair and (before_E < 0.2 * fair).sum() >= 3
    assert shares[-END:].mean(axis=0).max() > 2.2 * fair  # and it does not mend itself
    for after in film.forks.values():
        after_E = np.mean([record.share_E for record in after[-END:]], axis=0)
        assert after_E.max() < 1.3 * fair and after_E.min() > 0.5 * fair
    assert set(opening(seed).outcomes().values()) == {"even"}


def test_the_balanced_film_is_the_live_run_bit_for_bit() -> None:
    seed, at = 1, FORKS[2]
    film = opening(seed).film
    plan, _ = read(f"{opening(seed).packed['run']}_{at}b{BALANCING[1]}")  # what the link opens
    assert plan.recipe.settings == film.recipe.settings
    assert [tuple(change) for change in plan.recipe.changes] == [(at, *BALANCING)]
    live = LiveRun(plan.recipe.settings, plan.recipe.changes)
    for recorded in [*film.main[:at], *film.forks[at]]:
        record = live.step()
        assert record.step == recorded.step and record.loss == recorded.loss
        assert np.array_equal(record.share_E, recorded.share_E)
        assert np.array_equal(record.sample.expert_A, recorded.sample.expert_A)
    assert live.n_steps == at + FORK_STEPS


def test_it_is_recorded_once_for_all() -> None:
    first = opening(0)
    assert opening(0) is first and KEPT.get(("opening", 0)) is first
    assert opening(0).packed is first.packed
    assert len(json.dumps(first.packed)) < 150_000
    with pytest.raises(ValueError, match=r"^seed: got 99, allowed is 0\.\.5$"):
        opening(99)


@pytest.mark.parametrize(
    ("text", "seed"), [(None, 0), ("3", 3), ("5", 5), ("6", 0), ("-1", 0), ("x", 0), ("²", 0)]
)
def test_the_address_names_a_seed_or_the_first_is_shown(text, seed) -> None:
    assert seed_of(text) == seed


def test_the_news_is_short_and_honest() -> None:
    words = news()
    assert len(words.split()) <= 45
    assert "January 2025" in words and "$5.6 million" in words and "disputed" in words
    assert "256 small *experts*" in words


def test_each_answer_is_held_against_the_run() -> None:
    film = opening(0)
    replies = film.replies(QUESTION)
    assert set(replies) == {str(at) for at in FORKS}
    told = work_words(film.film.forks[FORKS[0]][-END:])
    said = replies[str(FORKS[0])]
    assert said["skip"] == told and "spread evenly" in told
    assert said["even"] == f"You said: {QUESTION.options['even']}. So did the run. {told}"
    assert "The run said: All get to work." in said["same"]
    own = Question("Who wins?", {"1": "A", "2": "B"}, judged=False)
    assert film.replies(own)["30"]["2"] == f"You said: B. The run: {told}"


def test_the_outcome_is_that_of_the_records() -> None:
    film = opening(2).film
    collapsed = film.main[-END:]
    assert outcome(collapsed, collapsed) == "same"
    turned = [type(r)(**{**vars(r), "share_E": r.share_E[::-1]}) for r in collapsed]
    assert outcome(collapsed, turned) == "others"
    assert outcome(collapsed, film.forks[50][-END:]) == "even"


def test_the_browser_gets_all_there_is_to_show_at_once() -> None:
    data = packet(opening(0), QUESTION, "even")
    film = json.loads(json.dumps(data))["film"]
    assert film["main"]["n"] == STEPS and film["run"] == "8-0"
    assert [(fork["at"], fork["records"]["from"]) for fork in film["forks"]] == [
        (at, at) for at in FORKS
    ]
    assert data["guess"] == "even" and data["question"]["options"] == QUESTION.options
