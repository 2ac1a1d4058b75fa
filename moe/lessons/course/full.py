"""Questions and figure of lesson 7: limits, who is dropped, and what sending elsewhere does."""

from __future__ import annotations

import math
from functools import cache

import altair as alt
import numpy as np

from ...capacity import Capacity
from ...errors import exactly
from ...pictures.figure import Drawing, Figure, Rows
from ...pictures.marks import percent_axis, run_lines
from ...pictures.palette import BLUE, TEAL, VERMILION
from ...training import Trainer, TrainSettings
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import EXPERTS, SEEDS, mean_loss

FACTOR, PLACES, BIN = 1.25, 1024, 64
RULES = {"order": "in batch order", "rank": "first choices first", "score": "large weights first"}


# What is measured --------------------------------------------------------------------------------


@cache
def collapsed(seed: int) -> Trainer:
    """Train without a cure."""
    trainer = Trainer(TrainSettings(n_experts=EXPERTS, steps=60, batch=256, seed=seed))
    for _ in trainer.run():
        pass
    return trainer


def _limited(seed: int, drop: str) -> tuple[float, np.ndarray]:
    """Mean loss with a limit, and the share dropped in each stretch of places."""
    trainer = collapsed(seed)
    inputs, came_N = trainer.task.held_out(np.random.default_rng(0), PLACES)
    free = trainer.layer.capacity
    trainer.layer.capacity = Capacity(FACTOR, drop)
    try:
        loss = mean_loss(trainer.predict(inputs), came_N)
        routing = trainer.layer.route(trainer.embed(inputs))
    finally:
        trainer.layer.capacity = free
    lost_A = ~routing.kept_A
    lost_B = np.bincount(routing.token_A[lost_A] // BIN, minlength=PLACES // BIN)
    return loss, lost_B / np.bincount(routing.token_A // BIN)


@cache
def limited(drop: str) -> tuple[float, np.ndarray]:
    """Mean over the seeds: what the limit adds to the loss, and the shares that are dropped."""
    made = [_limited(seed, drop) for seed in SEEDS]
    free = [_limited(seed, "none")[0] for seed in SEEDS]
    added = np.mean([loss for loss, _ in made]) - np.mean(free)
    return float(added), np.mean([lost_B for _, lost_B in made], axis=0)


# Questions ---------------------------------------------------------------------------------------


def _limit(rng: np.random.Generator) -> Values:
    return {
        "tokens": int(rng.integers(20, 400)),
        "k": int(rng.integers(2, 5)),
        "experts": int(rng.choice([8, 16, 32])),
        "factor": float(rng.choice([1.1, 1.25, 1.5, 2.0])),
    }


def _room(v: Values, k: int) -> float:
    """The limit before it is rounded."""
    return float(exactly(v["factor"]) * v["tokens"] * k / v["experts"])


def _loads(rng: np.random.Generator) -> Values:
    loads = rng.multinomial(40, rng.dirichlet(np.full(4, 1.2))).tolist()
    return {"loads": loads, "room": int(rng.choice([10, 11, 12, 13, 15]))}


def _over(v: Values) -> list[int]:
    return [max(load - v["room"], 0) for load in v["loads"]]


QUESTIONS = {
    "few": Question(
        form=lambda v: 1,
        tolerance=0.4,
        why="The fair share is two. The first expert has room for two of three.",
        slips=(
            Slip("none", lambda v: 0,
                 "There is room for four in all, but two of these places are the second "
                 "expert's, and it gets one token."),
            Slip("all_of_them", lambda v: 3,
                 "A full expert keeps those that it has. Only what is too much is dropped."),
            Slip("down_to_even", lambda v: 2,
                 "You cut the first down to the second's load. The limit is the fair share, "
                 "four choices over two experts."),
        ),
    ),
    "limit": Question(
        draw=_limit,
        form=lambda v: math.ceil(_room(v, v["k"])),
        tolerance=0.3,
        why="Choices over experts, times the factor, rounded up.",
        slips=(
            Slip("k_forgotten", lambda v: math.ceil(_room(v, 1)),
                 "You shared out the tokens. Each makes {k} choices, and it is the choices that "
                 "need room."),
            Slip("rounded_down", lambda v: math.floor(_room(v, v["k"])),
                 "The limit is rounded up, so that a factor of 1 has room for everything."),
            Slip("factor_forgotten", lambda v: math.ceil(v["tokens"] * v["k"] / v["experts"]),
                 "That is the fair share. The factor {factor} is still to come."),
            Slip("all_experts", lambda v: math.ceil(_room(v, v["k"]) * v["experts"]),
                 "That is the room of all experts together."),
        ),
    ),
    "dropped": Question(
        draw=_loads,
        form=lambda v: sum(_over(v)),
        tolerance=0.4,
        why="What each has above its limit; the free places of others do not help.",
        slips=(
            Slip("none", lambda v: max(sum(v["loads"]) - 4 * v["room"], 0),
                 "You compared the sums. A free place at one expert is no place at another."),
            Slip("free_places", lambda v: sum(max(v["room"] - load, 0) for load in v["loads"]),
                 "Those are the places that stay empty."),
            Slip("whole_experts", lambda v: sum(
                    load for load in v["loads"] if load > v["room"]),
                 "You dropped everything that a crowded expert has. It keeps {room}."),
            Slip("kept", lambda v: sum(min(load, v["room"]) for load in v["loads"]),
                 "Those are the ones that are kept."),
        ),
    ),
    "share": Question(
        form=lambda v: 100 * float(limited("order")[1].mean()),
        tolerance=8,
        unit="%",
        why="A quarter more room is nothing where the busiest wants several fair shares.",
        slips=(
            Slip("none", lambda v: 0,
                 "There is more room than work, but not where the work is. Remember MaxVio."),
            Slip("quarter", lambda v: 25,
                 "The factor says how much room there is. What is missing depends on the load."),
            Slip("nearly_all", lambda v: 90,
                 "The crowded experts are full, and so they still do their part."),
        ),
    ),
    "reroute": Question(
        form=lambda v: limited("reroute")[0],
        tolerance=0.4,
        why="Several times as much. An expert that has learnt nothing is worse than none.",
        slips=(
            Slip("nothing", lambda v: 0,
                 "So says the usual explanation: nobody is dropped, so nothing is lost. Run the "
                 "next block."),
            Slip("gain", lambda v: -1,
                 "The experts that it goes to are not better than the first choice. Run the next "
                 "block."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def places() -> Picture:
    """Draw the share of choices that are dropped over the place in the batch, for three rules."""
    shares = {name: limited(rule)[1] for rule, name in RULES.items()}
    rows: Rows = [
        {"run": name, "step": BIN * at + BIN // 2, "value": float(share)}
        for name, lost_B in shares.items()
        for at, share in enumerate(lost_B)
    ]
    colours = dict(zip(shares, (VERMILION, BLUE, TEAL), strict=True))
    y = alt.Y("value:Q", axis=percent_axis(), scale=alt.Scale(domain=[0, 1]))
    chart = run_lines("dropped", y, "dropped", colours).encode(
        x=alt.X("step:Q", axis=alt.Axis(title="place in the batch", grid=False, tickCount=5))
    )
    told = "; ".join(
        f"{name} {lost_B[0]:.0%} of the first {BIN} places and {lost_B[-1]:.0%} of the last"
        for name, lost_B in shares.items()
    )
    figure = Figure(
        "In batch order, whoever comes late loses",
        Drawing(chart),
        f"Three lines of the share that is dropped over {PLACES} places: {told}.",
        {"dropped": rows},
    )
    order_B, score_B = shares[RULES["order"]], shares[RULES["score"]]
    return Picture(
        figure,
        {
            "seeds": len(SEEDS), "first_places": BIN,
            "order_first": f"{order_B[0]:.0%}", "order_last": f"{order_B[-1]:.0%}",
            "score_first": f"{score_B[0]:.0%}", "score_last": f"{score_B[-1]:.0%}",
        },
    )  # fmt: skip


FIGURES = {"places": places}
