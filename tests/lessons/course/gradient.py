"""Numbers of lesson 5, worked out apart from the lesson."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import expit, log_softmax, softmax

import moe
from tests.lessons.expected import Drawn, Worked


@cache
def program(freeze: str, seed: int) -> moe.Trainer:
    settings = moe.TrainSettings(
        n_experts=8, steps=60, batch=256, balance="aux", freeze=freeze, seed=seed
    )
    trainer = moe.Trainer(settings)
    list(trainer.run())
    return trainer


@cache
def text(freeze: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, the bytes that came, and the experts from best to worst, of 256 places."""
    trainer = program(freeze, seed)
    inputs, came = trainer.task.held_out(np.random.default_rng(0), 256)
    x = trainer.embed(inputs)
    logits = x.astype(float) @ trainer.layer.params["gate_DE"]
    return x, came, np.argsort(-logits, axis=1)


def losses(freeze: str, seed: int, pairs: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Each token's loss if these two experts ran, with the softmax of these two logits."""
    trainer = program(freeze, seed)
    x, came, _ = text(freeze, seed)
    weights = softmax(logits, axis=1)
    total = x.astype(float)
    for expert in range(8):
        both = x @ trainer.layer.params["w_gate_up_ED2F"][expert]
        hidden = both[:, :64] * expit(both[:, :64]) * both[:, 64:]
        result = hidden @ trainer.layer.params["w_down_EFD"][expert]
        total = total + result * (weights * (pairs == expert)).sum(axis=1, keepdims=True)
    out = log_softmax(total @ trainer.params["out_DV"], axis=1)
    return -out[range(256), came]


def two_logits(freeze: str, seed: int) -> np.ndarray:
    x, _, _ = text(freeze, seed)
    return -np.sort(-(x.astype(float) @ program(freeze, seed).layer.params["gate_DE"]))[:, :2]


@cache
def price(freeze: str, seed: int) -> float:
    order, logits = text(freeze, seed)[2], two_logits(freeze, seed)
    as_chosen = losses(freeze, seed, order[:, :2], logits)
    others = [losses(freeze, seed, order[:, [rank, 1]], logits) for rank in range(2, 8)]
    return float(np.mean(others) - as_chosen.mean())


def mean_price(freeze: str) -> float:
    return sum(price(freeze, seed) for seed in range(3)) / 3


def experts_adapt_more_than_the_gate_finds() -> None:
    for seed in range(3):
        gate_frozen, experts_frozen = price("gate", seed), price("experts", seed)
        assert gate_frozen > 0.1 and experts_frozen < gate_frozen / 2
        both = price("none", seed)
        assert abs(both - gate_frozen) < abs(both - experts_frozen)


def jump_sizes(seed: int) -> np.ndarray:
    order, logits = text("none", seed)[2], two_logits("none", seed)
    taken = losses("none", seed, order[:, [0, 2]], logits)
    return np.abs(taken - losses("none", seed, order[:, :2], logits))


def with_logit(seed: int, at: float) -> tuple[list[float], float]:
    """Weights of a first token's three best experts, and its loss, with the third's logit at."""
    x, _, order = text("none", seed)
    logits = x[:1].astype(float) @ program("none", seed).layer.params["gate_DE"]
    logits[0, order[0, 2]] = at
    routing = program("none", seed).layer.router.choose(logits)
    pairs = np.repeat(routing.expert_A[None], 256, axis=0)
    chosen = np.repeat(logits[:, routing.expert_A], 256, axis=0)
    loss = losses("none", seed, pairs, chosen)[0]
    return routing.combine()[0, order[0, :3]].tolist(), float(loss)


def slopes_fit_wherever_the_choice_stays() -> None:
    """The slopes that the figure draws are differences of losses; at the flip it jumps."""
    from moe.lessons.course.gradient import sweep

    for seed in range(3):
        one = sweep(seed)
        for at in (10, 70, 110):
            logit = float(one.logit_P[at])
            up, down = (with_logit(seed, logit + step)[1] for step in (1e-4, -1e-4))
            assert abs((up - down) / 2e-4 - one.slope_P[at]) < 1e-4
            assert (one.slope_P[at] == 0) == (at < 60)
        assert np.median(jump_sizes(seed)) > 0.05


QUESTIONS = {
    "logits": [Worked(2, {"none": 0, "all": 6, "rest": 4, "winner": 1})],
    "entry": [
        Worked(
            0.2 * 0.8 * 3.5,
            {"none": 0, "own_slope": 2.5, "diagonal": 0.4, "one_weight": 0.7, "sum": 0.24,
             "sign": -0.56},
            {"weights": [0.2, 0.8], "slopes": [2.5, -1.0]},
        ),
    ],
    "other": [
        Worked(-0.25, {"same": 0.25, "none": 0, "rest_of_one": 0.75}, {"first": 0.25}),
    ],
    "alone": [
        Worked(
            0, {"undivided": 0.42, "slope": 2, "times_chance": 0.6},
            {"chance": 0.3, "slope": 2},
        ),
    ],
    "price": [
        Worked(
            100 * mean_price("experts") / mean_price("gate"),
            {"as_high": 100, "higher": 200, "half": 50, "nothing": 0},
            within=1e-3,
        ),
    ],
}  # fmt: skip


def jump() -> Drawn:
    flip = float(two_logits("none", 0)[0, 1])
    step = 3 / 120
    rows, losses_at = [], []
    names = ("best", "second best", "the one that moves")
    for place, side in ((-10.5, "left"), (-0.5, "left"), (0.5, "right"), (40.5, "right")):
        logit = flip + place * step
        weights, loss = with_logit(0, logit)
        losses_at.append({"logit": logit, "loss": loss, "side": side})
        rows += [
            {"logit": logit, "weight": weight, "expert": name, "side": side}
            for name, weight in zip(names, weights, strict=True)
        ]
    before, after = losses_at[1]["loss"], losses_at[2]["loss"]
    (_, first), (last, end) = with_logit(0, flip - 59.5 * step), with_logit(0, flip + 59.5 * step)
    moved = rows[8]["weight"]
    typical = np.median([jump_sizes(seed) for seed in range(3)])
    return Drawn(
        {"weights": 360, "losses": 120, "slopes": 6, "flip": 1},
        {"weights": rows, "losses": losses_at, "flip": [{"flip": flip}]},
        (f"the one that moves from 0.00 to {last[2]:.2f}",
         f"{first:.3f} on the left, where it is flat, {after:.3f} right of the dashed line, and "
         f"{end:.3f} at the end"),
        (f"from 0 to {moved:.2f}", f"jumps by {after - before:+.2f}", f"is {typical:.2f}"),
    )  # fmt: skip


FIGURES = {"jump": jump}
CLAIMS = [experts_adapt_more_than_the_gate_finds, slopes_fit_wherever_the_choice_stays]
