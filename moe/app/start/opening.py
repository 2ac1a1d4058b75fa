"""What opens the app: a run that collapses, the same run balanced, a question, and words on both.

The run is recorded once for all visitors. At some of its steps a copy of it goes on with balancing,
to the same bits as if the control had been set in the run itself, so that the browser can turn the
very run that is on the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...cost import MODELS
from ...cost.checks import V3_HOURS
from ...cost.training import DEFAULT_PRICE
from ...training import LiveRecord, Recipe
from ..shared.kept import KEPT
from ..shared.question import SKIPPED, Guess, Question
from ..shared.stage.film import Recorded, record_film
from ..shared.stage.small_run import small_run
from ..shared.stage.words import BUSY, LITTLE, mean_share, work_words

SEEDS = range(6)  # of an address: strangers cannot have any number of runs recorded
STEPS, FORKS, FORK_STEPS = 120, (30, 50, 70, 90, 110), 140
BALANCING = ("balancing", "deepseek")  # what the button sets: DeepSeek-V3's own way
END = 20  # steps that words are about
V3 = "deepseek-v3"
KEY = "opening"  # with the seed, of the results that are kept for all
QUESTION = Question(
    "What if whoever has too little work gets a bonus?",
    {"even": "All get to work", "others": "Others take over", "same": "Nothing changes"},
)


def news() -> str:
    """What happened in January 2025, and what is to be seen, in at most 45 words of Markdown."""
    dollars = sum(V3_HOURS) * DEFAULT_PRICE.mid
    return (
        "In January 2025 DeepSeek, an AI from China, made headlines: its last training run cost a "
        f"disputed ${dollars / 1e6:.1f} million. Its trick: {MODELS[V3].experts} small *experts* "
        "instead of one big brain. Here are eight, left alone."
    )


@dataclass(frozen=True)
class Opening:
    """A recorded run with its forks, and what they came to."""

    film: Recorded

    @cached_property
    def packed(self) -> dict[str, Any]:
        """The film for the browser, with the run as *Play* writes it."""
        settings = self.film.recipe.settings
        return self.film.packed() | {"run": f"{settings.n_experts}-{settings.seed}"}

    def outcomes(self) -> dict[int, str]:
        """Name of the answer that is right, by the step at which balancing begins."""
        return {
            at: outcome(self.film.main[max(0, at - END) : at], after[-END:])
            for at, after in self.film.forks.items()
        }

    def replies(self, question: Question) -> dict[str, dict[str, str]]:
        """What is said to each answer, and without one, by the step of the fork."""
        truths = self.outcomes()
        return {
            str(at): {
                key: Guess(question, key).reply(truths[at], work_words(after[-END:]))
                for key in (*question.options, SKIPPED)
            }
            for at, after in self.film.forks.items()
        }


def outcome(before: Sequence[LiveRecord], after: Sequence[LiveRecord]) -> str:
    """Which answer of the question is right, by the shares of the work before and after."""
    share_E, had_E = mean_share(after), mean_share(before)
    fair = 1 / share_E.size
    if share_E.max() < BUSY * fair and share_E.min() >= LITTLE * fair:
        return "even"
    few = 2
    same = set(np.argsort(-share_E)[:few]) == set(np.argsort(-had_E)[:few])
    return "same" if same else "others"


def opening(seed: int = 0) -> Opening:
    """Return the run of a seed; the first who asks has it recorded, in a second or two.

    Raises
    ------
    ValueError
        If no run is recorded for that seed.
    """
    if seed not in SEEDS:
        raise ValueError(f"seed: got {seed}, allowed is 0..{SEEDS[-1]}")
    return KEPT.of((KEY, seed), lambda: _record(seed))


def _record(seed: int) -> Opening:
    recipe = Recipe(small_run(seed=seed))
    made = Opening(record_film(recipe, STEPS, FORKS, FORK_STEPS, BALANCING))
    made.packed  # noqa: B018 - packed once, too
    return made


def seed_of(text: str | None) -> int:
    """Return the seed that an address names, or the first one."""
    return int(text) if text in {str(seed) for seed in SEEDS} else SEEDS[0]
