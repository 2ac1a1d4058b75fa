"""Numbers of lesson 7, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import log_softmax

import moe
from tests.lessons.expected import Drawn, Worked

NAMES = {"order": "in batch order", "rank": "first choices first", "score": "large weights first"}


@cache
def program(seed: int, balance: str = "none") -> moe.Trainer:
    trainer = moe.Trainer(
        moe.TrainSettings(n_experts=8, steps=60, batch=256, balance=balance, seed=seed)
    )
    list(trainer.run())
    return trainer


@cache
def limited(
    seed: int, drop: str, factor: float = 1.25, balance: str = "none"
) -> tuple[float, np.ndarray, moe.Routing]:
    """Loss on unseen text, the share of each token's two choices that is dropped, the routing."""
    trainer = program(seed, balance)
    inputs, came = trainer.task.held_out(np.random.default_rng(0), 1024)
    trainer.layer.capacity = moe.Capacity(factor, drop)
    log_chance = log_softmax(trainer.predict(inputs).astype(float), axis=1)
    routing = trainer.layer.route(trainer.embed(inputs))
    return (
        float(-log_chance[range(1024), came].mean()),
        1 - routing.kept_A.reshape(1024, 2).mean(axis=1),
        routing,
    )


def added(seed: int, drop: str, factor: float = 1.25, balance: str = "none") -> float:
    free = limited(seed, "none", 1.0, balance)[0]
    return limited(seed, drop, factor, balance)[0] - free


def mean_added(drop: str) -> float:
    return sum(added(seed, drop) for seed in range(3)) / 3


def stretch(drop: str, first: int) -> float:
    """Mean share that is dropped of 64 places from one on."""
    return float(np.mean([limited(seed, drop)[1][first : first + 64] for seed in range(3)]))


def dropping_costs_what_the_question_says() -> None:
    assert abs(mean_added("order") - 0.37) < 0.05


def limits_hurt_the_late_and_sending_elsewhere_hurts_more() -> None:
    for seed in range(3):
        _, lost, _ = limited(seed, "order")
        assert 0.4 < lost.mean() < 0.75
        assert lost[:64].max() == 0 and lost[-64:].mean() > 0.6
        assert limited(seed, "score")[1].mean() == limited(seed, "rank")[1].mean() == lost.mean()
        assert added(seed, "score") < added(seed, "rank") <= added(seed, "order")
        assert added(seed, "reroute") > 2 * added(seed, "order") > 0.6
        assert added(seed, "reroute") > added(seed, "order", 1e-9)
        routing = limited(seed, "reroute")[2]
        assert routing.dropped < 0.01 * routing.n_assignments


def with_an_even_load_sending_elsewhere_is_harmless() -> None:
    for seed in range(3):
        sent = added(seed, "reroute", 1.0, "aux")
        assert sent < added(seed, "order", 1.0, "aux") < 0.1


def an_answer_depends_on_the_neighbours() -> None:
    for seed in range(3):
        trainer = program(seed)
        inputs, _ = trainer.task.held_out(np.random.default_rng(0), 1024)
        trainer.layer.capacity = moe.Capacity(1.25, "order")
        last, first = trainer.predict(inputs)[-1], trainer.predict(inputs[::-1].copy())[0]
        assert np.abs(last - first).max() > 1e-3


QUESTIONS = {
    "few": [Worked(1, {"none": 0, "all_of_them": 3, "down_to_even": 2})],
    "limit": [
        Worked(
            55, {"k_forgotten": 28, "rounded_down": 55, "factor_forgotten": 50,
                 "all_experts": 440},
            {"tokens": 200, "k": 2, "experts": 8, "factor": 1.1},
        ),
        Worked(
            16, {"k_forgotten": 8, "rounded_down": 15, "factor_forgotten": 13,
                 "all_experts": 125},
            {"tokens": 50, "k": 2, "experts": 8, "factor": 1.25},
        ),
    ],
    "dropped": [
        Worked(
            13, {"none": 0, "free_places": 17, "whole_experts": 35, "kept": 27},
            {"loads": [20, 15, 1, 4], "room": 11},
        ),
    ],
    "share": [
        Worked(
            100 * float(np.mean([limited(seed, "order")[1] for seed in range(3)])),
            {"none": 0, "quarter": 25, "nearly_all": 90},
            within=1e-4,
        ),
    ],
    "reroute": [Worked(mean_added("reroute"), {"nothing": 0, "gain": -1}, within=1e-3)],
}  # fmt: skip


def places() -> Drawn:
    return Drawn(
        {"dropped": 48},
        {
            "dropped": [
                {"run": name, "step": first + 32, "value": stretch(drop, first)}
                for drop, name in NAMES.items()
                for first in (0, 256, 960)
            ],
        },
        tuple(f"{name} {stretch(drop, 0):.0%} of the first 64 places and "
              f"{stretch(drop, 960):.0%} of the last" for drop, name in NAMES.items()),
        (f"places lose {stretch('order', 0):.0%} and the last ones {stretch('order', 960):.0%}",
         f"they lose {stretch('score', 0):.0%} and\n{stretch('score', 960):.0%}"),
    )  # fmt: skip


FIGURES = {"places": places}
CLAIMS = [
    dropping_costs_what_the_question_says,
    limits_hurt_the_late_and_sending_elsewhere_hurts_more,
    with_an_even_load_sending_elsewhere_is_harmless,
    an_answer_depends_on_the_neighbours,
]
