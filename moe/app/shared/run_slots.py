"""One place for each run: the first visitor who asks trains it, all others get the same run."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Hashable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from ... import kernels
from ...speed.turns import PATIENCE, TURNS, Turn, queue_words
from ...training import TrainRecord, TrainSettings
from ...training.runs import Run, run_steps
from .kept import KEPT
from .tally import TALLY

REPORT_EVERY = 10  # steps between two words on the progress


@dataclass(frozen=True)
class Progress:
    """How far a training is: the share that is done, words on it, and at the end the run."""

    done: float
    words: str
    run: Run | None = None


class TooLongError(ValueError):
    """A training that took more computing than the server allows; its text is for visitors."""


class RunSlot:
    """A place for one run: the first visitor who asks trains it, and all others get the same.

    `run_slot` returns the same place to all who ask at the same time. If the one who trains leaves,
    another who waits goes on where she stopped; if nobody waits, the run ends there.

    Parameters
    ----------
    settings
        What to train.
    own_text
        The user's own text to learn.
    """

    longest: ClassVar[float] = 300.0  # seconds of computing; a server sets its own

    def __init__(self, settings: TrainSettings, own_text: bytes | None = None) -> None:
        self.settings = settings
        self._own_text = own_text
        self.key = _key(settings, own_text)
        self._lock = threading.Lock()
        self._steps: Iterator[TrainRecord | Run] | None = None
        self._computed = 0.0
        self._latest = Progress(0.0, "begins")  # what all who wait for this run see

    @property
    def run_key(self) -> Hashable:
        """Under which the finished run is kept for all."""
        return "run", *self.key

    def progress(self) -> Iterator[Progress]:
        """Yield the progress until the run is finished; closing the iterator gives up."""
        while not self._lock.acquire(timeout=PATIENCE):
            yield self._latest
        try:
            run: Run | None = KEPT.get(self.run_key)
            if run is None:
                with TURNS.turn() as turn:
                    for place in turn.places():
                        self._latest = replace(self._latest, words=_waits(place))
                        yield self._latest
                    run = yield from self._train(turn)
                KEPT.put(self.run_key, run)
        finally:
            self._lock.release()
        yield Progress(1.0, "done", run)

    def _train(self, turn: Turn) -> Generator[Progress, None, Run]:
        if self._steps is None:
            self._steps = run_steps(self.settings, self._own_text)
            self._computed = 0.0
        while True:
            begun = time.perf_counter()
            item = next(self._steps)
            self._computed += time.perf_counter() - begun
            if isinstance(item, Run):
                self._steps = None
                TALLY["runs"] += 1
                return item
            TALLY["steps"] += 1
            if (done := item.step + 1) % REPORT_EVERY == 0:
                self._latest = Progress(
                    done / self.settings.steps,
                    f"step {done} of {self.settings.steps}, loss {item.loss:.2f}, "
                    f"MaxVio {item.max_vio:.2f}",
                )
                yield self._latest
            if self._computed > self.longest:
                self._steps = None
                raise TooLongError(
                    f"This training takes more than {self.longest:.0f} seconds of computing, the "
                    "most on this server. Choose fewer steps or fewer experts."
                )
            for place in turn.give_way():
                yield (
                    self._latest
                    if not turn.set_back
                    else Progress(
                        self._latest.done, f"step {done} of {self.settings.steps}; {_waits(place)}"
                    )
                )


def _waits(place: int) -> str:
    words = queue_words(place)
    return f"{words[0].lower()}{words[1:]}"


def _key(settings: TrainSettings, own_text: bytes | None) -> tuple[Hashable, ...]:
    # A run that oracles began before the kernels were ready is not the run of the kernels.
    backend = kernels.backend_name()
    return backend, settings, b"" if own_text is None else sha256(own_text).digest()


_slots: WeakValueDictionary[Any, RunSlot] = WeakValueDictionary()
_slots_lock = threading.Lock()


def run_slot(settings: TrainSettings, own_text: bytes | None = None) -> RunSlot:
    """Return the place where these settings are trained, once for all users."""
    with _slots_lock:
        slot = _slots.get(_key(settings, own_text))
        if slot is None:
            slot = RunSlot(settings, own_text)
            _slots[slot.key] = slot
        return slot
