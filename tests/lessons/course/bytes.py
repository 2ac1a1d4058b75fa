"""Numbers of the lesson on traffic and cost, worked out apart from the lesson."""

from __future__ import annotations

from math import comb

import numpy as np

import moe
from moe.cluster.sampling import random_experts, sample_routings
from moe.cluster.simulate import ClusterSettings, run
from moe.cost import TrainingCost
from tests.lessons.expected import Drawn, Worked

SPREAD = 8 * (1 - comb(224, 8) / comb(256, 8))


def by_gate(seed: int, limited: bool) -> float:
    """Machines of a token by plain arrays, for random scores of its own."""
    score = np.random.default_rng(seed).standard_normal((4096, 256))
    if limited:
        parts = score.reshape(4096, 8, 32)
        both = np.sort(parts, axis=2)[:, :, -2:].sum(axis=2)
        far = np.argsort(both, axis=1)[:, :4]
        np.put_along_axis(parts, far[:, :, None], -np.inf, axis=1)
        score = parts.reshape(4096, 256)
    best = np.argsort(score, axis=1)[:, -8:] // 32
    return float(np.mean([len(set(row)) for row in best.tolist()]))


def each_seed_says_it() -> None:
    formula = 4 * (1 - comb(96, 8) / comb(128, 8))
    assert round(formula, 2) == 3.63
    for seed in range(3):
        for router, limited in (("deepseek_v3", True), ("topk", False)):
            settings = ClusterSettings(router=router, tokens=8192, batch=128, seed=seed)
            found = run(settings).traffic.copies_per_token
            assert abs(found - by_gate(seed, limited)) < 0.05
            assert not limited or 3.9 < found < 4
    dollars = TrainingCost("deepseek-v3").dollars
    assert dollars.low < 2.788e6 * 2 < dollars.high


QUESTIONS = {
    "copies": [Worked(SPREAD, {"all": 8, "half": 4, "one": 1})],
    "sent": [
        Worked(
            84, {"one_way": 28, "same_both_ways": 56, "one_copy": 21, "back_once": 42},
            {"width": 7000, "copies": 4.0},
        ),
    ],
    "price": [
        # 6 x 10^10 x 10^13 operations; 989 x 10^12 x 0.4 x 3600 of them an hour.
        Worked(
            0.6 / 0.989 / 0.4 / 3.6 * 2,
            {"all_parameters": 6 / 0.989 / 0.4 / 3.6 * 2, "forward_only": 0.2 / 0.989 / 0.4 / 1.8,
             "peak": 0.6 / 0.989 / 1.8, "multiplied": 0.6 / 0.989 * 0.4 / 1.8},
            {"active": 10, "total": 100, "tokens": 10, "peak": 989, "used": 40, "rent": 2.0},
        ),
    ],
    "range": [
        Worked(43 / 25 * 8 / 3, {"rent": 8 / 3, "utilisation": 1.72, "exact": 1}),
    ],
}  # fmt: skip


def nodes_of_the_same_draws(router: str) -> float:
    """Machines of a token for the scores that the simulation draws, counted as sets."""
    found = []
    for seed in range(3):
        rng = np.random.Generator(np.random.SFC64((seed, 0, 0)))
        if router == "random":
            expert = random_experts(8192, 256, 8, rng, n_group=8, topk_group=4)
        else:
            options = {"n_group": 8, "topk_group": 4} if router == "deepseek_v3" else {}
            made = moe.make_router(router, k=8, **options)
            (routing,) = sample_routings(made, 8192, np.zeros(256, np.float32), rng)
            expert = routing.expert_A.reshape(8192, 8)
        found += [len(set(row)) for row in (expert // 32).tolist()]
    return float(np.mean(found))


def ways() -> Drawn:
    named = {
        "a copy for each machine": "topk",
        "four machines by the gate": "deepseek_v3",
        "four random machines": "random",
    }
    counted = {name: nodes_of_the_same_draws(router) for name, router in named.items()}
    counted["a copy for each expert"] = 8.0
    return Drawn(
        {"ways": 4},
        {
            "ways": [
                {"name": name, "copies": copies, "label": f"{copies:.2f}"}
                for name, copies in counted.items()
            ]
        },
        tuple(f"{name}: {copies:.2f}" for name, copies in counted.items()),
        ("machines says 3.63", f"gives {counted['four machines by the gate']:.2f}"),
    )


FIGURES = {"ways": ways}
CLAIMS = [each_seed_says_it]
