"""Questions and figure of the lesson on traffic and cost."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np

from ...cluster.sampling import expected_copies
from ...cluster.simulate import EVENLY, ClusterSettings, run
from ...cost import TrainingCost
from ...pictures.figure import Drawing, Figure, Rows, draw, spoken
from ...pictures.marks import labelled_bars, name_axis, with_room
from ...pictures.palette import BLUE, PAPER_INK
from ..picture import Picture
from ..question import Question, Slip, Values

SEEDS, TOKENS = (0, 1, 2), 8192
# Name of each way, what is copied to, and the router.
WAYS = {
    "a copy for each expert": ("expert", "deepseek_v3"),
    "a copy for each machine": ("node", "topk"),
    "four machines by the gate": ("node", "deepseek_v3"),
    "four random machines": ("node", EVENLY),
}


@cache
def copies(copied: str, router: str) -> float:
    """Copies of a token, mean over the seeds."""
    found = [
        run(ClusterSettings(copies=copied, router=router, tokens=TOKENS, batch=128, seed=seed))
        for seed in SEEDS
    ]
    return float(np.mean([one.traffic.copies_per_token for one in found]))


def _width(rng: np.random.Generator) -> Values:
    return {
        "width": 256 * int(rng.integers(8, 33)),
        "copies": int(rng.integers(20, 60)) / 10,
    }


def _model(rng: np.random.Generator) -> Values:
    return {
        "active": int(rng.integers(5, 60)),
        "total": int(rng.integers(100, 900)),
        "tokens": int(rng.integers(5, 20)),
        "peak": int(rng.choice([312, 756, 989])),
        "used": int(rng.integers(25, 44)),
        "rent": int(rng.integers(15, 41)) / 10,
    }


def _price(v: Values, each: str = "active", operations: int = 6, used: float = 0) -> float:
    """Million dollars."""
    needed = operations * v[each] * 1e9 * v["tokens"] * 1e12
    hours = needed / (v["peak"] * 1e12 * (used or v["used"]) / 100 * 3600)
    return float(hours * v["rent"] / 1e6)


def _range() -> float:
    dollars = TrainingCost("deepseek-v3").dollars
    return dollars.high / dollars.low


QUESTIONS = {
    "copies": Question(
        form=lambda v: expected_copies(256, 8, 8),
        tolerance=0.3,
        why="Some machines hold several of the eight, so that a third of them hold none.",
        slips=(
            Slip("all", lambda v: 8,
                 "Then no machine would ever hold two of the eight. At random some do, as with "
                 "birthdays."),
            Slip("half", lambda v: 4,
                 "More. Each machine is missed only if all eight experts lie elsewhere."),
            Slip("one", lambda v: 1,
                 "That would be the best case. The router knows nothing of machines here."),
        ),
    ),
    "sent": Question(
        draw=_width,
        form=lambda v: v["copies"] * 3 * v["width"] / 1e3,
        tolerance=0.2,
        unit="kB",
        why="Copies, times 3 bytes, times the numbers of a token.",
        slips=(
            Slip("one_way", lambda v: v["copies"] * v["width"] / 1e3,
                 "That is the way there. The results come back, with 2 bytes a number."),
            Slip("same_both_ways", lambda v: v["copies"] * 2 * v["width"] / 1e3,
                 "What comes back has 2 bytes a number, so that it is 3 in all."),
            Slip("one_copy", lambda v: 3 * v["width"] / 1e3,
                 "That is one copy. The token goes to {copies} machines."),
            Slip("back_once", lambda v: (v["copies"] + 2) * v["width"] / 1e3,
                 "Every machine sends its result back, and not one for all."),
        ),
    ),
    "price": Question(
        draw=_model,
        form=_price,
        tolerance=0.01,
        unit="million dollars",
        why="Operations over those of a chip and hour, times the rent.",
        slips=(
            Slip("all_parameters", lambda v: _price(v, each="total"),
                 "You counted all {total} billion parameters. A token uses {active}."),
            Slip("forward_only", lambda v: _price(v, operations=2),
                 "Two operations are the answer alone. Learning takes four more."),
            Slip("peak", lambda v: _price(v, used=100),
                 "You took the peak. Of it {used} % are used, and all hours are paid."),
            Slip("multiplied", lambda v: _price(v) * (v["used"] / 100) ** 2,
                 "You multiplied by the share that is used. Less use means more hours: divide."),
        ),
    ),
    "range": Question(
        form=lambda v: _range(),
        tolerance=0.2,
        why="Both ratios, multiplied: each is free to be bad while the other is.",
        slips=(
            Slip("rent", lambda v: 4 / 1.5,
                 "That is the rent alone. The utilisation changes the hours as well."),
            Slip("utilisation", lambda v: 0.43 / 0.25,
                 "That is the utilisation alone. The rent varies, too."),
            Slip("exact", lambda v: 1,
                 "Then both would be known. They are assumptions."),
        ),
    ),
}  # fmt: skip


def ways() -> Picture:
    """Draw how often a token is copied, by way of sending and choosing."""
    rows: Rows = [
        {"name": name, "copies": copies(*way), "label": f"{copies(*way):.2f}"}
        for name, way in WAYS.items()
    ]
    base = draw("ways").encode(
        y=alt.Y("name:N", sort=None, axis=name_axis(labelLimit=200)),
        x=alt.X("copies:Q", axis=None, scale=with_room(1.2)),
    )
    figure = Figure(
        "Copies of a token that needs 8 of 256 experts, on 8 machines",
        Drawing(labelled_bars(base, PAPER_INK, 28, BLUE)),
        f"Bars of the copies of a token. {spoken(rows)}.",
        {"ways": rows},
    )
    numbers = {
        "seeds": len(SEEDS),
        "tokens": f"{TOKENS:,}",
        "formula": f"{expected_copies(256, 8, 8, 4):.2f}",
        "by_gate": rows[2]["label"],
    }
    return Picture(figure, numbers)


FIGURES = {"ways": ways}
