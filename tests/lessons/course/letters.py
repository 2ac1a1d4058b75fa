"""Numbers of lesson 0, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache
from math import e, log

import numpy as np
from scipy.special import log_softmax

import moe
from tests.lessons.expected import Drawn, Worked


@cache
def losses(seed: int, *steps: int) -> list[tuple[float, float]]:
    """Held-out loss with what was read here and elsewhere, after some numbers of steps."""
    trainer = moe.Trainer(moe.TrainSettings(n_experts=8, steps=60, batch=512, seed=seed))
    inputs, came = trainer.task.held_out(np.random.default_rng(0), 1024)
    found = []
    for step in range(max(steps) + 1):
        if step in steps:
            log_chance = [
                log_softmax(trainer.predict(read).astype(float), axis=1)
                for read in (inputs, inputs[[-1, *range(1023)]])
            ]
            here, elsewhere = (-one[range(1024), came].mean() for one in log_chance)
            found.append((float(here), float(elsewhere)))
        trainer.step()
    return found


@cache
def lost(at: int) -> float:
    """Mean share of the gain that strange characters cost at the first or the second look."""
    shares = []
    for seed in range(3):
        (fresh, _), *later = losses(seed, 0, 5, 60)
        here, elsewhere = later[at]
        shares.append((elsewhere - here) / (fresh - here))
    return sum(shares) / 3


def each_run_says_it() -> None:
    """What the lesson says of the mean holds for every seed."""
    for seed in range(3):
        (fresh, _), (here, elsewhere), (end, end_elsewhere) = losses(seed, 0, 5, 60)
        assert fresh - here > 0.8 and 0.7 < (fresh - elsewhere) / (fresh - here) < 1
        assert end_elsewhere > fresh and fresh - end > 2.5


QUESTIONS = {
    "fresh": [
        Worked(0.390625, {"letters_only": 3.846153846, "yes_or_no": 50, "never": 0,
                          "english": 12.7}),
    ],
    "table": [
        Worked(
            98_304,
            {"one_table": 256 * 64, "what_is_read": 6 * 64, "rows": 1536, "one_row": 64},
            {"places": 6, "kinds": 256, "width": 64},
        ),
    ],
    "third": [
        Worked(0.5, {"no_power": 2 * log(2) / (3 * log(2)), "no_division": 4, "winner": 1,
                     "even": 0.25}),
    ],
    "softmax": [
        Worked(
            e / (e + 1 + e * e),
            {"no_power": 1 / 3, "no_division": e, "winner": 1, "power_of_two": 2 / 7,
             "power_of_ten": 10 / 111},
            {"logits": [1.0, 0.0, 2.0]},
        ),
    ],
    "loss": [
        Worked(
            log(4),
            {"missing_part": 0.75, "base_two": 2, "base_ten": log(4) / log(10), "sign": -log(4),
             "percent": -log(25)},
            {"percent": 25},
        ),
    ],
    "elsewhere": [
        Worked(100 * lost(0), {"all": 100, "half": 50, "nothing": 0}, within=1e-3),
    ],
}  # fmt: skip


def learning() -> Drawn:
    mean = np.mean([losses(seed, 0, 5, 60) for seed in range(3)], axis=0)
    names = ("the six characters before it", "six characters from elsewhere")
    return Drawn(
        {"losses": 62, "levels": 2},
        {
            "losses": [
                {"run": name, "step": step, "value": float(mean[at, which])}
                for which, name in enumerate(names)
                for at, step in enumerate((0, 5, 60))
            ],
            "levels": [{"level": log(256), "from": 36, "label": "knows nothing"}],
        },
        tuple(f"with {name} {mean[0, i]:.2f} at the start, {mean[1, i]:.2f} after 5 steps, "
              f"{mean[2, i]:.2f} after 60" for i, name in enumerate(names)),
        (f"cost {lost(0):.0%}", f"cost {lost(1):.0%}"),
    )  # fmt: skip


FIGURES = {"learning": learning}
CLAIMS = [each_run_says_it]
