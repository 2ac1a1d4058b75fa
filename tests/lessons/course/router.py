"""Numbers of lesson 2, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache
from math import exp, log

import numpy as np
from scipy.special import softmax

from tests.lessons.course.expert import program
from tests.lessons.expected import Drawn, Worked


@cache
def routed(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance of both chosen experts, weight of the likelier one, and its chance; of each token."""
    trainer = program(seed)
    x_ND = trainer.embed(trainer.task.held_out(np.random.default_rng(0), 1024)[0])
    chance_NE = softmax(x_ND @ trainer.layer.params["gate_DE"], axis=1)
    both = np.sort(chance_NE, axis=1)[:, :-3:-1].astype(float)
    return both.sum(1), both[:, 0] / both.sum(1), both[:, 0]


def a_weight_hides_how_sure_the_router_is() -> None:
    for seed in range(3):
        sure, weight, _ = routed(seed)
        inside = sure[(weight > 0.6) & (weight < 0.7)]
        assert inside.min() < 0.5 and inside.max() > 0.75


QUESTIONS = {
    "weight": [
        Worked(2 / 3, {"not_divided": 0.5, "softmax_twice": 1 / (1 + exp(-0.25)),
                       "other_one": 1 / 3, "winner": 1}),
    ],
    "second": [
        Worked(
            1 / 3,
            {"not_divided": 0.2, "best_one": 2 / 3, "softmax_twice": 1 / (1 + exp(0.2)),
             "logits": log(6) / log(72), "equal": 0.5},
            {"numbers": [4, 12, 3, 6, 5]},
        ),
    ],
    "fair": [
        Worked(
            30, {"k_forgotten": 10, "not_shared": 240, "only_the_chosen": 80 / 3, "all": 80},
            {"tokens": 80, "experts": 8, "k": 3},
        ),
    ],
    "order": [
        Worked(
            0,
            {"a_little": 0.1, "half": 0.5,
             "without_division": float((routed(0)[1] - routed(0)[2]).max())},
            within=1e-4,
        ),
    ],
}  # fmt: skip


def sure() -> Drawn:
    sure_N, weight_N, _ = (one[:300] for one in routed(0))
    inside = sure_N[(weight_N > 0.6) & (weight_N < 0.7)]
    found = [np.corrcoef(*routed(seed)[:2])[0, 1] for seed in range(3)]
    return Drawn(
        {"tokens": 300},
        {"tokens": [{"sure": float(sure_N[i]), "weight": float(weight_N[i])} for i in (0, 7, 299)]},
        (f"goes from {inside.min():.0%} to {inside.max():.0%}",),
        (f"between {inside.min():.0%}\nand {inside.max():.0%}",
         f"{min(found):.2f} to {max(found):.2f}"),
    )  # fmt: skip


FIGURES = {"sure": sure}
CLAIMS = [a_weight_hides_how_sure_the_router_is]
