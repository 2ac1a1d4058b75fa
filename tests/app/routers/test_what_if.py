"""What each pair of routers is said to show holds on several sentences and seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.routers.what_if import WHAT_IFS, answer, difference, question
from moe.app.shared.first_model import DEFAULT_SENTENCE, ready_model

SENTENCES = (
    DEFAULT_SENTENCE,
    "It was the best of times, it was the worst of times, it was the age of wisdom.",
    "import numpy as np; print(np.arange(10).sum())",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
)


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("name", WHAT_IFS)
def test_a_pair_shows_what_it_is_there_for(name: str, sentence: str) -> None:
    what_if = WHAT_IFS[name]
    for seed in range(3):
        both = put_side_by_side(ready_model(), sentence, replace(what_if.settings, seed=seed))
        assert what_if.holds(both) and difference(both) == what_if.shows(both)


def test_numbers_of_a_difference_are_those_of_the_sides() -> None:
    said = {}
    for name, what_if in WHAT_IFS.items():
        both = put_side_by_side(ready_model(), DEFAULT_SENTENCE, what_if.settings)
        said[name] = both, difference(both)
    both, words = said["full"]
    assert f"A turns {both.a.dropped} choices away, B {both.b.dropped}." in words
    both, words = said["choose"]
    assert f"{both.a.share_E.max():.0%} of the work in A and {both.b.share_E.max():.0%}" in words
    assert f"but {both.b.unserved} characters got none" in words
    assert "A calls 2 experts for a character, B 1" in said["one"][1]
    both, words = said["unsure"]
    assert f"up to {both.b.chosen_NE.sum(axis=1).max()} to others" in words
    both, words = said["fixed"]
    repeated = {t for t in both.tokens if both.tokens.count(t) > 1}
    changing = [
        t for t in repeated
        if len({both.a.chosen_NE[n].tobytes() for n, u in enumerate(both.tokens) if u == t}) > 1
    ]  # fmt: skip
    assert words.startswith(f"Of {len(repeated)} repeated characters, A sends {len(changing)} to")
    assert words.endswith("B sends 0.")


def test_another_pair_and_a_pair_that_shows_nothing_say_nothing() -> None:
    other = SideSettings(Choice("topk", (("k", 3),)), Choice("switch"))
    assert difference(put_side_by_side(ready_model(), "Hello", other)) == ""
    once = put_side_by_side(ready_model(), "abc", WHAT_IFS["fixed"].settings)
    assert difference(once) == ""  # no character is repeated


@pytest.mark.parametrize(
    ("n_changed", "key"),
    [(0, "none"), (12, "none"), (13, "quarter"), (37, "quarter"), (38, "half"), (75, "half"),
     (76, "all"), (100, "all")],
)  # fmt: skip
def test_the_answer_is_the_nearest_share(n_changed: int, key: str) -> None:
    both = put_side_by_side(ready_model(), "x" * 100, SideSettings())
    both = replace(both, changed_N=np.arange(100) < n_changed)
    assert answer(both)[0] == key
    asked = question(100)
    assert list(asked.options.values()) == ["none", "25 (a quarter)", "50 (half)", "100 (all)"]
