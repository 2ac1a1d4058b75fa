"""Kinds of language model set against each other: bits over the seeds, their gains, and time.

Seconds are those of one core: steps of a run times what `moe lm bench` measured for a step of its
kind, in blocks that take turns. A run that shares its machine with others has seconds of its own
that say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docs.generator.studies import Study
from moe.lm.bench import TrainingSpeed
from moe.lm.settings import DENSE
from moe.studies.distilling import Interval
from moe.sweeps.report import Spread

BITS, VIO = "bits_per_byte", "worst_max_vio"
MOE, ACTIVE, TOTAL = DENSE


@dataclass(frozen=True)
class Case:
    """One kind of model, trained in one way, over the seeds.

    Attributes
    ----------
    dense
        A key of `KINDS`.
    rate
        What is swept: AdamW's rate, or Muon's.
    bits_by_seed
        Bits per byte of held-out text, in the order of the seeds.
    max_vio
        Of the worst layer.
    flops_per_token
        Of training, counted.
    """

    dense: str
    rate: float
    steps: int
    bits_by_seed: tuple[float, ...]
    max_vio: tuple[float, ...]
    flops_per_token: int

    @property
    def bits(self) -> Spread:
        """Mean and deviation over the seeds."""
        return Spread.of(self.bits_by_seed)


def cases(*studies: Study, swept: str = "learning_rate") -> list[Case]:
    """Cases of studies, in the order of their files; what several have is one case of all seeds."""
    rows: dict[tuple[str, float, int], list[Mapping[str, Any]]] = {}
    for study in studies:
        for row in study.rows:
            whole = {**study.settings, **row}
            rows.setdefault((whole["dense"], whole[swept], whole["steps"]), []).append(row)
    found = []
    for (dense, rate, steps), own in rows.items():
        own.sort(key=lambda row: row["seed"])
        bits, vio = (tuple(row[figure] for row in own) for figure in (BITS, VIO))
        found.append(Case(dense, rate, steps, bits, vio, own[0]["flops_per_token"]))
    return found


def best(found: Sequence[Case], dense: str) -> Case:
    """The case of a kind with the fewest bits on average; all are of one length."""
    return min((one for one in found if one.dense == dense), key=lambda one: one.bits.mean)


def best_of_each_length(found: Sequence[Case]) -> list[Case]:
    """Each kind at each length with the rate that suits it best, the shortest first."""
    lengths = sorted({(one.steps, one.dense) for one in found})
    return [best([one for one in found if one.steps == n], dense) for n, dense in lengths]


@dataclass(frozen=True)
class Gain:
    """How many bits a byte one case is below another, seed by seed.

    Attributes
    ----------
    mean, margin
        The mean over the seeds, and half the width of its 95 % interval (Student's t).
    apart
        Whether every seed of the one is below every seed of the other.
    """

    mean: float
    margin: float
    apart: bool

    @classmethod
    def of(cls, better: Case, worse: Case) -> Gain:
        """Compare two cases seed by seed, as far as both have the same first seeds."""
        n = min(len(better.bits_by_seed), len(worse.bits_by_seed))
        a, b = better.bits_by_seed[:n], worse.bits_by_seed[:n]
        gain = Interval.of([there - here for here, there in zip(a, b, strict=True)])
        return cls(gain.mean, (gain.high - gain.low) / 2, max(a) < min(b))

    def words(self) -> str:
        """0.135 ± 0.050 bits a byte."""
        return f"{self.mean:.3f}\u00a0±\u00a0{self.margin:.3f}"


def ms_per_step(speed: TrainingSpeed) -> dict[str, float]:
    """Milliseconds of a step of each kind; of dense ones by the ratio in blocks that took turns."""
    own = {MOE: speed.ms_per_step}
    return own | {
        size: speed.ms_per_step * speed.ratios[f"dense, equal {size}"]
        for size in DENSE[1:]
        if f"dense, equal {size}" in speed.ratios
    }


def seconds(case: Case, ms: Mapping[str, float]) -> float:
    """Seconds of one core that a case's training takes."""
    return case.steps * ms[case.dense] / 1e3


LONGER = 1.15  # times the mixture's seconds, up to which a run counts as one of equal time


def equal_time(
    moe: Case, found: Sequence[Case], dense: str, ms: Mapping[str, float]
) -> Case | None:
    """The shortest run of a kind that takes at least as long as the mixture's, and hardly longer.

    None if there is none.
    """
    least = seconds(moe, ms)
    fitting = [
        one for one in found if one.dense == dense and least <= seconds(one, ms) <= LONGER * least
    ]
    return min(fitting, key=lambda one: one.steps, default=None)
