"""Questions and figure of the lesson on gates: mistakes that raise no error."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np

from ...gates.bugs import GATE_BUGS, OwnGate
from ...pictures.figure import Drawing, Figure, Rows, draw, spoken
from ...pictures.marks import labelled_bars, name_axis, with_room
from ...pictures.palette import BLUE, PAPER_INK
from ...routers import make_router
from ..picture import Picture
from ..question import Question, Slip, Values

SEEDS, TOKENS, EXPERTS = (0, 1, 2), 500, 16
SAME = 1e-5  # of the right weights: no difference


# What is measured --------------------------------------------------------------------------------


def _table(gate: OwnGate, seed: int) -> np.ndarray:
    """Weight of each expert for each token of a random input, (N, E)."""
    rng = np.random.default_rng(seed)
    logits_NE, bias_E = rng.normal(size=(TOKENS, EXPERTS)), 0.3 * rng.normal(size=EXPERTS)
    expert_NK, weight_NK = gate(logits_NE, bias_E=bias_E)
    table_NE = np.zeros((TOKENS, EXPERTS))
    np.put_along_axis(table_NE, expert_NK, weight_NK, axis=1)
    return table_NE


@cache
def changed() -> dict[str, float]:
    """By how much of the right weights each bug changes them, mean over the inputs."""
    router = make_router("deepseek_v3", k=4, n_group=4, topk_group=2)
    found = {}
    for bug in GATE_BUGS:
        shares = []
        for seed in SEEDS:
            right_NE, wrong_NE = (_table(OwnGate(router, one), seed) for one in ("", bug))
            shares.append(np.abs(wrong_NE - right_NE).sum() / right_NE.sum())
        found[bug] = float(np.mean(shares))
    return found


def _silent() -> int:
    return sum(share < SAME for share in changed().values())


# Questions ---------------------------------------------------------------------------------------


def _two(rng: np.random.Generator) -> Values:
    first, second = np.sort(rng.integers(15, 95, 2))[::-1] / 100
    return {"first": float(first), "second": float(second)}


def _four(rng: np.random.Generator) -> Values:
    reached = -rng.integers(2, 60, 2) / 100
    others = rng.integers(-60, 60, 2) / 100
    return {"scores": [*reached.tolist(), *others.tolist()]}


QUESTIONS = {
    "errors": Question(
        form=lambda v: 0,
        tolerance=0.4,
        why="None. That is why they were shipped.",
        slips=(
            Slip("all", lambda v: len(GATE_BUGS),
                 "Then somebody would have noticed on the first day. Run the next block."),
            Slip("half", lambda v: len(GATE_BUGS) / 2,
                 "Code that runs is not code that is right. Run the next block."),
            Slip("one", lambda v: 1,
                 "Not even one. All of them compute finite weights for the right number of "
                 "experts."),
        ),
    ),
    "random": Question(
        form=lambda v: _silent(),
        tolerance=0.4,
        why="Half of them pass. Three are in the balance loss, and one waits for low scores.",
        slips=(
            Slip("none", lambda v: 0,
                 "So the advice has it. But a mistake shows only where its code makes a "
                 "difference."),
            Slip("loss_only", lambda v: _silent() - 1,
                 "You found those of the balance loss. One more hides, which shows only if scores "
                 "are below 0."),
            Slip("all", lambda v: len(GATE_BUGS),
                 "No error is not the same result. Compare the weights."),
        ),
    ),
    "mask": Question(
        draw=_four,
        form=lambda v: 0,
        tolerance=0.004,
        why="Both scores in reach are below 0, so that the 0 of what is out of reach wins.",
        slips=(
            Slip("right_gate", lambda v: max(v["scores"][:2]),
                 "That is what the right gate takes. This one writes 0 over the scores out of "
                 "reach, and 0 is more."),
            Slip("no_mask", lambda v: max(v["scores"][2:]),
                 "That score is out of reach, and was written over."),
            Slip("lowest", lambda v: min(v["scores"][:2]),
                 "A gate takes the highest score, and of those in reach that is the lowest."),
        ),
    ),
    "weight": Question(
        draw=_two,
        form=lambda v: v["first"] / (v["first"] + v["second"]),
        tolerance=0.006,
        why="Its score over the sum of the two.",
        slips=(
            Slip("no_renormalize", lambda v: v["first"],
                 "That is the mistake itself: the score as it is."),
            Slip("softmax_again",
                 lambda v: float(1 / (1 + np.exp(v["second"] - v["first"]))),
                 "You made scores of scores, the mistake `double_softmax`. Divide by the sum."),
            Slip("even", lambda v: 0.5,
                 "Both experts count, and the one with the higher score counts more."),
            Slip("other", lambda v: v["second"] / (v["first"] + v["second"]),
                 "That is the weight of the second."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def shown() -> Picture:
    """Draw by how much each bug changes the weights on random input."""
    ordered = sorted(changed().items(), key=lambda one: -one[1])
    rows: Rows = [
        {"name": bug, "share": share, "label": "nothing" if share < SAME else f"{share:.0%}"}
        for bug, share in ordered
    ]
    base = draw("bugs").encode(
        y=alt.Y("name:N", sort=None, axis=name_axis()),
        x=alt.X("share:Q", axis=None, scale=with_room(1.2)),
    )
    figure = Figure(
        "What a comparison on random input sees of each mistake",
        Drawing(labelled_bars(base, PAPER_INK, 24, BLUE)),
        f"Bars of how far the weights are from the right ones. {spoken(rows)}.",
        {"bugs": rows},
    )
    numbers = {
        "seeds": len(SEEDS), "n_bugs": len(rows), "n_silent": _silent(), "most": rows[0]["label"],
    }  # fmt: skip
    return Picture(figure, numbers)


FIGURES = {"shown": shown}
