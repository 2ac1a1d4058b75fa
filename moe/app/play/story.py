"""What a run that is watched has come to, in sentences."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...pictures.experts import expert_name
from ...training import LiveRecord
from ..shared.stage.words import mean_share, takeover_words, work_words

WINDOW = 10  # steps that a sentence is about
EVERY = 5  # steps between two sentences
TAKEN = 120  # steps for which the page says who took over


@dataclass
class Teller:
    """Looks at the records one after another, and says what the last of them came to."""

    recent: deque[LiveRecord] = field(default_factory=lambda: deque(maxlen=WINDOW))
    off: tuple[int, ...] = ()
    went: int | None = None  # the expert that was switched off last
    since: int = 0
    before_E: np.ndarray | None = None

    def copy(self) -> Teller:
        """Return one that goes on by itself."""
        recent = deque(self.recent, maxlen=WINDOW)
        return Teller(recent, self.off, self.went, self.since, self.before_E)

    def tell(self, record: LiveRecord, off: Sequence[int]) -> list[tuple[int, str]]:
        """Take the next record; return its step and a sentence, if there is a new one."""
        changed = tuple(off) != self.off
        if changed:
            gone = set(off) - set(self.off)
            self.went = min(gone) if len(gone) == 1 and self.recent else None
            self.before_E = mean_share(self.recent) if self.recent else None
            self.since, self.off = record.step, tuple(off)
            self.recent.clear()
        self.recent.append(record)
        if record.step % EVERY != EVERY - 1 and not changed and record.step:
            return []
        work = work_words(self.recent, self.off)
        age = record.step - self.since
        if self.went is None or self.before_E is None or age > TAKEN:
            return [(record.step, work)]
        if age < EVERY:
            return [(record.step, f"{expert_name(self.went)} is off: others take its work now.")]
        took = takeover_words(self.before_E, mean_share(self.recent), self.went)
        return [(record.step, f"{took} {work}")]
