"""Thinking that pays: a run of `moe.lm.reason` as it is watched, with the same problems every time.

The reward counts right answers only. Before each update by rewards the policy answers the same few
held-out problems, with the same draws, so that what changes in them is the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..lm.reason import Iteration, ReasonRun, ReasonSettings
from ..lm.rollouts import roll_out
from ..lm.tasks import ANSWER, END, SIGNS, TASKS, Problems, decode, encode

N_ASKED = 8
DRAWS = 0  # seed of the draws for the problems that are asked every time
EVERY = 10  # supervised steps between two that are shown
# How else a run may start: demonstrations that end too soon, and the same few again and again.
STARTS: Mapping[str, Mapping[str, Any]] = {
    "good": {},
    "weak": {"cold_steps": 60},
    "overfit": {"cold_problems": 100},
}


@dataclass(frozen=True)
class Shown:
    """A supervised step of the cold start.

    Attributes
    ----------
    step, steps
        Counted from 1, and how many there are at most.
    loss
        Cross-entropy per sign, in nats.
    seconds
        Since the run began.
    """

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Look:
    """What the policy does after so many updates by rewards; see `moe.lm.reason.Iteration`.

    Attributes
    ----------
    written
        What it wrote on the problems that are asked every time, drawn at temperature 1.
    """

    iteration: int
    accuracy: float
    sampled: float
    length: float
    thinks: float
    right_thinking: float | None
    right_at_once: float | None
    zero_variance: float
    seconds: float
    written: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Iteration, written: Sequence[str]) -> Look:
        """Return what is kept of a record."""
        own = {one.name: getattr(record, one.name) for one in fields(cls)[:-1]}
        return cls(**own, written=tuple(written))


@dataclass(frozen=True)
class Thinking:
    """A run as it was watched.

    Attributes
    ----------
    seed
        Of the run.
    start
        A key of `STARTS`.
    looks
        From before the first update to after the last one.
    """

    seed: int
    start: str
    looks: tuple[Look, ...]

    def as_json(self, written: bool = True) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`; with or without what was written."""
        kept = self if written else replace(
            self, looks=tuple(replace(look, written=()) for look in self.looks)
        )  # fmt: skip
        return asdict(kept)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Thinking:
        """Read what `as_json` gave.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        try:
            looks = tuple(
                Look(**{**look, "written": tuple(map(str, look["written"]))})
                for look in given["looks"]
            )
            run = cls(int(given["seed"]), str(given["start"]), looks)
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"thinking: got other parts than a run has ({error})") from error
        if (
            run.start not in STARTS
            or not looks
            or [one.iteration for one in looks] != list(range(len(looks)))
        ):
            raise CheckpointError("thinking: got other iterations, allowed is each in its order")
        return run


def settings_of(seed: int, start: str = "good", iterations: int | None = None) -> ReasonSettings:
    """Return the settings of a run of sums modulo 5."""
    return ReasonSettings(task="mod5", seed=seed, iterations=iterations, **STARTS[start])


def problems() -> Problems:
    """The held-out problems that are asked every time."""
    return TASKS["mod5"].examination(N_ASKED)


def prompts() -> tuple[str, ...]:
    """These problems as text."""
    return tuple(decode(prompt_P) for prompt_P in problems().prompt_BP)


def rights(written: Sequence[str]) -> tuple[bool, ...]:
    """Which answers to these problems are right: the reward that a run gives."""
    task, asked = TASKS["mod5"], problems()
    signs = [encode(text) for text in written]
    written_BS = np.array([one + [SIGNS.index("_")] * (task.n_new - len(one)) for one in signs])
    return tuple(bool(reward) for reward in task.reward(asked, written_BS))


def parted(written: str) -> tuple[str, str]:
    """What stands in front of an answer, and the answer itself, without its marks."""
    before, _, answer = written.partition(SIGNS[ANSWER])
    return before.removesuffix(SIGNS[END]), answer.removesuffix(SIGNS[END])


def watch(settings: ReasonSettings) -> Iterator[Shown | Look]:
    """Do a run, and yield what is shown of it, step by step."""
    run = ReasonRun(settings)
    steps = run.settings.cold_steps or 0
    # A record of an update comes after it, so the answers of before were asked for already.
    written: Sequence[str] = ()
    for record in run.run():
        if isinstance(record, Iteration):
            yield Look.of(record, written)
        elif (record.step + 1) % EVERY == 0:
            yield Shown(record.step + 1, steps, record.loss, record.seconds)
        if isinstance(record, Iteration) or record.step + 1 == steps:
            written = _answers(run)


def _answers(run: ReasonRun) -> tuple[str, ...]:
    rolled = roll_out(run.model, run.task, problems(), np.random.default_rng(DRAWS))
    return tuple(decode(written_S) for written_S in rolled.written_BS)


def finished(seed: int, start: str = "good", iterations: int | None = None) -> Thinking:
    """Do a whole run."""
    found = watch(settings_of(seed, start, iterations))
    return Thinking(seed, start, tuple(one for one in found if isinstance(one, Look)))
