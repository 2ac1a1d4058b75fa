"""How fast a language model trains: whole steps, from drawing a batch to steering the balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from .. import kernels
from ..speed.timing import blocks_in_turn
from .settings import DENSE, LMTrainSettings
from .training import LMTrainer

OURS = "MoEscope"
BLOCKS, BLOCK_SECONDS = 7, 0.4


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of whole training steps at one shape.

    Attributes
    ----------
    tokens_per_s
        Tokens of a step over the median seconds of a step.
    ms_per_step
        That median, over blocks of steps.
    tokens_per_step, params, threads
        Of the shape and the run.
    peers
        Of others at the same shape, measured in turn with it: tokens a second.
    ratios
        Tokens a second over each one's: the median of the blocks' ratios.
    loss_differences
        Largest difference of the losses of the first steps, from equal weights and batches.
    """

    tokens_per_s: float
    ms_per_step: float
    tokens_per_step: int
    params: int
    threads: int
    peers: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    loss_differences: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """Each code with its speed, and how many times as fast as it the library is."""
        own = {"code": OURS, "tokens a second": self.tokens_per_s, "times as fast": 1.0}
        return [
            own,
            *(
                {"code": name, "tokens a second": speed, "times as fast": self.ratios[name]}
                for name, speed in self.peers.items()
            ),
        ]

    def words(self) -> str:
        """The shape in a line."""
        return (
            f"{self.ms_per_step:.1f} ms a step of {self.tokens_per_step} tokens, "
            f"{self.params / 1e6:.1f} million parameters, {self.threads} threads"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, ready for `json.dumps`."""
        return asdict(self)


def bench_settings(d_model: int, d_expert: int | None = None, **options: Any) -> LMTrainSettings:
    """Settings of steps in the middle of a long run; experts are 4 times as wide as the model."""
    return LMTrainSettings(
        **options, d_model=d_model, d_expert=d_expert or 4 * d_model,
        steps=1_000_000, warm_up=0, decay=0.0,
    )  # fmt: skip


def measure(
    settings: LMTrainSettings,
    blocks: int = BLOCKS,
    with_pytorch: bool = False,
    with_dense: bool = False,
) -> TrainingSpeed:
    """Time whole training steps.

    Parameters
    ----------
    settings
        The model, its batch and its optimiser; steps are done as of its middle, at the full rate.
    blocks
        Blocks of steps; each kind of code that is timed has as many, in turn.
    with_pytorch
        Also time the same model in plain PyTorch: see `moe.lm.torch_twin`.
    with_dense
        Also time dense models of equal active and of equal total size.

    Raises
    ------
    ValueError
        If PyTorch is asked for and not installed, or the model is one that its twin is not.
    """
    trainer = LMTrainer(settings)
    calls: dict[str, Callable[[], object]] = {OURS: trainer.step}
    differences = {}
    if with_pytorch:
        from .torch_twin import make_twins

        for name, twin in make_twins(trainer).items():
            differences[name] = twin.compare(settings)
            calls[name] = twin.step
    if with_dense:
        for size in DENSE[1:]:
            dense = LMTrainer(replace(settings, dense=size), trainer.windows)
            calls[f"dense, equal {size}"] = dense.step
    seconds = blocks_in_turn(calls, blocks, BLOCK_SECONDS, long=np.inf)
    step = float(np.median(seconds[OURS]))
    ratios = {
        name: float(np.median(np.divide(theirs, seconds[OURS])))
        for name, theirs in seconds.items()
        if name != OURS
    }
    tokens = settings.tokens_per_step
    return TrainingSpeed(
        tokens_per_s=tokens / step,
        ms_per_step=1e3 * step,
        tokens_per_step=tokens,
        params=trainer.model.n_params,
        threads=kernels.num_threads(),
        peers={name: tokens / float(np.median(seconds[name])) for name in ratios},
        ratios=ratios,
        loss_differences=differences,
    )
