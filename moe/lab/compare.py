"""Two training runs on the same seed, side by side: what balancing changes and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..training import Trainer, TrainRecord, TrainSettings

LAST = 20  # steps over which the end of a run is averaged


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    settings, records
        What was asked, and one record a step.
    held_out_loss
        Loss on data that training never drew.
    """

    settings: TrainSettings
    records: list[TrainRecord]
    held_out_loss: float

    def load_bars(self, width: int = 40) -> list[tuple[int, int, str]]:
        """Expert, load of the last step, and a bar of blocks, for a terminal."""
        load_E = self.records[-1].load
        longest = max(int(load_E.max()), 1)
        return [(e, int(n), "█" * round(width * int(n) / longest)) for e, n in enumerate(load_E)]

    def summary(self) -> RunSummary:
        """Averages over the last steps."""
        last = self.records[-LAST:]
        load_E = np.sum([record.proposed for record in last], axis=0)
        return RunSummary(
            max_vio=float(np.mean([record.max_vio for record in last])),
            cv=float(np.mean([record.cv for record in last])),
            dead=self.records[-1].dead,
            dropped=float(np.mean([record.dropped for record in last])),
            loss=float(np.mean([record.loss for record in last])),
            held_out_loss=self.held_out_loss,
            hottest_share=float(load_E.max() / load_E.sum()),
            hottest=int(load_E.argmax()),
            fair_share=1 / load_E.size,
        )


@dataclass(frozen=True)
class RunSummary:
    """The end of a run: means over its last steps; `dead` counts the last step's idle experts."""

    max_vio: float
    cv: float
    dead: int
    dropped: float
    loss: float
    held_out_loss: float
    hottest_share: float
    hottest: int
    fair_share: float


@dataclass(frozen=True)
class Guess:
    """A guess against the truth, both shares: `gap` in percentage points, signed."""

    guess: float
    truth: float
    gap: float
    verdict: str


def run_steps(settings: TrainSettings) -> Iterator[TrainRecord | Run]:
    """Train, yielding each record and at last the finished `Run`."""
    trainer = Trainer(settings)
    records = []
    for record in trainer.run():
        records.append(record)
        yield record
    yield Run(settings, records, trainer.evaluate())


def run(settings: TrainSettings) -> Run:
    """Train to the end."""
    *_, finished = run_steps(settings)
    assert isinstance(finished, Run)
    return finished


def judge_guess(guess_percent: float, summary: RunSummary) -> Guess:
    """Compare a guess of the hottest expert's share, in percent, with what happened."""
    gap = guess_percent - 100 * summary.hottest_share
    if abs(gap) <= 3:
        verdict = "Spot on."
    elif gap < 0:
        verdict = "It took more than you expected: the rich get richer."
    else:
        verdict = "It took less than you expected."
    return Guess(guess_percent / 100, summary.hottest_share, gap, verdict)
