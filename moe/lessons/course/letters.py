"""Questions and figure of lesson 0: a character becomes numbers, and chances come out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp

import altair as alt
import numpy as np

from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import end_labels, goal, run_lines
from ...pictures.palette import BLUE, FAIR, PAPER_INK, VERMILION
from ...training import Trainer, TrainSettings
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import PLACES, SEEDS, mean_loss

STEPS, EARLY = 60, 5
LOOKS = (*range(20), *range(20, STEPS + 1, 4))  # steps after which the loss is taken
LABELS = 36  # step at which the names of levels end, where no line is near
HERE, ELSEWHERE = "the six characters before it", "six characters from elsewhere"
BYTES, LETTERS = 256, 26


# What is measured --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learning:
    """One run: held-out loss after some steps, with what was read here and elsewhere.

    Attributes
    ----------
    here_T, elsewhere_T
        Mean loss after each of `LOOKS` steps.
    frequencies
        Loss of an answer that is the same everywhere: each byte's frequency in training text.
    """

    here_T: np.ndarray
    elsewhere_T: np.ndarray
    frequencies: float

    def lost(self, step: int) -> float:
        """Share of the gain since the start that strange characters cost."""
        at = LOOKS.index(step)
        return float((self.elsewhere_T[at] - self.here_T[at]) / (self.here_T[0] - self.here_T[at]))


@cache
def learning(seed: int) -> Learning:
    """Train as the lesson does, and look now and then."""
    trainer = Trainer(TrainSettings(n_experts=8, steps=STEPS, batch=512, seed=seed))
    inputs, came_N = trainer.task.held_out(np.random.default_rng(0), PLACES)
    drawn_N = trainer.task.draw(np.random.default_rng(0), 65536)[1]
    share_V = (np.bincount(drawn_N, minlength=BYTES) + 1) / (drawn_N.size + BYTES)
    losses = []
    for step in range(STEPS + 1):
        if step in LOOKS:
            losses.append(
                [
                    mean_loss(trainer.predict(read), came_N)
                    for read in (inputs, np.roll(inputs, 1, 0))
                ]
            )
        if step < STEPS:
            trainer.step()
    here_T, elsewhere_T = np.array(losses).T
    return Learning(here_T, elsewhere_T, float(-np.log(share_V[came_N]).mean()))


def _mean_lost(step: int) -> float:
    return float(np.mean([learning(seed).lost(step) for seed in SEEDS]))


# Questions ---------------------------------------------------------------------------------------


def _table(rng: np.random.Generator) -> Values:
    return {
        "places": int(rng.integers(3, 10)),
        "kinds": int(rng.choice([64, 100, 128, 256])),
        "width": int(rng.choice([16, 24, 32, 48])),
    }


def _scores(rng: np.random.Generator) -> Values:
    return {"logits": rng.uniform(0.2, 2.5, 3).round(1).tolist()}


def _chance(rng: np.random.Generator) -> Values:
    return {"percent": int(rng.integers(3, 70))}


def _softmax(scores: list[float], base: float = exp(1)) -> float:
    powers = base ** np.array(scores)
    return float(powers[0] / powers.sum())


QUESTIONS = {
    "fresh": Question(
        form=lambda v: 100 / BYTES,
        tolerance=0.1,
        unit="%",
        why="Nothing tells the 256 answers apart, so each gets about 1/256.",
        slips=(
            Slip("letters_only", lambda v: 100 / LETTERS,
                 "You divided by the letters of the alphabet. The program does not know that some "
                 "bytes are letters: it has 256 answers, and nothing against any of them."),
            Slip("yes_or_no", lambda v: 50,
                 "Two outcomes need not be equally likely. `e` is one answer of 256."),
            Slip("never", lambda v: 0,
                 "Knowing nothing is not ruling it out. Chances sum to 1, so somebody gets them."),
            Slip("english", lambda v: 12.7,
                 "That is about how frequent `e` is among English letters. The program has not "
                 "read any English yet."),
        ),
    ),
    "table": Question(
        draw=_table,
        form=lambda v: v["places"] * v["kinds"] * v["width"],
        tolerance=0.5,
        why="A table for each place, a row for each character, a weight for each number.",
        slips=(
            Slip("one_table", lambda v: v["kinds"] * v["width"],
                 "That is one table. Here each of the {places} places has its own."),
            Slip("what_is_read", lambda v: v["places"] * v["width"],
                 "That is what is looked up for one text. The tables hold a row for *every* "
                 "character, read or not."),
            Slip("rows", lambda v: v["places"] * v["kinds"],
                 "Those are the rows. Each of them has {width} numbers."),
            Slip("one_row", lambda v: v["width"],
                 "That is one row: the vector of one character at one place."),
        ),
    ),
    "third": Question(
        form=lambda v: 0.5,
        tolerance=0.01,
        why="e to the power of ln 4 is 4; the four powers sum to 8.",
        slips=(
            Slip("no_power", lambda v: float(np.log(4) / np.log([1, 2, 4, 1]).sum()),
                 "You divided the logit by the sum of the logits. Softmax takes the powers first: "
                 "1, 2, 4 and 1."),
            Slip("no_division", lambda v: 4,
                 "That is the power, and no chance yet: divide it by the sum of all four."),
            Slip("winner", lambda v: 1,
                 "The largest logit does not get everything. Softmax leaves something to all."),
            Slip("even", lambda v: 0.25,
                 "That would be so for four equal logits. ln 4 is the largest of them."),
        ),
    ),
    "softmax": Question(
        draw=_scores,
        form=lambda v: _softmax(v["logits"]),
        tolerance=0.008,
        why="The power of the first over the sum of the three powers.",
        slips=(
            Slip("no_power", lambda v: v["logits"][0] / sum(v["logits"]),
                 "You divided the logit by the sum of the logits. Take e to the power of each "
                 "first."),
            Slip("no_division", lambda v: float(np.exp(v["logits"][0])),
                 "That is the power, and no chance yet: divide it by the sum of all three."),
            Slip("winner", lambda v: 1,
                 "Softmax gives nobody everything: all three powers are above zero."),
            Slip("power_of_two", lambda v: _softmax(v["logits"], 2),
                 "You took powers of 2. Softmax takes powers of e, 2.718, and so prefers the "
                 "larger logits more."),
            Slip("power_of_ten", lambda v: _softmax(v["logits"], 10),
                 "You took powers of 10. Softmax takes powers of e, 2.718, and so prefers the "
                 "larger logits less."),
        ),
    ),
    "loss": Question(
        draw=_chance,
        form=lambda v: float(-np.log(v["percent"] / 100)),
        tolerance=0.01,
        why="Minus the natural logarithm of the chance.",
        slips=(
            Slip("missing_part", lambda v: 1 - v["percent"] / 100,
                 "That is the chance that was given to everything else. The loss is a logarithm, "
                 "so that being sure and wrong costs without limit."),
            Slip("base_two", lambda v: float(-np.log2(v["percent"] / 100)),
                 "You took the logarithm with base 2, which counts in bits. Here it is the "
                 "natural one."),
            Slip("base_ten", lambda v: float(-np.log10(v["percent"] / 100)),
                 "You took the logarithm with base 10. Here it is the natural one."),
            Slip("sign", lambda v: float(np.log(v["percent"] / 100)),
                 "The logarithm of a chance is negative. The loss has a minus before it, so that "
                 "smaller means better."),
            Slip("percent", lambda v: float(-np.log(v["percent"])),
                 "You took the logarithm of the percentage. {percent} % is "
                 "{percent} / 100."),
        ),
    ),
    "elsewhere": Question(
        form=lambda v: 100 * _mean_lost(EARLY),
        tolerance=4,
        unit="%",
        why="Little is lost: after five steps it hardly reads. It knows what is frequent.",
        slips=(
            Slip("all", lambda v: 100,
                 "So it would be if it had learnt nothing but which characters follow which. Run "
                 "the next block."),
            Slip("half", lambda v: 50,
                 "Half would mean that what it reads counts as much as what is frequent. So early "
                 "it is far less. Run the next block."),
            Slip("nothing", lambda v: 0,
                 "Nearly. A little does depend on what it reads already."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def learning_curves() -> Picture:
    """Draw the loss over the steps with what was read here, and with what was read elsewhere."""
    runs = [learning(seed) for seed in SEEDS]
    mean = {
        HERE: np.mean([run.here_T for run in runs], axis=0),
        ELSEWHERE: np.mean([run.elsewhere_T for run in runs], axis=0),
    }
    rows: Rows = [
        {"run": name, "step": step, "value": float(value)}
        for name, loss_T in mean.items()
        for step, value in zip(LOOKS, loss_T, strict=True)
    ]
    levels: Rows = [
        {"level": float(np.log(BYTES)), "from": LABELS, "label": "knows nothing"},
        {"level": runs[0].frequencies, "from": LABELS, "label": "knows frequencies"},
    ]
    colours = {HERE: BLUE, ELSEWHERE: VERMILION}
    y = alt.Y("value:Q", axis=alt.Axis(title="loss", tickCount=4), scale=alt.Scale(zero=True))
    lines = run_lines("losses", y, "loss", colours)
    x = alt.X("from:Q")
    rules = goal("levels", FAIR, y=alt.Y("level:Q"))
    words = end_labels(draw("levels").encode(x=x, y="level:Q"), PAPER_INK, align="right", dy=-8)
    spoken = "; ".join(
        f"with {name} {loss_T[0]:.2f} at the start, {loss_T[LOOKS.index(EARLY)]:.2f} after "
        f"{EARLY} steps, {loss_T[-1]:.2f} after {STEPS}"
        for name, loss_T in mean.items()
    )
    figure = Figure(
        "It learns what is frequent before it learns to read",
        Drawing(alt.LayerChart(layer=[rules, lines, words])),
        f"Two lines of the loss over {STEPS} steps: {spoken}. Dashed: {levels[0]['level']:.2f}, "
        f"which is knowing nothing, and {levels[1]['level']:.2f}, which is knowing how frequent "
        "each character is.",
        {"losses": rows, "levels": levels},
    )
    return Picture(
        figure,
        {
            "steps": STEPS, "early": EARLY, "seeds": len(SEEDS),
            "early_lost": f"{_mean_lost(EARLY):.0%}", "late_lost": f"{_mean_lost(STEPS):.0%}",
        },
    )  # fmt: skip


FIGURES = {"learning": learning_curves}
