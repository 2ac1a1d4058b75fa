"""The small run that is watched: on the first page as a film, and on *Play* while it trains."""

from __future__ import annotations

from ....training import TrainSettings

MOST_STEPS = 3000


def small_run(n_experts: int = 8, seed: int = 0) -> TrainSettings:
    """Return settings with the same number of parameters for any number of experts, 64 at most."""
    return TrainSettings(
        n_experts=n_experts,
        d_model=32,
        d_expert=max(8, 256 // n_experts),
        batch=512,
        context=4,
        sequence_length=32,
        learning_rate=5e-3,
        steps=MOST_STEPS,
        seed=seed,
    )
