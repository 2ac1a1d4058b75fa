"""The controllers of `control` on a model that learns, whose ratings change all the time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import metrics
from ...studies.control import RATES, Method, methods
from ...training import TrainSettings
from ...training.runs import Run

NOTHING = Method("Nothing", "No nudge at all, to compare with.", "none")
SHORT: dict[str, Any] = dict(
    router="deepseek_v3", steps=150, batch=512
)  # the gate that the rule was made for


def live_settings(rate: float = RATES[1], seed: int = 0) -> dict[Method, TrainSettings]:
    """A short run for each controller, and one without any, all from the same start."""
    return {
        method: TrainSettings(balance=method.balance, seed=seed, **SHORT)
        for method in (*methods(rate), NOTHING)
    }


def chance(settings: TrainSettings, draws: int = 400) -> float:
    """Mean MaxVio of batches in which every expert is equally likely, as even as chance allows."""
    rng = np.random.default_rng(0)
    fair_E = np.full(settings.n_experts, 1 / settings.n_experts)
    drawn = rng.multinomial(settings.k * settings.batch, fair_E, draws)
    return float(np.mean([metrics.max_vio(load_E) for load_E in drawn]))


def live_rows(runs: dict[Method, Run]) -> list[dict[str, str]]:
    """Ends of the runs, formatted, for a table."""
    made = []
    for method, run in runs.items():
        end = run.summary()
        made.append(
            {
                "Controller": method.title,
                "Busiest expert above its fair share": f"{end.max_vio:+.0%}",
                "Idle experts": str(end.dead),
                "Loss on held-out data": f"{end.held_out_loss:.3f}",
            }
        )
    return made


def live_words(runs: dict[Method, Run]) -> str:
    """Which controllers are most and least even at the end, and how they predict, in words."""
    ends = {method: run.summary() for method, run in runs.items()}
    even = min(ends, key=lambda method: ends[method].max_vio)
    worst = max(ends, key=lambda method: ends[method].max_vio)
    losses = sorted(end.held_out_loss for end in ends.values())
    return (
        f"Most even at the end: {even.title}, its busiest expert {ends[even].max_vio:.0%} above "
        f"the fair share; least even: {worst.title}, {ends[worst].max_vio:.0%} above. "
        f"Losses on held-out data lie between {losses[0]:.3f} and {losses[-1]:.3f}. "
        f"{_against_nothing({method: end.held_out_loss for method, end in ends.items()})}"
    )


def _against_nothing(loss: dict[Method, float]) -> str:
    """Whether steering helped the predictions: how many controllers do better than none."""
    alone = loss[NOTHING]
    steered = [value for method, value in loss.items() if method != NOTHING]
    better = sum(value < alone for value in steered)
    if better == len(steered):
        return f"Each controller predicts better than none at all ({alone:.3f})."
    behind = (
        f"none of the {len(steered)} controllers does"
        if not better
        else (f"only {better} of the {len(steered)} controllers {'does' if better == 1 else 'do'}")
    )
    return (
        f"With none at all the loss is {alone:.3f}, and {behind} better: in so short a run an even "
        "load need not mean better guesses."
    )
