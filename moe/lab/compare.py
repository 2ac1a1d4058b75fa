"""Two training runs on the same seed, side by side: what balancing changes and what it costs."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from ..balance import balancer_title
from ..balance.none import NoBalance
from ..data import TextTask, from_bytes
from ..routers import ROUTERS
from ..training import Trainer, TrainRecord, TrainSettings
from .kept import KEPT
from .turns import PATIENCE, TURNS

LAST = 20  # steps over which the end of a run is averaged
REPORT_EVERY = 10  # steps between two words on the progress
CLOSE = 1e-3  # relative difference of two machines' figures that counts as none
EVEN, SAME_LOSS = 0.1, 0.003  # differences (MaxVio, share of the loss) that count as none


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
            hottest_share=float(load_E.max() / load_E.sum()),
            hottest=int(load_E.argmax()),
            fair_share=1 / load_E.size,
        )


def method_words(settings: TrainSettings) -> str:
    """What a run does for balance, with its router and capacity if these are not the usual."""
    router = "" if settings.router == "topk" else f", {ROUTERS[settings.router].title}"
    capacity = "" if settings.capacity_factor is None else f", room {settings.capacity_factor:g}"
    return f"{balancer_title(settings.balance)}{router}{capacity}"


def setup_words(a: TrainSettings, b: TrainSettings, own_text: bool = False) -> str:
    """What both runs learn, and by what they differ, before either has begun."""
    learn = "guess the next character"
    if own_text:
        learn += " of your own text"
    elif a.task != TextTask.name:
        learn = f"place points of the plane (the task {a.task!r})"
    return (
        f"Two small models learn to {learn}, from the same seed and the same data. "
        f"A: {method_words(a)}. B: {method_words(b)}."
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
class Figures:
    """What a run comes to.

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


@dataclass(frozen=True)
class Guess:
    """A guess against the truth, both shares: `gap` in percentage points, above zero if more."""

    guess: float
    truth: float
    gap: float
    verdict: str


@dataclass(frozen=True)
class Progress:
    """How far a run is: share done, in words, and at last the run."""

    done: float
    words: str
    run: Run | None = None


class RunSlot:
    """A place for one run: the first who asks trains it, everybody else gets the same.

    `run_slot` returns the same place to all who ask at the same time.

    Parameters
    ----------
    settings
        What to train.
    own_text
        The user's own text to learn.
    """

    def __init__(self, settings: TrainSettings, own_text: bytes | None = None) -> None:
        self.settings = settings
        self._own_text = own_text
        self._key = ("run", *_key(settings, own_text))
        self._lock = threading.Lock()

    def progress(self) -> Iterator[Progress]:
        """Yield now and then until the run is there; close it to give up."""
        while not self._lock.acquire(timeout=PATIENCE):
            yield Progress(0.0, "another visitor is training just this, one moment")
        try:
            run: Run | None = KEPT.get(self._key)
            if run is None:
                yield Progress(0.0, "waiting for a free place to train")
                with TURNS.training():
                    run = yield from self._train()
                KEPT.put(self._key, run)
        finally:
            self._lock.release()
        yield Progress(1.0, "done", run)

    def _train(self) -> Generator[Progress, None, Run]:
        for item in run_steps(self.settings, self._own_text):
            if isinstance(item, Run):
                return item
            if (done := item.step + 1) % REPORT_EVERY == 0:
                yield Progress(
                    done / self.settings.steps,
                    f"step {done} of {self.settings.steps}, loss {item.loss:.2f}, "
                    f"MaxVio {item.max_vio:.2f}",
                )
        raise AssertionError("a training ends with its run")


_slots: WeakValueDictionary[Any, RunSlot] = WeakValueDictionary()
_slots_lock = threading.Lock()


def _key(settings: TrainSettings, own_text: bytes | None) -> tuple[TrainSettings, bytes]:
    return settings, b"" if own_text is None else sha256(own_text).digest()


def run_slot(settings: TrainSettings, own_text: bytes | None = None) -> RunSlot:
    """Return the place where these settings are trained, once for all users."""
    with _slots_lock:
        found = _slots.get(_key(settings, own_text))
        if found is None:
            found = _slots[_key(settings, own_text)] = RunSlot(settings, own_text)
        return found


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


def judge_guess(guess_percent: float, summary: RunSummary) -> Guess:
    """Compare a guess of the hottest expert's share, in percent, with what happened."""
    gap = 100 * summary.hottest_share - guess_percent
    if abs(gap) <= 3:
        verdict = "Spot on."
    elif gap > 0:
        verdict = "It took more than you expected."
    else:
        verdict = "It took less than you expected."
    return Guess(guess_percent / 100, summary.hottest_share, gap, verdict)


@dataclass(frozen=True)
class Comparison:
    """Two runs' ends: a table of formatted numbers, and what they say in words."""

    rows: list[dict[str, str]]
    words: str


def compare(run_a: Run, run_b: Run) -> Comparison:
    """Say which run is more even and which predicts better."""
    a, b = run_a.summary(), run_b.summary()
    numbers: dict[str, tuple[float, float, str]] = {
        "Busiest expert's share of the work": (a.hottest_share, b.hottest_share, ".1%"),
        "Fair share": (a.fair_share, b.fair_share, ".1%"),
        "MaxVio: busiest expert above the fair share, in fair shares": (
            a.max_vio,
            b.max_vio,
            ".2f",
        ),
        "CV: spread of the loads over their mean": (a.cv, b.cv, ".2f"),
        "Idle experts in the last step": (a.dead, b.dead, "d"),
        "Dropped share of the assignments": (a.dropped, b.dropped, ".1%"),
        "Loss while training": (a.loss, b.loss, ".3f"),
        "Loss on held-out data": (a.held_out_loss, b.held_out_loss, ".3f"),
    }
    rows = [
        {"": text, "A": format(left, spec), "B": format(right, spec)}
        for text, (left, right, spec) in numbers.items()
    ]
    return Comparison(rows, f"{_judge_balance(a, b)} {_judge_loss(a, b)}")


def _judge_balance(a: RunSummary, b: RunSummary) -> str:
    if abs(a.max_vio - b.max_vio) <= EVEN:
        return f"Both are about equally even: MaxVio {a.max_vio:.2f} in A, {b.max_vio:.2f} in B."
    winner, best, other, worst = ("B", b, "A", a) if b.max_vio < a.max_vio else ("A", a, "B", b)
    idle = f" and left {worst.dead} idle" if worst.dead > best.dead else ""
    return (
        f"{winner} spread the work more evenly: its busiest expert had {1 + best.max_vio:.1f} "
        f"times the fair share; {other}'s had {1 + worst.max_vio:.1f} times{idle}."
    )


def _judge_loss(a: RunSummary, b: RunSummary) -> str:
    both = f"(held-out loss: A {a.held_out_loss:.3f}, B {b.held_out_loss:.3f}; lower is better)"
    if abs(a.held_out_loss - b.held_out_loss) <= SAME_LOSS * max(a.held_out_loss, b.held_out_loss):
        return f"They predict about equally well {both}."
    winner = "A" if a.held_out_loss < b.held_out_loss else "B"
    return f"{winner} predicts better {both}."
