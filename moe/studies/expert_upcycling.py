"""More experts in the middle of a run: whether the loss jumps, copies part, and it is worth it.

Beside a model that grows stand one that never does and one that had as many from the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..layer import MoELayer
from ..lm.model import LanguageModel
from ..lm.settings import LMTrainSettings
from ..lm.training import LMTrainer
from ..lm.upcycling import BATCHES, go_on_with, upcycle_dense, upcycle_model, utilities
from ..settings import option

WAYS = ("small", "copies", "useful", "dense", "large")


@dataclass(frozen=True)
class UpcycleRun(LMTrainSettings):
    """A training run of a language model, and how it gets its experts."""

    way: str = option(
        "copies",
        "small: never more; copies: each expert again; useful: by utility; dense: one dense "
        "network becomes all; large: as many from the start.",
        among=WAYS,
    )
    copies: int = option(2, "How many times the experts there are afterwards.", low=2, high=64)
    switch: float = option(0.67, "Share of the steps before it.", low=0, high=1, open_low=True)
    noise: float = option(1e-3, "Largest change of a copy's bias.", low=0)
    drop: float = option(0.0, "Share of hidden units drawn anew, from dense.", low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_experts or self.dense != "none" or self.n_dense:
            raise ValueError("n_experts: got dense layers, allowed is a mixture in every layer")
        if self.way not in ("small", "large") and self.switch_step >= self.steps:
            raise ValueError(
                f"switch: got {self.switch} of {self.steps} steps, allowed is a share that leaves "
                "a step before it and one after it"
            )

    @property
    def switch_step(self) -> int:
        """Steps before the model gets its experts."""
        return max(1, round(self.switch * self.steps))


@dataclass(frozen=True)
class UpcycleFigures:
    """Held-out bits per byte, and how far copies are apart.

    Attributes
    ----------
    bits_per_byte
        At the end.
    before, after
        Right before and right after the switch; None where there is none.
    apart
        Distance of a copy's weights from its original's, over the original's length: at the end,
        the mean over copies and layers; None where nothing was copied.
    idle
        Experts, over all layers, that no token of the last batch chose.
    """

    bits_per_byte: float
    before: float | None
    after: float | None
    apart: float | None
    idle: int


def upcycled(settings: UpcycleRun) -> UpcycleFigures:
    """Train up to the switch, give the model more experts, and go on to the end."""
    few, many = settings.n_experts, settings.n_experts * settings.copies
    start = {"large": many, "dense": 0}.get(settings.way, few)
    trainer = LMTrainer(_start(settings, start))
    before = after = None
    origins: list[np.ndarray] = []
    if settings.way not in ("small", "large"):
        while trainer.step_number < settings.switch_step:
            trainer.step()
        before = trainer.evaluate().bits_per_byte
        model = _grown(settings, trainer)
        origins = [_originals(layer, settings) for layer in model.moe_layers]
        trainer = go_on_with(
            trainer, model, replace(settings.training, n_experts=model.config.n_experts)
        )
        after = trainer.evaluate().bits_per_byte
    *_, last = trainer.run()
    assert last.held_out is not None  # the last step looks at all held-out text
    pairs = zip(trainer.model.moe_layers, origins, strict=False)
    apart = [_apart(layer, source_E) for layer, source_E in pairs]
    return UpcycleFigures(
        last.held_out, before, after, float(np.mean(apart)) if apart else None, last.dead
    )


def _start(settings: UpcycleRun, n_experts: int) -> LMTrainSettings:
    if n_experts:
        return replace(settings.training, n_experts=n_experts)
    # A dense network as wide as one expert, which all experts are copied from.
    return replace(settings.training, n_experts=0, d_dense=settings.d_expert, balance="none")


def _grown(settings: UpcycleRun, trainer: LMTrainer) -> LanguageModel:
    """The model with more experts; what it looks at is not drawn from the run's own batches."""
    model = trainer.model
    if settings.way == "dense":
        many = replace(settings.training, n_experts=settings.n_experts * settings.copies).model
        return upcycle_dense(model, many, settings.drop, settings.seed)
    by = None
    if settings.way == "useful":
        rng = np.random.default_rng([settings.seed, 1])
        by = utilities(model, [trainer.windows.draw(rng, settings.batch) for _ in range(BATCHES)])
    return upcycle_model(model, settings.copies, settings.noise, settings.seed, by)


def _originals(layer: MoELayer, settings: UpcycleRun) -> np.ndarray:
    """Number of the first expert that equals each one (or from which a part was drawn anew)."""
    if settings.way == "dense":
        return np.zeros(layer.n_experts, np.int64)
    down_EFD = layer.params["w_down_EFD"]
    found: dict[bytes, int] = {}
    return np.array([found.setdefault(down_FD.tobytes(), e) for e, down_FD in enumerate(down_EFD)])


def _apart(layer: MoELayer, source_E: np.ndarray) -> float:
    weights_EW = np.concatenate(
        [
            array.reshape(layer.n_experts, -1)
            for name, array in layer.params.items()
            if name.startswith("w_")
        ],
        axis=1,
    ).astype(np.float64)
    copies = np.flatnonzero(source_E != np.arange(layer.n_experts))
    of = source_E[copies]
    far_C = np.linalg.norm(weights_EW[copies] - weights_EW[of], axis=1)
    return float((far_C / np.linalg.norm(weights_EW[of], axis=1)).mean())
