"""What a balancer does when the data change: an oscilloscope of the load after a step of the input.

A model learns one kind of text, and from a given step on it gets another. Nothing else changes, so
what the load does then is the answer of gate and balancer together. As on an oscilloscope the load
is read from the same tokens at every step, since that of the batches would show their chance as
well; balancers see the batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import metrics
from ..data import Corpus, TextTask, load_corpus
from ..errors import check_choice
from ..settings import option
from ..training import Trainer, TrainSettings
from ..training.runs import LAST
from .control import TAIL

PROBES = 4096  # tokens that the load is read from


@dataclass(frozen=True)
class SwitchSettings(TrainSettings):
    """A run whose text changes; the defaults are those of training, with a bias."""

    balance: str = option("bias", "What keeps the load even, as for training.")
    steps: int = option(400, "Training steps in all.", low=2, high=1_000_000)
    before: int = option(200, "Steps until the text changes.", low=1, high="steps")
    first: str = option("prose", "Kind of text at first: a domain of the built-in text.")
    then: str = option("python", "Kind of text from then on.")
    band: float = option(
        0.3, "MaxVio below which the load counts as even again.", low=0, open_low=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task != TextTask.name or self.text is not None:
            got = self.task if self.text is None else self.text
            raise ValueError(f"task: got {got!r}, allowed is 'text' of the built-in kinds")
        if self.before >= self.steps:
            raise ValueError(
                f"before: got {self.before}, allowed is a number below steps ({self.steps})"
            )
        for name in ("first", "then"):
            check_choice(name, getattr(self, name), load_corpus().names)

    def make_task(self, name: str) -> TextTask:
        """The task of one kind of text."""
        corpus = load_corpus()
        return TextTask(Corpus((corpus.domains[corpus.names.index(name)],)), self.context)


@dataclass(frozen=True, eq=False)
class Trace:
    """Loads of the same tokens before and after the switch.

    Attributes
    ----------
    before_SE
        Loads of tokens of the first kind before every step until the switch, (before, E).
    after_SE
        Loads of tokens of the second kind before every step after it, (steps - before + 1, E); the
        first row is what the new text meets.
    band
        MaxVio below which the load counts as even.
    lump
        Share of the commonest window among the tokens of the second kind.
    held_out_loss
        On text of the second kind, at the end.
    """

    before_SE: np.ndarray
    after_SE: np.ndarray
    band: float
    lump: float
    held_out_loss: float

    @cached_property
    def ratio_SE(self) -> np.ndarray:
        """Loads after the switch, in fair shares; where no token asks for an expert, 1."""
        fair_S1 = self.after_SE.mean(axis=1, keepdims=True)
        return np.divide(
            self.after_SE, fair_S1, out=np.ones(self.after_SE.shape), where=fair_S1 > 0
        )

    @cached_property
    def max_vio_S(self) -> np.ndarray:
        """MaxVio of the whole run, first of the one kind of tokens and then of the other."""
        return np.array([metrics.max_vio(load_E) for load_E in (*self.before_SE, *self.after_SE)])

    def figures(self) -> SwitchFigures:
        """Sum it up."""
        after_S = self.max_vio_S[len(self.before_SE) :]
        tail = max(2, round(TAIL * len(after_S)))
        return SwitchFigures(
            level=float(self.max_vio_S[: len(self.before_SE)][-LAST:].mean()),
            peak=float(after_S.max()),
            overshoot=metrics.overshoot(self.ratio_SE),
            settling=metrics.settling(after_S, self.band),
            ripple=metrics.ripple(self.ratio_SE[-tail:]),
            end=float(after_S[-LAST:].mean()),
            lump=self.lump,
            held_out_loss=self.held_out_loss,
        )


@dataclass(frozen=True)
class SwitchFigures:
    """What the load did; loads in fair shares, of the same tokens at every step.

    Attributes
    ----------
    level, end
        MaxVio over the last steps before the switch, and over the last ones of all.
    peak
        Largest MaxVio after the switch.
    overshoot
        How far a load swings past its fair share after the switch; see `metrics.overshoot`.
    settling
        Steps after the switch until MaxVio stays below the band; None if it does not.
    ripple
        Mean change of a load from step to step in the last fifth; see `metrics.ripple`.
    lump
        Share of the commonest window of the second text: its tokens choose alike, so that no gate
        can divide them.
    held_out_loss
        On text of the second kind, at the end.
    """

    level: float
    peak: float
    overshoot: float
    settling: int | None
    ripple: float
    end: float
    lump: float
    held_out_loss: float


def trace(settings: SwitchSettings) -> Trace:
    """Train through the switch and read the load at every step."""
    first, then = (settings.make_task(name) for name in (settings.first, settings.then))
    first_NC, then_NC = _probes(first), _probes(then)
    trainer = Trainer(settings, first)
    before = list(_loads(trainer, first_NC, settings.before))
    trainer.task = then
    steps = settings.steps - settings.before
    after = [*_loads(trainer, then_NC, steps), _load(trainer, then_NC)]
    lump = float(np.unique(then_NC, axis=0, return_counts=True)[1].max() / PROBES)
    return Trace(np.array(before), np.array(after), settings.band, lump, trainer.evaluate())


def _loads(trainer: Trainer, window_NC: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Loads of the probe tokens before each of so many steps."""
    for _ in range(steps):
        yield _load(trainer, window_NC)
        trainer.step()


def _probes(task: TextTask) -> np.ndarray:
    """The tokens that the load is read from, as windows (N, C)."""
    return np.asarray(task.draw(np.random.default_rng(0), PROBES)[0])


def _load(trainer: Trainer, window_NC: np.ndarray) -> np.ndarray:
    """Assignments asked for per expert of the probe tokens, without noise, (E,)."""
    last_N = window_NC[:, -1]
    return trainer.layer.route(trainer.embed(window_NC), token_ids=last_N).proposed_load


def switch(settings: SwitchSettings) -> SwitchFigures:
    """Train through the switch and sum up what the load did."""
    return trace(settings).figures()
