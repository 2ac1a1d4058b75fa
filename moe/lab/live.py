"""The controllers of `control` on a model that learns, whose ratings change all the time."""

from __future__ import annotations

from ..training import TrainSettings
from .compare import Run
from .control import RATES, Method, methods

NOTHING = Method("Nothing", "No nudge at all, to compare with.", "none")
SHORT = dict(router="deepseek_v3", steps=150, batch=512)  # the gate that the rule was made for


def live_settings(rate: float = RATES[1], seed: int = 0) -> dict[Method, TrainSettings]:
    """A short run for each controller, and one without any, all from the same start."""
    return {
        method: TrainSettings(balance=method.balance, seed=seed, **SHORT)  # type: ignore[arg-type]
        for method in (*methods(rate), NOTHING)
    }


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
    """Which controller is most even at the end, and which predicts best, in words."""
    ends = {method: run.summary() for method, run in runs.items()}
    even = min(ends, key=lambda method: ends[method].max_vio)
    best = min(ends, key=lambda method: ends[method].held_out_loss)
    worst = max(ends, key=lambda method: ends[method].max_vio)
    said = (
        f"Most even at the end: {even.title}, its busiest expert {ends[even].max_vio:.0%} above "
        f"the fair share; least even: {worst.title}, {ends[worst].max_vio:.0%} above."
    )
    return f"{said} Best predictions: {best.title} (loss {ends[best].held_out_loss:.3f})."
