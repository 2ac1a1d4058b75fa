"""Students with a teacher and without one, over their steps: what the page on distillation shows.

All learn from the same weights and the same batches of a seed; of a pair only what is learnt from
differs: the teacher's chances of every next byte, or the text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from ..errors import CheckpointError
from ..lm.distil import LOGITS, PLAIN, Distillation, DistilSettings, train_teacher
from ..lm.model import LanguageModel
from ..lm.training import LOOK

LOOKS = 10  # of a student
TEACHER_SEED = 7
SURE = 0.95
TAUGHT, ALONE, LONGER = "taught", "alone", "longer"


@dataclass(frozen=True)
class Look:
    """A student after so many steps: bits per byte of held-out text, and seconds by the clock.

    Attributes
    ----------
    seconds, teacher_seconds
        The student's own so far, and those of its teacher's passes.
    """

    step: int
    bits: float
    seconds: float
    teacher_seconds: float


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
        one that learnt alone for as many seconds as the first with its teacher's passes.
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
                for name in (TAUGHT, ALONE, LONGER)
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
    run = Distillation(settings, teacher)
    every = max(1, settings.steps // LOOKS)
    for record in run.run():
        if record.held_out is not None:
            bits = record.held_out
        elif (record.step + 1) % every == 0 and record.step + 1 < settings.steps:
            bits = run.trainer.evaluate(LOOK).bits_per_byte
        else:
            continue
        yield Look(record.step + 1, bits, record.seconds, record.teacher_seconds)


@cache
def teacher_of(seed: int = TEACHER_SEED) -> tuple[LanguageModel, float, float]:
    """A teacher, its bits per byte of held-out text, and the seconds that it learnt."""
    *_, trainer = train_teacher(seed)
    return trainer.model, trainer.evaluate().bits_per_byte, trainer.seconds


def finished(seed: int) -> Distilled:
    """Train the students of a seed."""
    teacher, bits, seconds = teacher_of()
    taught = tuple(watch(settings_of(seed), teacher))
    alone = tuple(watch(settings_of(seed, PLAIN)))
    # Steps that one alone does while the other waits for its teacher, too.
    whole = taught[-1].seconds + taught[-1].teacher_seconds
    steps = max(alone[-1].step, round(alone[-1].step * whole / alone[-1].seconds))
    longer = tuple(watch(settings_of(seed, PLAIN, steps)))
    return Distilled(seed, bits, seconds, {TAUGHT: taught, ALONE: alone, LONGER: longer})
