"""Students with a teacher and without one, over their steps: what the page on distillation shows.

All of a seed begin with the same weights, and see the same batches where they see the text. What is
learnt from differs: the teacher's chances of every next byte, what the teacher wrote, or the text.
Seconds are those of the processor, which other work on the machine changes less than the clock's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from time import process_time
from typing import Any

import numpy as np
from scipy import stats

from ..errors import CheckpointError
from ..lm.distil import LOGITS, PLAIN, TEXT, Distillation, DistilSettings, train_teacher
from ..lm.model import LanguageModel
from ..lm.training import LOOK

LOOKS = 10  # of a student
TEACHER_SEED = 7
SURE = 0.95
TAUGHT, ALONE, LONGER, READ = "taught", "alone", "longer", "read"


@dataclass(frozen=True)
class Look:
    """A student after so many steps: bits per byte of held-out text, and what it took.

    Attributes
    ----------
    seconds
        So far, the teacher's passes or writing among them, looks at held-out text not.
    """

    step: int
    bits: float
    seconds: float


@dataclass(frozen=True)
class Distilled:
    """Students of one seed.

    Attributes
    ----------
    seed
        Of the students.
    teacher_bits, teacher_seconds
        Of the teacher: bits per byte of held-out text, and the seconds that it learnt.
    students
        Looks at the student that was taught, at the one that learnt alone in as many steps, and at
        one that learnt alone for as many seconds as the first with its teacher's passes; and at
        one that read, in as many steps, what the teacher wrote.
    """

    seed: int
    teacher_bits: float
    teacher_seconds: float
    students: Mapping[str, tuple[Look, ...]]

    @property
    def gain(self) -> float:
        """Bits per byte that the teacher saves at equal steps."""
        return self.students[ALONE][-1].bits - self.students[TAUGHT][-1].bits

    @property
    def gain_seconds(self) -> float:
        """Bits per byte that it saves at equal seconds, its own training not counted."""
        return self.students[LONGER][-1].bits - self.students[TAUGHT][-1].bits

    @property
    def gain_read(self) -> float:
        """Bits per byte that its text saves beside the true text, at equal steps."""
        return self.students[ALONE][-1].bits - self.students[READ][-1].bits

    def as_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Distilled:
        """Read what `as_json` gave.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        try:
            students = {
                name: tuple(Look(**look) for look in given["students"][name])
                for name in (TAUGHT, ALONE, LONGER, READ)
            }
            run = cls(
                int(given["seed"]), float(given["teacher_bits"]),
                float(given["teacher_seconds"]), students,
            )  # fmt: skip
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"distilled: got other parts than it has ({error})") from error
        if not all(students.values()):
            raise CheckpointError("distilled: got no looks, allowed is one or more of each student")
        return run


@dataclass(frozen=True)
class Interval:
    """A mean with its interval of `SURE`, by Student's t over seeds."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Return that of two values or more."""
        mean, n = float(np.mean(values)), len(values)
        error = float(np.std(values, ddof=1)) / np.sqrt(n)
        half = float(stats.t.ppf((1 + SURE) / 2, n - 1) * error)
        return cls(mean, mean - half, mean + half)


def settings_of(seed: int, method: str = LOGITS, steps: int | None = None) -> DistilSettings:
    """Return the settings of a student."""
    settings = DistilSettings(method=method, seed=seed)
    return settings if steps is None else replace(settings, steps=steps)


def watch(settings: DistilSettings, teacher: LanguageModel | None = None) -> Iterator[Look]:
    """Train a student, and look at held-out text now and then; the last look sees all of it."""
    begun = process_time()
    run = Distillation(settings, teacher)  # a teacher that writes does so now
    seconds, own = process_time() - begun, 0.0
    every = max(1, settings.steps // LOOKS)
    for step in range(1, settings.steps + 1):
        begun = process_time()
        bits = run.step().held_out
        # The last step looks at all held-out text, too: it is taken for one like those before.
        own += process_time() - begun if bits is None or step == 1 else own / (step - 1)
        if bits is None and step % every == 0:
            bits = run.trainer.evaluate(LOOK).bits_per_byte
        if bits is not None:
            yield Look(step, bits, seconds + own)


def equal_seconds(taught: Look, alone: Look) -> int:
    """Steps of a student alone in the seconds that another took with its teacher."""
    return max(alone.step, round(alone.step * taught.seconds / alone.seconds))


@cache
def teacher_of(seed: int = TEACHER_SEED) -> tuple[LanguageModel, float, float]:
    """A teacher, its bits per byte of held-out text, and the seconds that its training took."""
    begun = process_time()
    *_, trainer = train_teacher(seed)
    return trainer.model, trainer.evaluate().bits_per_byte, process_time() - begun


def finished(seed: int) -> Distilled:
    """Train the students of a seed."""
    teacher, bits, seconds = teacher_of()
    taught = tuple(watch(settings_of(seed), teacher))
    alone = tuple(watch(settings_of(seed, PLAIN)))
    longer = tuple(watch(settings_of(seed, PLAIN, equal_seconds(taught[-1], alone[-1]))))
    read = tuple(watch(settings_of(seed, TEXT), teacher))
    students = {TAUGHT: taught, ALONE: alone, LONGER: longer, READ: read}
    return Distilled(seed, bits, seconds, students)
