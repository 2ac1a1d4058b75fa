"""Questions and figure of lesson 3: what is computed, and which weights are read for it."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np

from ...cost import expected_experts
from ...data import TextTask, windows
from ...pictures.figure import Drawing, Figure, Rows
from ...pictures.marks import run_lines
from ...pictures.palette import BLUE, TEAL, VERMILION
from ...training import Trainer
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import EXPERTS, SEEDS, trained

LENGTHS = (1, 2, 4, 8, 16, 32, 64)
LENGTH, K = 16, 2
TEXTS, BYTES = 8, 128
FORMULA, FRESH, TRAINED = "if all chose independently", "before training", "after training"


@cache
def touched(seed: int, learnt: bool) -> dict[int, float]:
    """Mean number of different experts that stretches of text touch, by their length."""
    trainer = trained(seed) if learnt else Trainer(trained(seed).settings)
    assert isinstance(trainer.task, TextTask)
    counts: dict[int, list[int]] = {length: [] for length in LENGTHS}
    for _, text in trainer.task.held_out_texts(TEXTS, BYTES):
        logits_NE = trainer.embed(windows(text, 6)) @ trainer.layer.params["gate_DE"]
        pair_N2 = trainer.layer.router.choose(logits_NE).expert_A.reshape(-1, K)
        for length in LENGTHS:
            for start in range(0, len(pair_N2) - length + 1, length):
                counts[length].append(np.unique(pair_N2[start : start + length]).size)
    return {length: float(np.mean(each)) for length, each in counts.items()}


def _mean(length: int, learnt: bool = True) -> float:
    return float(np.mean([touched(seed, learnt)[length] for seed in SEEDS]))


def _many(rng: np.random.Generator) -> Values:
    return {
        "tokens": int(rng.integers(20, 400)),
        "experts": int(rng.choice([8, 16, 32])),
        "k": int(rng.integers(2, 7)),
    }


def _times(rng: np.random.Generator) -> Values:
    return {"experts": int(rng.integers(3, 25)) * 4, "k": int(rng.integers(2, 9))}


def _expected(rng: np.random.Generator) -> Values:
    return {
        "experts": int(rng.choice([8, 16, 32, 64])),
        "k": int(rng.integers(1, 5)),
        "tokens": int(rng.integers(2, 12)),
    }


QUESTIONS = {
    "rows": Question(
        form=lambda v: 10,
        tolerance=0.4,
        why="Five tokens, two experts for each.",
        slips=(
            Slip("all_run", lambda v: 20,
                 "That is every token in every expert. Those that were not chosen do not run."),
            Slip("one_each", lambda v: 5, "k is 2: each token goes to two experts."),
            Slip("tokens_forgotten", lambda v: 8,
                 "You multiplied k by the number of experts. It is the *tokens* that go to k "
                 "experts each."),
            Slip("half_of_it", lambda v: 2.5, "A row is a whole token in a whole expert."),
        ),
    ),
    "many": Question(
        draw=_many,
        form=lambda v: v["tokens"] * v["k"],
        tolerance=0.4,
        why="{k} rows for each token, however many experts there are.",
        slips=(
            Slip("all_run", lambda v: v["tokens"] * v["experts"],
                 "That is every token in every expert. Only {k} run for a token."),
            Slip("one_each", lambda v: v["tokens"], "Each token makes {k} rows."),
            Slip("share_of_an_expert", lambda v: v["tokens"] * v["k"] / v["experts"],
                 "Those are the rows of one expert, if all have the same."),
            Slip("tokens_forgotten", lambda v: v["experts"] * v["k"],
                 "You left the tokens out: each of the {tokens} goes to {k} experts."),
        ),
    ),
    "times": Question(
        draw=_times,
        form=lambda v: v["experts"] / v["k"],
        tolerance=0.05,
        why="It runs all {experts} for each token, instead of {k}.",
        slips=(
            Slip("share", lambda v: v["k"] / v["experts"],
                 "That is the part that is left. Asked is how many times more the other needs."),
            Slip("all_of_them", lambda v: v["experts"],
                 "So it would be if one expert ran for each token. {k} do."),
            Slip("difference", lambda v: v["experts"] - v["k"],
                 "That is how many experts rest. Divide instead of subtracting."),
            Slip("other_yardstick", lambda v: 1,
                 "So it is against a dense layer that *uses* as much. Asked is the one that "
                 "stores as much."),
        ),
    ),
    "touched": Question(
        form=lambda v: _mean(LENGTH),
        tolerance=0.7,
        why="Neighbours like the same experts, but not the same two.",
        slips=(
            Slip("all_alike", lambda v: 2,
                 "Then all sixteen would choose the same two. Neighbours are alike, but not that "
                 "much."),
            Slip("independent", lambda v: expected_experts(EXPERTS, K, LENGTH),
                 "Nearly all: so it would be if each character chose on its own, as before "
                 "training. Training makes neighbours alike."),
            Slip("counted_twice", lambda v: 32,
                 "Those are the choices. There are only eight experts."),
        ),
    ),
    "expected": Question(
        draw=_expected,
        form=lambda v: v["experts"] * (1 - (1 - v["k"] / v["experts"]) ** v["tokens"]),
        tolerance=0.05,
        why="All, less those that every token misses.",
        slips=(
            Slip("no_repeats", lambda v: v["k"] * v["tokens"],
                 "That counts an expert again each time it is chosen."),
            Slip("one_token", lambda v: v["k"], "That is for one token. Others choose others."),
            Slip("missed", lambda v: v["experts"] * (1 - v["k"] / v["experts"]) ** v["tokens"],
                 "Those are the ones that nobody chose. The others run."),
            Slip("all", lambda v: v["experts"], "Nearly, if there were many tokens."),
        ),
    ),
}  # fmt: skip


def experts_touched() -> Picture:
    """Draw how many different experts stretches of text touch, over their length."""
    lines = {
        FORMULA: {n: expected_experts(EXPERTS, K, n) for n in LENGTHS},
        FRESH: {n: _mean(n, learnt=False) for n in LENGTHS},
        TRAINED: {n: _mean(n) for n in LENGTHS},
    }
    rows: Rows = [
        {"run": name, "step": n, "value": value}
        for name, line in lines.items()
        for n, value in line.items()
    ]
    colours = {FORMULA: BLUE, FRESH: VERMILION, TRAINED: TEAL}
    y = alt.Y("value:Q", axis=alt.Axis(title="experts that run", tickCount=4))
    chart = run_lines("touched", y, "experts that run", colours, point=True).encode(
        x=alt.X("step:Q", scale=alt.Scale(type="log", base=2, nice=False),
                axis=alt.Axis(title="characters in a row", values=list(LENGTHS), grid=False)),
    )  # fmt: skip
    told = "; ".join(
        f"{name} {line[LENGTH]:.1f} of {EXPERTS} for {LENGTH} characters and {line[64]:.1f} for 64"
        for name, line in lines.items()
    )
    figure = Figure(
        "More characters at once need more of the experts",
        Drawing(chart),
        f"Three rising lines that begin at {K} for one character: {told}.",
        {"touched": rows},
    )
    each = [touched(seed, learnt=True)[LENGTH] for seed in SEEDS]
    return Picture(
        figure,
        {
            "seeds": len(SEEDS), "length": LENGTH, "trained": f"{_mean(LENGTH):.1f}",
            "formula": f"{lines[FORMULA][LENGTH]:.1f}", "least": f"{min(each):.1f}",
            "most": f"{max(each):.1f}",
        },
    )  # fmt: skip


FIGURES = {"touched": experts_touched}
