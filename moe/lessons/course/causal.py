"""Questions and figure of the lesson on causality: which ways to choose let the future in."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np

from ...pictures.figure import Drawing, Figure, Rows, draw, spoken
from ...pictures.marks import keyed, labelled_bars, line_key, name_axis, with_room
from ...pictures.palette import BLUE, PAPER_INK, VERMILION
from ...routers import ROUTERS
from ...studies.causality import ProbeSettings, causality_rows
from ...training import Trainer, TrainSettings
from ..picture import Picture
from ..question import Question, Slip, Values

SEEDS, STEPS, PLACES = (0, 1, 2), 60, 256
KINDS = {"router": BLUE, "drop policy": VERMILION}


# What is measured --------------------------------------------------------------------------------


@cache
def leaks() -> tuple[tuple[str, str, float], ...]:
    """Name, kind and share of changed early tokens of every method, mean over the seeds."""
    found = [causality_rows(ProbeSettings(seed=seed)) for seed in SEEDS]
    return tuple(
        (rows[0].name, rows[0].kind, float(np.mean([row.changed for row in rows])))
        for rows in zip(*found, strict=True)
    )


@cache
def harm() -> float:
    """By how many percent the loss of expert choice is higher alone, mean over the seeds."""
    shares = []
    for seed in SEEDS:
        settings = TrainSettings(
            router="expert_choice", n_experts=8, steps=STEPS, batch=512, seed=seed
        )
        trainer = Trainer(settings)
        for _ in range(STEPS):
            trainer.step()
        inputs, came_N = trainer.task.held_out(np.random.default_rng(0), PLACES)
        together, alone = (_loss(trainer, inputs, came_N, size) for size in (PLACES, 1))
        shares.append(alone / together - 1)
    return 100 * float(np.mean(shares))


def _loss(trainer: Trainer, inputs: np.ndarray, came_N: np.ndarray, size: int) -> float:
    """Mean loss when the places come in groups of some size."""
    groups = [trainer.predict(inputs[at : at + size]) for at in range(0, PLACES, size)]
    logits_NV = np.concatenate(groups).astype(np.float64)
    all_N = np.log(np.exp(logits_NV).sum(axis=1))
    return float((all_N - logits_NV[np.arange(PLACES), came_N]).mean())


# Questions ---------------------------------------------------------------------------------------


def _crowd(rng: np.random.Generator) -> Values:
    return {name: int(rng.integers(4, 21)) for name in ("room", "early", "late")}


def _single(rng: np.random.Generator) -> Values:
    return {"experts": int(rng.integers(8, 65)), "mean": int(rng.integers(2, 5))}


def _lost(v: Values) -> float:
    return float(min(v["early"], v["room"]) - min(v["early"], max(0, v["room"] - v["late"])))


QUESTIONS = {
    "count": Question(
        form=lambda v: sum(not kind.causal for kind in ROUTERS.values()),
        tolerance=0.4,
        why="Four compare tokens with one another. The others judge each token by itself.",
        slips=(
            Slip("none", lambda v: 0,
                 "One would hope so. But some share the work out among all tokens at once, later "
                 "ones too."),
            Slip("the_famous_one", lambda v: 1,
                 "Expert choice is the best known. Whatever weighs tokens against one another has "
                 "the same trouble."),
            Slip("half", lambda v: len(ROUTERS) / 2,
                 "Many even out the work, but most do so by what happened in batches before. That "
                 "looks back and not ahead."),
            Slip("all", lambda v: len(ROUTERS),
                 "A router that judges each token by itself cannot be changed by a later one."),
        ),
    ),
    "room": Question(
        draw=_crowd,
        form=_lost,
        tolerance=0.4,
        why="Late ones fill the room first. Early ones keep what is left.",
        slips=(
            Slip("by_position", lambda v: 0,
                 "That would be so if earlier tokens went first. Here the surest do, and these "
                 "are the late ones."),
            Slip("all_early", lambda v: v["early"],
                 "Not all need lose: some had no place before, or late ones leave some room."),
            Slip("all_late", lambda v: v["late"],
                 "Not every late token takes a place from an early one. Count the places that "
                 "are there, and those that were free."),
            Slip("without_place", lambda v: v["early"] + v["late"] - v["room"],
                 "That is how many find no place in the end, if there are too many. Some of them "
                 "had none before."),
        ),
    ),
    "alone": Question(
        draw=_single,
        form=lambda v: v["experts"],
        tolerance=0.4,
        why="Rounded up, each expert takes one token, and there is but one.",
        slips=(
            Slip("mean", lambda v: v["mean"],
                 "That is the mean in a large batch. Each expert takes {mean} / {experts} of a "
                 "token, and rounds up."),
            Slip("one", lambda v: 1,
                 "It is the experts that choose here, and each of the {experts} chooses for "
                 "itself."),
            Slip("none", lambda v: 0,
                 "So it would be if each expert rounded down. Rounded up, each takes one."),
        ),
    ),
    "loss": Question(
        form=lambda v: harm(),
        tolerance=4,
        unit="%",
        why="Little, here. What is lost is the saving: all experts work.",
        slips=(
            Slip("tenth", lambda v: 15,
                 "Less. More experts than it was trained with are not so bad a company."),
            Slip("half", lambda v: 50,
                 "Far less. The token meets all experts, and each one counts by its score, as in "
                 "training."),
            Slip("double", lambda v: 100,
                 "Twice the loss would be nearly as bad as knowing nothing, which is 5.55."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def leaking() -> Picture:
    """Draw which share of the earlier tokens the future changes, by way to choose."""
    let_in = sorted((one for one in leaks() if one[2] > 0), key=lambda one: -one[2])
    rows: Rows = [
        {"name": name, "kind": kind, "share": share, "label": f"{share:.0%}"}
        for name, kind, share in let_in
    ]
    n_tight = len(leaks()) - len(rows)
    base = draw("leaks").encode(
        y=alt.Y("name:N", sort=None, axis=name_axis()),
        x=alt.X("share:Q", axis=None, scale=with_room(1.2)),
    )
    key = line_key(symbolType="square", symbolSize=120)
    bars = labelled_bars(base, PAPER_INK, 24, keyed(alt.Color, "kind:N", KINDS, key))
    figure = Figure(
        "Earlier tokens that a later one can move",
        Drawing(bars),
        f"Bars of the share of earlier tokens that a change of later ones moved. {spoken(rows)}. "
        f"The other {n_tight} ways: none.",
        {"leaks": rows},
    )
    numbers = {
        "seeds": len(SEEDS), "n_leaks": len(rows), "n_tight": n_tight,
        "most": rows[0]["label"], "least": rows[-1]["label"],
    }  # fmt: skip
    return Picture(figure, numbers)


FIGURES = {"leaks": leaking}
