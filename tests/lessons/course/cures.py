"""Numbers of lesson 6, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache

import numpy as np

import moe
from tests.lessons.expected import Drawn, Worked

CURES = {
    "no cure": ("none", None),
    "second loss, 1": ("aux", 1.0),
    "second loss, 30": ("aux", 30.0),
    "bias, 0.01": ("bias", 0.01),
    "bias, 0.1": ("bias", 0.1),
}


@cache
def end(cure: str, seed: int) -> tuple[float, float, float]:
    """MaxVio of the last twenty steps, loss on unseen text, and share of choices moved."""
    balance, rate = CURES[cure]
    trainer = moe.Trainer(
        moe.TrainSettings(
            d_model=32, d_expert=32, steps=80, batch=256, balance=balance, balance_rate=rate,
            seed=seed,
        )
    )  # fmt: skip
    loads = [record.proposed for record in trainer.run()][-20:]
    inputs, _ = trainer.task.held_out(np.random.default_rng(0), 1024)
    x = trainer.embed(inputs)
    chosen = trainer.layer.route(x).expert_A.reshape(-1, 2).tolist()
    best = (x @ trainer.layer.params["gate_DE"]).argsort(axis=1)[:, -2:].tolist()
    kept = sum(len({*a} & {*b}) for a, b in zip(chosen, best, strict=True))
    vio = np.mean([load.max() / 32 - 1 for load in loads])
    return float(vio), trainer.evaluate(1024), 1 - kept / 2048


def mean(cure: str) -> np.ndarray:
    return np.mean([end(cure, seed) for seed in range(3)], axis=0)


def price(cure: str) -> float:
    return float(mean(cure)[1] - mean("no cure")[1])


def every_seed_says_it() -> None:
    for seed in range(3):
        (none, before, kept), gentle, strong, slow, fast = (end(cure, seed) for cure in CURES)
        assert 4 < none < 7 and kept == gentle[2] == strong[2] == 0
        assert max(gentle[0], strong[0], slow[0]) < 1.2 and fast[0] > 2
        assert max(abs(gentle[1] - before), abs(slow[1] - before)) < 0.1
        assert strong[1] - before > 0.05 and fast[1] - before > 0.04
        assert strong[1] - gentle[1] > 0.05 and fast[1] - slow[1] > 0.05
        assert 0.15 < slow[2] < 0.7


QUESTIONS = {
    "mended": [
        Worked(
            mean("bias, 0.01")[0],
            {"perfect": 0, "as_before": mean("no cure")[0], "half": mean("no cure")[0] / 2},
            within=1e-4,
        ),
    ],
    "step": [
        Worked(
            0.08,
            {"wrong_way": 0.12, "by_size": 0.1 - 0.1, "relative": 0.09, "replaced": -0.02,
             "unmoved": 0.1},
            {"loads": [15, 5, 8, 12], "rate": 0.02, "bias": 0.1},
        ),
    ],
    "even": [
        Worked(1, {"without_e": 0.015625, "zero": 0,
                   "sums_to_k": 2, "many": 64}),
    ],
    "loss": [
        Worked(
            4 * (0.2 + 0.06 + 0.015 + 0.01),
            {"without_e": 0.285, "sums_to_k": 2.28, "counts": 22.8,
             "squared": 4 * (0.1 + 0.018 + 0.00225 + 0.0005),
             "shares_only": 4 * (0.25 + 0.09 + 0.0225 + 0.0025)},
            {"counts": [10, 6, 3, 1], "means": [0.4, 0.2, 0.1, 0.2]},
        ),
    ],
    "price": [
        Worked(price("bias, 0.1"), {"free": 0, "better": -price("bias, 0.1"), "ruined": 1},
               within=1e-3),
    ],
    "moved": [
        Worked(100 * mean("bias, 0.01")[2], {"none": 0, "few": 10, "all": 100, "most": 75},
               within=1e-3),
    ],
}  # fmt: skip


def plane() -> Drawn:
    return Drawn(
        {"runs": 15},
        {
            "runs": [
                {"cure": cure, "seed": seed, "max_vio": end(cure, seed)[0],
                 "loss": end(cure, seed)[1]}
                for cure in CURES
                for seed in range(3)
            ],
        },
        tuple(f"{cure}: MaxVio {mean(cure)[0]:.2f}, loss {mean(cure)[1]:.3f}" for cure in CURES),
        (f"{price('second loss, 1'):+.3f} with the gentle",
         f"{price('second loss, 30'):+.3f} with the strong one",
         f"{price('bias, 0.01'):+.3f} with the slow", f"{price('bias, 0.1'):+.3f} with the fast",
         f"MaxVio of {mean('bias, 0.1')[0]:.1f}"),
    )  # fmt: skip


FIGURES = {"plane": plane}
CLAIMS = [every_seed_says_it]
