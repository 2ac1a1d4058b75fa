"""The small trained programs that several lessons measure, each trained once in a process."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..training import Trainer, TrainSettings

SEEDS = (0, 1, 2)
EXPERTS, PLACES = 8, 1024


@cache
def trained(seed: int) -> Trainer:
    """Train as lessons 1 to 3 do: eight experts, two for each token, kept busy alike."""
    trainer = Trainer(
        TrainSettings(n_experts=EXPERTS, steps=60, batch=512, balance="bias", seed=seed)
    )
    for _ in trainer.run():
        pass
    return trainer


@cache
def places(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (N, D) of held-out places of text, and the bytes that came (N,)."""
    inputs, came_N = trained(seed).task.held_out(np.random.default_rng(0), PLACES)
    return trained(seed).embed(inputs), came_N


def mean_loss(logits_NV: np.ndarray, came_N: np.ndarray) -> float:
    """Return the mean of minus the logarithm of the chance that came true."""
    logits_NV = logits_NV.astype(np.float64)
    logits_NV -= logits_NV.max(axis=1, keepdims=True)
    all_N = np.log(np.exp(logits_NV).sum(axis=1))
    return float((all_N - logits_NV[np.arange(len(came_N)), came_N]).mean())
