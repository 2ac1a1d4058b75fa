"""Numbers of lesson 4, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache

import numpy as np

import moe
from moe.studies.collapse import INTERVENTIONS, CollapseSettings, OneLayer
from tests.lessons.expected import Drawn, Worked

RUNS = {
    "all trained": ("none", "none"),
    "experts frozen": ("experts", "none"),
    "router frozen": ("gate", "none"),
    "router sees no mean": ("none", "centre"),
}


@cache
def shares(run: str, seed: int) -> np.ndarray:
    """The busiest expert's share at each step, from the study's own way to run it."""
    freeze, intervention = RUNS[run]
    settings = CollapseSettings(steps=60, batch=512, freeze=freeze, seed=seed)
    subject = OneLayer(settings)
    INTERVENTIONS[intervention].apply(subject)
    loads = [subject.step()[1][0].load_E for _ in range(60)]
    return np.array([load.max() / load.sum() for load in loads])


def end(run: str) -> float:
    return float(np.mean([shares(run, seed)[50:].mean() for seed in range(3)]))


def each_seed_says_it() -> None:
    for seed in range(3):
        first, *_, last = shares("all trained", seed)
        assert first < 0.2 and last > 0.25
        frozen = shares("experts frozen", seed)[-1]
        assert frozen > last and frozen > 0.45
        centred = shares("router sees no mean", seed)[-1]
        assert centred < 0.25 and centred < last
        assert centred < shares("router frozen", seed)[-1] < last


def a_shared_expert_is_no_cure() -> None:
    for seed in range(3):
        settings = moe.TrainSettings(steps=60, batch=512, n_shared=1, seed=seed)
        *_, last = moe.train(settings)
        assert last.proposed.max() / last.proposed.sum() > 0.2


QUESTIONS = {
    "busiest": [
        Worked(100 * end("all trained"), {"fair": 6.25, "half": 50, "all": 100}, within=1e-3),
    ],
    "maxvio": [
        Worked(
            1.5,
            {"ratio": 2.5, "difference": 12, "share": 0.3125, "spread": 39**0.5 / 8,
             "least": 9},
            {"loads": [20, 16, 8, 8, 2, 2, 4, 4]},
        ),
    ],
    "most": [
        Worked(
            7, {"k_forgotten": 15, "ratio": 8, "share": 0.5, "infinite": 31},
            {"experts": 16, "k": 2},
        ),
    ],
    "untouched": [Worked(14, {"the_chosen": 2, "all_learn": 0, "one_wins": 15})],
    "frozen": [
        Worked(
            100 * end("experts frozen"),
            {"cured": 6.25, "as_before": 100 * end("all trained"), "all": 100},
            within=1e-3,
        ),
    ],
}  # fmt: skip


def runs() -> Drawn:
    mean = {run: np.mean([shares(run, seed) for seed in range(3)], axis=0) for run in RUNS}
    return Drawn(
        {"shares": 240, "fair": 1},
        {
            "shares": [
                {"run": run, "step": step, "value": float(mean[run][step])}
                for run in RUNS
                for step in (0, 30, 59)
            ],
            "fair": [{"fair": 0.0625}],
        },
        tuple(f"{run} {end(run):.0%}" for run in RUNS),
        (f"has {end('all trained'):.0%} with", f"{end('experts frozen'):.0%}\nwith frozen experts",
         f"and {end('router sees no mean'):.0%} if"),
    )  # fmt: skip


FIGURES = {"runs": runs}
CLAIMS = [each_seed_says_it, a_shared_expert_is_no_cure]
