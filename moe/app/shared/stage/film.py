"""A short run recorded with its forks: what would have come if balancing had begun at some step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....training import LiveRecord, LiveRun, Recipe
from .packing import experts_for_stage, pack
from .words import work_words

WINDOW = 10  # steps that a sentence is about


def sentences(records: Sequence[LiveRecord], off: Sequence[int] = ()) -> list[tuple[int, str]]:
    """Sentence of every tenth record about the steps up to it, as (step, words)."""
    ends = [i for i, record in enumerate(records) if record.step % WINDOW == WINDOW - 1]
    return [
        (records[i].step, work_words(records[max(0, i + 1 - WINDOW) : i + 1], off)) for i in ends
    ]


@dataclass(frozen=True)
class Recorded:
    """A run and its forks, as records.

    Attributes
    ----------
    recipe, main
        The run.
    forks
        Records of what comes of the change, by the step before which it is made.
    """

    recipe: Recipe
    main: list[LiveRecord]
    forks: dict[int, list[LiveRecord]]

    def packed(self) -> dict[str, Any]:
        """Return it for the browser.

        Returns
        -------
        dict
            `experts` (see `experts_for_stage`), `main` (see `pack`), and `forks`, each with `at`
            and `records`.
        """
        return {
            "experts": experts_for_stage(self.recipe.settings.n_experts),
            "main": pack(self.main, sentences(self.main)),
            "forks": [
                {"at": at, "records": pack(after, sentences(after))}
                for at, after in self.forks.items()
            ],
        }


def record_film(
    recipe: Recipe, steps: int, forks: Sequence[int], fork_steps: int, control: Any
) -> Recorded:
    """Record a run with what comes of one change at each of some steps.

    Parameters
    ----------
    recipe, steps
        The run and its length.
    forks, fork_steps, control
        Steps before which the change is made, how long each fork goes on from there, and the
        change: (control, value), as for `LiveRun.change`.
    """
    run = LiveRun(recipe.settings, recipe.changes)
    records, made = [], {}
    for step in range(steps):
        if step in forks:
            fork = run.copy()
            fork.change(*control)
            made[step] = [fork.step() for _ in range(fork_steps)]
        records.append(run.step())
    return Recorded(recipe, records, made)
