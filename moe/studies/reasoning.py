"""Learning from rewards, from its first to its last iteration, and distillation, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from time import process_time

import numpy as np

from ..lm.distil import PLAIN, DistilSettings
from ..lm.reason import ColdStep, Iteration, ReasonRun, ReasonSettings
from ..settings import option
from .distilling import TEACHER_SEED, Look, equal_seconds, teacher_of, watch

LAST = 5  # examinations, or iterations, whose mean is the end of a run
GOOD = 0.95


@dataclass(frozen=True)
class ReasonFigures:
    """What a run came to; `_first` is before the first reward, `_last` a mean over the end.

    Attributes
    ----------
    accuracy_first, accuracy_last, accuracy_best
        Share of held-out problems that are answered rightly, greedily; over the last
        `LAST` examinations, and at the best one.
    accuracy_end
        The same for the finished policy.
    sampled_first, sampled_last
        Share of right samples; over the iterations between the last examinations.
    length_first, length_last, thinks_first, thinks_last
        Signs in front of the end sign, and share of samples that write in front of the answer.
    right_thinking_first, right_at_once_first
        Share of right samples among those that do, and that do not.
    zero_variance_first, zero_variance_last, entropy_first, entropy_last
        Over the first, and the last, `LAST` iterations.
    max_vio_first, max_vio_last, max_vio_top
        Of the experts' load, the worst layer; the largest mean of `LAST` iterations in a row.
    chance_difference, routing_difference
        Between trainer and sampler, means over all iterations.
    good_at
        First examination at which at least `GOOD` of the held-out problems are right.
    supervised_steps, cold_seconds, clock_seconds
        Supervised steps, and the time by the clock: until the rewards begin, and in all.
    cpu_seconds
        Time of the processor in all, which other work on the machine changes less.
    """

    accuracy_first: float
    accuracy_last: float
    accuracy_best: float
    accuracy_end: float
    sampled_first: float
    sampled_last: float
    length_first: float
    length_last: float
    thinks_first: float
    thinks_last: float
    right_thinking_first: float | None
    right_at_once_first: float | None
    zero_variance_first: float
    zero_variance_last: float
    entropy_first: float
    entropy_last: float
    max_vio_first: float
    max_vio_last: float
    max_vio_top: float
    chance_difference: float
    routing_difference: float
    good_at: int | None
    supervised_steps: int
    cold_seconds: float
    clock_seconds: float
    cpu_seconds: float


def reasoned(settings: ReasonSettings) -> ReasonFigures:
    """Do a run, and say what it came to."""
    start = process_time()
    records = list(ReasonRun(settings).run())
    cpu_seconds = process_time() - start
    cold = [record for record in records if isinstance(record, ColdStep)]
    iterations = [record for record in records if isinstance(record, Iteration)]
    return _figures(cold, iterations, cpu_seconds)


def _figures(
    cold: Sequence[ColdStep], iterations: Sequence[Iteration], cpu_seconds: float
) -> ReasonFigures:
    first, end = iterations[0], iterations[-1]
    examined = [record for record in iterations if record.examined]
    late = iterations[-LAST:]
    accuracies = [record.accuracy for record in examined]
    good = [record.iteration for record in examined if record.accuracy >= GOOD]
    max_vios = np.array([record.max_vio for record in iterations])
    between = [r for r in iterations if r.iteration >= examined[-LAST:][0].iteration]
    before = [step for step in cold if step.stage == "cold"]
    return ReasonFigures(
        accuracy_first=first.accuracy,
        accuracy_last=_mean(accuracies[-LAST:]),
        accuracy_best=max(accuracies),
        accuracy_end=end.accuracy,
        sampled_first=first.sampled,
        sampled_last=_mean([record.sampled for record in between]),
        length_first=first.length,
        length_last=_mean([record.length for record in late]),
        thinks_first=first.thinks,
        thinks_last=_mean([record.thinks for record in late]),
        right_thinking_first=first.right_thinking,
        right_at_once_first=first.right_at_once,
        zero_variance_first=_mean([record.zero_variance for record in iterations[:LAST]]),
        zero_variance_last=_mean([record.zero_variance for record in late]),
        entropy_first=_mean([record.entropy for record in iterations[:LAST]]),
        entropy_last=_mean([record.entropy for record in late]),
        max_vio_first=first.max_vio,
        max_vio_last=_mean([record.max_vio for record in late]),
        max_vio_top=float(np.convolve(max_vios, np.full(len(late), 1 / len(late)), "valid").max()),
        chance_difference=_mean([r.chance_difference or 0.0 for r in iterations]),
        routing_difference=_mean([r.routing_difference or 0.0 for r in iterations]),
        good_at=good[0] if good else None,
        supervised_steps=len(before),
        cold_seconds=before[-1].seconds,
        clock_seconds=end.seconds,
        cpu_seconds=cpu_seconds,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


# Distillation ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DistilRun(DistilSettings):
    """A student beside one that learns the same text alone, from the same weights and batches."""

    steps: int = option(250, "Steps of the student.", low=2, high=10_000_000)
    teacher_seed: int = option(
        TEACHER_SEED, "Seed of the teacher, which all students of it share.", low=0
    )


@dataclass(frozen=True)
class DistilFigures:
    """Held-out bits per byte of a student, its teacher, and students without one.

    Attributes
    ----------
    teacher
        Of the teacher.
    taught, alone
        Of the student, and of the same one that learnt the text alone in as many steps.
    gain
        The second minus the first.
    alone_longer
        Of one alone that trained for as long as the student with its teacher's passes or
        writing.
    longer_steps
        Steps that it did.
    gain_seconds
        That minus the student's: what is left at equal seconds, the teacher's training not
        counted.
    taught_seconds, alone_seconds, training_seconds
        Time of the processor: the student's, its teacher's part included; that of the one alone;
        and of the teacher's own training.
    """

    teacher: float
    taught: float
    alone: float
    gain: float
    alone_longer: float
    longer_steps: int
    gain_seconds: float
    taught_seconds: float
    alone_seconds: float
    training_seconds: float


@cache
def _alone(settings: DistilSettings) -> Look:
    """The end of a student without a teacher."""
    *_, end = watch(settings)
    return end


def distilled(settings: DistilRun) -> DistilFigures:
    """Train a student with its teacher, and two without one."""
    teacher, teacher_bits, training_seconds = teacher_of(settings.teacher_seed)
    own = {name: getattr(settings, name) for name in DistilSettings.__dataclass_fields__}
    *_, taught = watch(DistilSettings(**own), teacher)
    alone = _alone(DistilSettings(**own | {"method": PLAIN}))
    steps = equal_seconds(taught, alone)
    longer = _alone(DistilSettings(**own | {"method": PLAIN, "steps": steps}))
    return DistilFigures(
        teacher_bits, taught.bits, alone.bits, alone.bits - taught.bits, longer.bits, steps,
        longer.bits - taught.bits, taught.seconds, alone.seconds, training_seconds,
    )  # fmt: skip
