"""Numbers of lesson 3, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache

import numpy as np

import moe
from moe.data import windows
from tests.lessons.course.expert import program
from tests.lessons.expected import Drawn, Worked


@cache
def touched(seed: int, learnt: bool, length: int) -> float:
    """Different experts of stretches of that length, on average."""
    trainer = program(seed) if learnt else moe.Trainer(program(seed).settings)
    counts = []
    for _, text in trainer.task.held_out_texts(8, 128):
        logits_NE = trainer.embed(windows(text, 6)) @ trainer.layer.params["gate_DE"]
        best_N2 = np.argsort(-logits_NE, axis=1, kind="stable")[:, :2].tolist()
        for start in range(0, len(best_N2) // length * length, length):
            counts.append(len({e for pair in best_N2[start : start + length] for e in pair}))
    return float(np.mean(counts))


def mean(learnt: bool, length: int) -> float:
    return float(np.mean([touched(seed, learnt, length) for seed in range(3)]))


def neighbours_become_alike() -> None:
    for seed in range(3):
        assert touched(seed, True, 1) == 2
        assert 2.5 < touched(seed, True, 16) < 7 < touched(seed, False, 16)


QUESTIONS = {
    "rows": [
        Worked(10, {"all_run": 20, "one_each": 5, "tokens_forgotten": 8, "half_of_it": 2.5}),
    ],
    "many": [
        Worked(
            300,
            {"all_run": 800, "one_each": 100, "share_of_an_expert": 37.5, "tokens_forgotten": 24},
            {"tokens": 100, "experts": 8, "k": 3},
        ),
    ],
    "times": [
        Worked(
            4, {"share": 0.25, "all_of_them": 16, "difference": 12, "other_yardstick": 1},
            {"experts": 16, "k": 4},
        ),
    ],
    "touched": [
        Worked(
            mean(True, 16),
            {"all_alike": 2, "independent": 8 * (1 - 0.75**16), "counted_twice": 32},
            within=1e-4,
        ),
    ],
    "expected": [
        Worked(
            8 * 37 / 64,
            {"no_repeats": 6, "one_token": 2, "missed": 8 * 27 / 64, "all": 8},
            {"experts": 8, "k": 2, "tokens": 3},
        ),
    ],
}  # fmt: skip


def lines() -> Drawn:
    values = {
        "if all chose independently": 8 * (1 - 0.75**16),
        "before training": mean(False, 16),
        "after training": mean(True, 16),
    }
    each = [touched(seed, True, 16) for seed in range(3)]
    return Drawn(
        {"touched": 21},
        {"touched": [
            {"run": name, "step": 16, "value": value} for name, value in values.items()
        ]},
        tuple(f"{name} {value:.1f} of 8 for 16 characters" for name, value in values.items()),
        (f"16 characters touch {mean(True, 16):.1f} experts and not 7.9",
         f"has {min(each):.1f}, the most {max(each):.1f}"),
    )  # fmt: skip


FIGURES = {"touched": lines}
CLAIMS = [neighbours_become_alike]
