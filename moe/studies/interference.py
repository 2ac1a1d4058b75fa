"""Does a balance loss pull against the task? The angle between both gradients while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..settings import option
from ..training import Trainer, TrainSettings
from ..training.runs import Run

EVERY = 10  # steps between two looks
ENDS = 5  # looks at the beginning, and at the end


@dataclass(frozen=True)
class InterferenceSettings(TrainSettings):
    """A run whose gradients are compared; the defaults are those of training, with `aux`."""

    balance: str = option("aux", "What keeps the load even, as for training.")


@dataclass(frozen=True)
class InterferenceFigures:
    """What the balance loss does to the task's gradient, averaged over the looks.

    A cosine is that of the angle between the task's gradient and the balance loss's: 1 if both
    want the same, 0 if neither minds the other, -1 if they are opposed. All are None for a
    balancer without a gradient.

    Attributes
    ----------
    gate_cosine, embedding_cosine
        At the gate's arrays, and at the embedding's.
    gate_cosine_early, gate_cosine_late
        At the gate, over the first and over the last `ENDS` looks.
    gate_opposed
        Share of the looks with a negative cosine at the gate.
    gate_ratio, embedding_ratio
        Length of the balance loss's gradient over that of the task's.
    held_out_loss, max_vio
        Of the whole run, as in training.
    """

    gate_cosine: float | None
    embedding_cosine: float | None
    gate_cosine_early: float | None
    gate_cosine_late: float | None
    gate_opposed: float | None
    gate_ratio: float | None
    embedding_ratio: float | None
    held_out_loss: float
    max_vio: float


def interference(settings: InterferenceSettings) -> InterferenceFigures:
    """Train, and look at both gradients every `EVERY` steps."""
    trainer = Trainer(settings)
    names = {
        part: [name for name in trainer.arrays() if trainer.part_of(name) == part]
        for part in ("gate", "embedding")
    }
    records, looks = [], []
    for step in range(settings.steps):
        batch = trainer.begin()
        if step % EVERY == 0:
            task = trainer.gradients(batch, balance=False)
            balance = trainer.gradients(batch, task=False)
            looks.append([_angle(task, balance, arrays) for arrays in names.values()])
        records.append(trainer.finish(batch))
    end = Run(settings, records, trainer.evaluate()).summary()
    look_L22 = np.array(looks)
    if not look_L22[:, 0, 1].any():
        nothing = (None, None, None, None, None, None, None)
        return InterferenceFigures(*nothing, end.held_out_loss, end.max_vio)
    (gate_cosine, gate_ratio), (cosine, ratio) = look_L22.mean(axis=0)
    gate_L = look_L22[:, 0, 0]
    return InterferenceFigures(
        float(gate_cosine), float(cosine), float(gate_L[:ENDS].mean()),
        float(gate_L[-ENDS:].mean()), float((gate_L < 0).mean()), float(gate_ratio), float(ratio),
        end.held_out_loss, end.max_vio,
    )  # fmt: skip


def _angle(
    task: Mapping[str, np.ndarray], balance: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[float, float]:
    """Cosine of two gradients over the named arrays, and the second's length over the first's."""
    first, second = (
        np.concatenate([grads[name].ravel() for name in names]).astype(np.float64)
        for grads in (task, balance)
    )
    length, other = np.linalg.norm(first), np.linalg.norm(second)
    if length == 0 or other == 0:
        return 0.0, 0.0
    return float(first @ second / (length * other)), float(other / length)
