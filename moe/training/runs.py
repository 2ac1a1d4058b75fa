"""Finished runs: their records, averages over their last steps, and figures that sum them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from .. import metrics
from ..balance import balancer_title
from ..balance.none import NoBalance
from ..data import TextTask, from_bytes
from ..routers import ROUTERS
from .settings import TrainSettings
from .trainer import Trainer, TrainRecord

LAST = 20  # steps over which the end of a run is averaged
CLOSE = 1e-3  # relative difference of two machines' figures that counts as none


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    settings, records
        What was asked for, and one record per step.
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

    def name(self) -> str:
        """The run's method in a few words."""
        return method_words(self.settings)

    def series(self, measure: str, points: int = 100) -> list[tuple[float, float]]:
        """Step and value of a record's number, averaged over stretches to at most `points`."""
        stretches = np.array_split(
            np.array([[record.step, getattr(record, measure)] for record in self.records], float),
            min(points, len(self.records)),
        )
        return [(float(step), float(value)) for step, value in (s.mean(axis=0) for s in stretches)]

    def collapsed(self) -> bool:
        """Whether nothing kept text even, and a few experts took over: one has twice its share."""
        unbalanced = self.settings.balance == NoBalance.name
        return unbalanced and self.settings.task == "text" and self.summary().max_vio >= 1

    def end_load(self) -> np.ndarray:
        """Assignments asked for per expert over the last steps, (E,)."""
        return np.asarray(np.sum([record.proposed for record in self.records[-LAST:]], axis=0))

    def summary(self) -> RunSummary:
        """Averages over the last steps."""
        last = self.records[-LAST:]
        load_E = self.end_load()
        return RunSummary(
            max_vio=float(np.mean([record.max_vio for record in last])),
            cv=float(np.mean([record.cv for record in last])),
            dead=self.records[-1].dead,
            dropped=float(np.mean([record.dropped for record in last])),
            loss=float(np.mean([record.loss for record in last])),
            held_out_loss=self.held_out_loss,
            hottest_share=metrics.hottest_share(load_E),
            hottest=int(load_E.argmax()),
            fair_share=1 / load_E.size,
        )


def method_words(settings: TrainSettings) -> str:
    """What a run does for balance, with its router and capacity if these are not the usual."""
    return ", ".join(filter(None, (balancer_title(settings.balance), unusual_words(settings))))


def unusual_words(settings: TrainSettings) -> str:
    """Return a run's router and capacity where they are not the usual; empty if both are."""
    router = "" if settings.router == "topk" else ROUTERS[settings.router].title
    capacity = "" if settings.capacity_factor is None else f"room {settings.capacity_factor:g}"
    return ", ".join(filter(None, (router, capacity)))


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
class Figures:
    """Figures of a finished run.

    Attributes
    ----------
    loss, held_out_loss
        Task loss over the last steps, and on data that training never drew.
    max_vio, dropped
        Of what the router asks for, and the share that found its expert full; over the last
        steps.
    flops_per_token
        Executed floating-point operations of the layer's forward pass, over the last steps.
    """

    loss: float
    held_out_loss: float
    max_vio: float
    dropped: float
    flops_per_token: float

    @classmethod
    def of(cls, run: Run) -> Figures:
        """Average a finished run's end."""
        end = run.summary()
        flops = np.mean([record.executed_flops for record in run.records[-LAST:]])
        return cls(
            end.loss,
            end.held_out_loss,
            end.max_vio,
            end.dropped,
            float(flops) / run.settings.batch,
        )

    def close_to(self, other: Figures) -> bool:
        """Whether both are the same up to rounding."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return all(abs(a - b) <= CLOSE * max(abs(a), abs(b), CLOSE) for a, b in pairs)


def run_steps(
    settings: TrainSettings, own_text: bytes | None = None
) -> Iterator[TrainRecord | Run]:
    """Train, yielding each record and at last the finished `Run`; bad settings fail at once.

    Parameters
    ----------
    own_text
        The user's own text to learn, for the task 'text'.

    Raises
    ------
    ValueError
        If the text is too short or too long.
    """
    task = TextTask(from_bytes(own_text), settings.context) if own_text is not None else None
    return _steps(Trainer(settings, task))


def _steps(trainer: Trainer) -> Iterator[TrainRecord | Run]:
    records = []
    for record in trainer.run():
        records.append(record)
        yield record
    yield Run(trainer.settings, records, trainer.evaluate())


def run(settings: TrainSettings) -> Run:
    """Train to the end."""
    *_, finished = run_steps(settings)
    assert isinstance(finished, Run)
    return finished
