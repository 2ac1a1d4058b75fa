"""Questions and figure of lesson 4: who gets the work, and what it depends on."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np

from ...metrics import max_vio
from ...pictures.figure import Drawing, Figure, Rows
from ...pictures.marks import goal, percent_axis, run_lines
from ...pictures.palette import FAIR, MAUVE, SLATE, TEAL, VERMILION
from ...studies.collapse import centred
from ...training import Trainer, TrainSettings
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import SEEDS

STEPS, EXPERTS, LAST = 60, 16, 10
ALL, EXPERTS_FROZEN, ROUTER_FROZEN, CENTRED = (
    "all trained", "experts frozen", "router frozen", "router sees no mean",
)  # fmt: skip
FREEZE = {ALL: "none", EXPERTS_FROZEN: "experts", ROUTER_FROZEN: "gate", CENTRED: "none"}


@cache
def busiest(run: str, seed: int) -> np.ndarray:
    """Train one of the four kinds, and return the busiest expert's share at each step, (T,)."""
    trainer = Trainer(TrainSettings(steps=STEPS, batch=512, freeze=FREEZE[run], seed=seed))
    if run == CENTRED:
        trainer.layer.router = centred(trainer.layer.router)
    return np.array([record.proposed.max() / record.proposed.sum() for record in trainer.run()])


def _mean_T(run: str) -> np.ndarray:
    return np.asarray(np.mean([busiest(run, seed) for seed in SEEDS], axis=0))


def _end(run: str) -> float:
    """Mean share over the last steps and all seeds."""
    return float(_mean_T(run)[-LAST:].mean())


def _loads(rng: np.random.Generator) -> Values:
    return {"loads": rng.multinomial(64, rng.dirichlet(np.full(8, 0.8))).tolist()}


def _pool(rng: np.random.Generator) -> Values:
    return {"experts": int(rng.integers(3, 33)) * 4, "k": int(rng.integers(2, 9))}


def _load_E(v: Values) -> np.ndarray:
    return np.asarray(v["loads"], float)


QUESTIONS = {
    "busiest": Question(
        form=lambda v: 100 * _end(ALL),
        tolerance=3,
        unit="%",
        why="Five to eight times its fair share, after sixty steps.",
        slips=(
            Slip("fair", lambda v: 100 / EXPERTS,
                 "That is the fair share, 1/16. Nothing in the loss asks for it."),
            Slip("half", lambda v: 50,
                 "That is the most that is possible: a token takes two *different* experts, so "
                 "one of them gets at most half. It comes near, but is not there yet."),
            Slip("all", lambda v: 100,
                 "More than is possible. Each token takes two different experts, so even one that "
                 "every token wants gets one choice in two."),
        ),
    ),
    "maxvio": Question(
        draw=_loads,
        form=lambda v: max_vio(_load_E(v)),
        tolerance=0.02,
        why="The busiest load over the mean load, less 1.",
        slips=(
            Slip("ratio", lambda v: float(_load_E(v).max() / _load_E(v).mean()),
                 "That is how many mean loads the busiest has. MaxVio is what it has *above* one, "
                 "so that an even load gives 0."),
            Slip("difference", lambda v: float(_load_E(v).max() - _load_E(v).mean()),
                 "That is a number of choices. Divide it by the mean load, or a larger batch "
                 "would look less even."),
            Slip("share", lambda v: float(_load_E(v).max() / _load_E(v).sum()),
                 "That is the busiest expert's share of all choices. MaxVio compares with the mean "
                 "load, so that 8 experts and 256 can be compared."),
            Slip("spread", lambda v: float(_load_E(v).std() / _load_E(v).mean()),
                 "That is the spread of *all* loads. MaxVio looks at the busiest alone, because a "
                 "step lasts as long as its busiest expert."),
            Slip("least", lambda v: float(_load_E(v).max() / max(_load_E(v).min(), 0.1) - 1),
                 "You compared with the least busy. The mean is what everybody is compared with."),
        ),
    ),
    "most": Question(
        draw=_pool,
        form=lambda v: v["experts"] / v["k"] - 1,
        tolerance=0.05,
        why="One expert gets 1/k of the choices where 1/{experts} would be fair.",
        slips=(
            Slip("k_forgotten", lambda v: v["experts"] - 1,
                 "So it would be if one expert could get all choices. With k = {k} it gets at "
                 "most one choice in {k}."),
            Slip("ratio", lambda v: v["experts"] / v["k"],
                 "That is the load in mean loads. MaxVio is what is above one of them."),
            Slip("share", lambda v: 1 / v["k"],
                 "That is the largest share of the choices. Compare it with the fair one."),
            Slip("infinite", lambda v: v["experts"] * v["k"] - 1,
                 "You multiplied by k. More choices per token make it *harder* for one expert to "
                 "have them all."),
        ),
    ),
    "untouched": Question(
        form=lambda v: 14,
        tolerance=0.4,
        why="Only the two that ran are in the sum; the other 14 change nothing.",
        slips=(
            Slip("the_chosen", lambda v: 2, "Those are the ones that *do* get a gradient."),
            Slip("all_learn", lambda v: 0,
                 "So it would be if all ran. What is not in the sum has no influence, and so no "
                 "gradient."),
            Slip("one_wins", lambda v: 15, "k is 2 here: two experts run for each token."),
        ),
    ),
    "frozen": Question(
        form=lambda v: 100 * _end(EXPERTS_FROZEN),
        tolerance=3,
        unit="%",
        why="It gets worse: close to 50 %, the most that is possible.",
        slips=(
            Slip("cured", lambda v: 100 / EXPERTS,
                 "So says the usual explanation: nobody gets better, so nobody runs away. The run "
                 "says otherwise."),
            Slip("as_before", lambda v: 100 * _end(ALL),
                 "You expect no change. Then what experts learn would not matter at all. It does, "
                 "but the other way round."),
            Slip("all", lambda v: 100, "More than is possible with k = 2: half is the most."),
        ),
    ),
}  # fmt: skip


def four_runs() -> Picture:
    """Draw the busiest expert's share over the steps, for the four kinds of runs."""
    colours = dict(zip(FREEZE, (VERMILION, MAUVE, SLATE, TEAL), strict=True))
    rows: Rows = [
        {"run": run, "step": step, "value": float(share)}
        for run in FREEZE
        for step, share in enumerate(_mean_T(run))
    ]
    fair = [{"fair": 1 / EXPERTS}]
    y = alt.Y("value:Q", axis=percent_axis(), scale=alt.Scale(domain=[0, 0.55]))
    lines = run_lines("shares", y, "share of the choices", colours)
    told = ", ".join(f"{run} {_end(run):.0%}" for run in FREEZE)
    figure = Figure(
        "Share of all choices that the busiest expert gets",
        Drawing(alt.LayerChart(layer=[goal("fair", FAIR, y="fair:Q"), lines])),
        f"Four lines over {STEPS} steps that begin near {_mean_T(ALL)[0]:.0%}, and a dashed one "
        f"at the fair share of {1 / EXPERTS:.1%}. At the end: {told}.",
        {"shares": rows, "fair": fair},
    )
    ends = {name: f"{_end(run):.0%}" for name, run in zip(
        ("none", "experts", "gate", "centre"), FREEZE, strict=True)}  # fmt: skip
    return Picture(figure, {"seeds": len(SEEDS)} | ends)


FIGURES = {"runs": four_runs}
