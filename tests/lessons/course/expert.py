"""Numbers of lesson 1, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache
from math import log

import numpy as np
from scipy.special import expit, log_softmax

import moe
from tests.lessons.expected import Drawn, Worked


@cache
def program(seed: int) -> moe.Trainer:
    """Trained as the lessons say."""
    settings = moe.TrainSettings(n_experts=8, steps=60, batch=512, balance="bias", seed=seed)
    trainer = moe.Trainer(settings)
    assert len(list(trainer.run())) == 60
    return trainer


@cache
def losses(seed: int) -> list[float]:
    """Of the whole, of no layer, and of each expert for all tokens."""
    trainer = program(seed)
    inputs, came = trainer.task.held_out(np.random.default_rng(0), 1024)
    x_ND, params = trainer.embed(inputs), trainer.layer.params
    results = [trainer.layer.forward(x_ND)[0], 0]
    for up, down in zip(params["w_gate_up_ED2F"], params["w_down_EFD"]):
        gate_NF, up_NF = x_ND @ up[:, :64], x_ND @ up[:, 64:]
        results.append((gate_NF * expit(gate_NF) * up_NF) @ down)
    return [
        -float(log_softmax((x_ND + y) @ trainer.params["out_DV"], axis=1)[range(1024), came].mean())
        for y in results
    ]


def the_whole_is_better_than_any() -> None:
    for seed in range(3):
        whole, _, *alone = losses(seed)
        assert len(alone) == 8 and whole < min(alone) and np.mean(alone) > whole + 0.4


def all_are_of_use_in_one_seed() -> None:
    worse = [sum(one > losses(seed)[1] for one in losses(seed)[2:]) for seed in range(3)]
    assert sorted(worse)[0] == 0 and sorted(worse)[1] > 0
    assert np.mean([losses(seed)[2:] for seed in range(3)]) > max(losses(s)[1] for s in range(3))


QUESTIONS = {
    "numbers": [
        Worked(384, {"two_matrices": 256, "one_matrix": 128, "biases": 384 + 32 + 8,
                     "widths": 32}),
    ],
    "layer": [
        Worked(
            1568,
            {"router_forgotten": 1536, "two_matrices": 1056, "one_expert": 416,
             "router_of_one": 1544},
            {"experts": 4, "width": 8, "inside": 16},
        ),
    ],
    "share": [
        Worked(
            0.25, {"one_expert": 0.125, "the_rest": 0.75, "shared_out": 0.5, "all": 1},
            {"experts": 8, "chosen": 2},
        ),
    ],
    "alone": [
        Worked(
            float(np.mean([losses(seed)[2:] for seed in range(3)])),
            {"as_good": 2.4, "half_as_good": 2.85, "knows_nothing": 8 * log(2)},
            within=1e-3,
        ),
    ],
}  # fmt: skip


def alone() -> Drawn:
    first = losses(0)
    names = ["two of eight, chosen", "no layer", *(f"{letter} alone" for letter in "ABCDEFGH")]
    whole = [losses(seed)[0] for seed in range(3)]
    best = [min(losses(seed)[2:]) for seed in range(3)]
    worse = sum(max(losses(seed)[2:]) > losses(seed)[1] for seed in range(3))
    return Drawn(
        {"losses": 10},
        {
            "losses": [
                {"name": name, "loss": loss, "label": f"{loss:.2f}"}
                for name, loss in zip(names, first, strict=True)
            ]
        },
        (f"no layer: {first[1]:.2f}; A alone: {first[2]:.2f}",),
        (f"has {min(whole):.2f} to {max(whole):.2f}",
         f"expert {min(best):.2f} to {max(best):.2f}", f"In {worse} of 3"),
    )  # fmt: skip


FIGURES = {"alone": alone}
CLAIMS = [the_whole_is_better_than_any, all_are_of_use_in_one_seed]
