"""The collapse of a language model's experts, and whether it has the cause that one layer's has.

The same interventions and figures as in `moe.studies.collapse`, on a model whose router sees a
context: attention before it, a norm in front of the gate, and several layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from .. import kernels
from ..errors import check_choice
from ..layer import MoELayer
from ..lm.settings import LMTrainSettings
from ..lm.training import LMTrainer
from ..optim import Optimizer
from ..routers import ROUTERS
from ..settings import option
from .collapse import INTERVENTIONS, NONE, CollapseFigures, Look, look, watch

PARTS = (NONE, "experts", "gate")
# What needs another optimiser for the gate, or a bias at the output, is left to the one layer.
HERE = (NONE, "centre", "small", "large")


@dataclass(frozen=True)
class LMCollapseSettings(LMTrainSettings):
    """A training run of a language model, what is frozen in it, and what else is done to it."""

    balance: str = "none"
    freeze: str = option(NONE, f"Part that stays as it began: {', '.join(PARTS)}.", among=PARTS)
    intervention: str = option(NONE, f"What is changed: {', '.join(HERE)}.", among=HERE)

    def __post_init__(self) -> None:
        super().__post_init__()
        scored = [name for name, kind in ROUTERS.items() if kind.scored and kind.projections]
        check_choice("router", self.router, scored)
        if not self.n_experts or self.dense != "none":
            raise ValueError("n_experts: got a dense model, allowed is one with experts")


class Layers:
    """A language model in training as a `Subject`: all its layers with experts."""

    def __init__(self, settings: LMCollapseSettings) -> None:
        own = {one.name: getattr(settings, one.name) for one in fields(LMTrainSettings)}
        self.trainer = LMTrainer(LMTrainSettings(**own))
        self.layers: Sequence[MoELayer] = self.trainer.model.moe_layers
        self.learning_rate = settings.learning_rate
        self.output_bias_V = np.zeros(settings.n_vocab, np.float32)  # a place for none: see HERE
        self._freeze = settings.freeze
        self._mean_D = np.zeros(settings.d_model, np.float32)
        self._count_V = np.zeros(settings.n_vocab, np.int64)

    @property
    def optimizer(self) -> Optimizer:
        """The trainer's; no intervention here puts another in its place."""
        return self.trainer.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        raise ValueError(f"optimizer: got {optimizer!r}, allowed is the trainer's own")

    def gates(self) -> Mapping[str, np.ndarray]:
        """Every layer's router."""
        return {
            name: array
            for name, array in self.trainer.model.arrays().items()
            if self._part(name) == "gate"
        }

    def class_counts(self) -> np.ndarray:
        """How often each byte was the target so far."""
        return self._count_V

    def step(self) -> tuple[float, Sequence[Look]]:
        """Do one training step."""
        trainer, model = self.trainer, self.trainer.model
        window_BT = trainer.windows.draw(trainer.data_rng, trainer.settings.batch)
        target_N = np.ascontiguousarray(window_BT[:, 1:].reshape(-1), np.int64)
        ctx = model.forward(window_BT[:, :-1], trainer.noise_rng)
        weight_N = np.full(len(target_N), 1 / len(target_N), model.dtype)
        loss_N, dh_ND, dout_DV = kernels.classify(ctx.h_ND, model.out_DV, target_N, weight_N)
        grads = model.backward(dh_ND, dout_DV, ctx)[1]
        for name, grad in grads.items():
            if self._part(name) == self._freeze:
                grad[...] = 0  # then Adam's means stay zero, and the part as it began
        trainer.update(grads, ctx.routings)
        self._mean_D = ctx.h_ND.mean(axis=0)
        self._count_V += np.bincount(target_N, minlength=len(self._count_V))
        seen = [look(b.ffn.x_ND, b.ffn.routing) for b in ctx.blocks if hasattr(b.ffn, "routing")]
        return float(loss_N.mean(dtype=np.float64)), seen

    def common_outputs(self) -> np.ndarray:
        """What the mean of what the output maps says there, of the last batch."""
        return np.asarray(self._mean_D @ self.trainer.model.out_DV)

    def evaluate(self) -> float:
        """Mean loss in nats on held-out text."""
        return self.trainer.evaluate().bits_per_byte * float(np.log(2))

    @staticmethod
    def _part(name: str) -> str:
        """Which of `PARTS` a parameter belongs to, or what else it is called."""
        _, at, own = name.partition(".ffn.")
        if not at or own.startswith("shared_"):
            return name
        return "experts" if own.startswith(("w_", "b_")) else "gate"


def lm_collapse(settings: LMCollapseSettings) -> CollapseFigures:
    """Train a language model with one thing changed."""
    assert settings.intervention in INTERVENTIONS
    return watch(Layers(settings), settings.intervention, settings.steps)
