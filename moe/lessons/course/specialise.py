"""Questions and figure of the lesson on specialists: what explains who gets a token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np

from ... import metrics
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import end_labels, run_lines
from ...pictures.palette import BLUE, FAIR, PAPER_INK, VERMILION
from ...routing import Routing
from ...traces import Trace
from ...traces.myths import stretches, topic_specialists
from ...traces.record import held_out_documents, record_trainer
from ...traces.samples import SAMPLES
from ...training import Trainer, TrainSettings
from ..picture import Picture
from ..question import Question, Slip, Values

SEEDS, LOOKS, SHUFFLES = (0, 1, 2), (0, 10, 20, 40, 60), 19
TOKEN, TOPIC, LUCK = "the character", "the kind of text", "shuffled kinds of text"
KINDS = 6


# What is measured --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explained:
    """Shares of the choice of expert that something explains, in one record.

    Attributes
    ----------
    token, topic
        The character and the kind of text, both less what shuffled ones explain.
    luck
        What kinds of text explain that were shuffled by stretches.
    """

    token: float
    topic: float
    luck: float


def share(routing: Routing, label_N: np.ndarray) -> float:
    """Share of the entropy of the choices that a label explains."""
    return metrics.label_information(routing, label_N) / metrics.load_entropy(routing.load)


def explained(trace: Trace) -> Explained:
    """Measure a record of one layer."""
    routing, rng = trace.routing(0), np.random.default_rng(0)
    assert trace.domain_N is not None and trace.token_ids_N is not None
    stretch_N, id_N = stretches(trace), trace.token_ids_N
    topic_S = trace.domain_N[np.unique(stretch_N, return_index=True)[1]]
    luck = np.mean([share(routing, rng.permutation(topic_S)[stretch_N]) for _ in range(SHUFFLES)])
    token = np.mean([share(routing, rng.permutation(id_N)) for _ in range(SHUFFLES)])
    return Explained(
        share(routing, id_N) - float(token),
        share(routing, trace.domain_N) - float(luck),
        float(luck),
    )


@cache
def growth(seed: int) -> tuple[Explained, ...]:
    """Train as the lesson does, and measure at each of `LOOKS`."""
    settings = TrainSettings(
        balance="bias", balance_rate=0.01, steps=max(LOOKS), batch=512, seed=seed
    )
    trainer, found = Trainer(settings), []
    documents = held_out_documents(trainer, 4, 96)
    for step in range(max(LOOKS) + 1):
        if step in LOOKS:
            found.append(explained(record_trainer(trainer, documents)))
        if step < max(LOOKS):
            trainer.step()
    return tuple(found)


def _means(figure: str) -> list[float]:
    """A figure at each look, mean over the seeds."""
    runs = [[getattr(one, figure) for one in growth(seed)] for seed in SEEDS]
    return [float(value) for value in np.mean(runs, axis=0)]


@cache
def _of_the_record() -> float:
    return 100 * dict(topic_specialists(SAMPLES[0].load()).figures)["domain_above_chance"]


# Questions ---------------------------------------------------------------------------------------


def _table(rng: np.random.Generator) -> Values:
    return {"first": int(rng.integers(50, 96)), "second": int(rng.integers(5, 50))}


def _choices(rng: np.random.Generator) -> Values:
    return {"experts": int(rng.integers(6, 33)), "k": int(rng.integers(2, 5))}


def _entropy(chance: float) -> float:
    shares = np.array([chance, 1 - chance])
    return float(-(shares * np.log(shares)).sum())


def _entropies(v: Values) -> tuple[float, float]:
    """Entropy of the choice without and with the kind of text, in nats."""
    first, second = v["first"] / 100, v["second"] / 100
    return _entropy((first + second) / 2), (_entropy(first) + _entropy(second)) / 2


def _explained(v: Values) -> float:
    before, after = _entropies(v)
    return 100 * (before - after) / before


QUESTIONS = {
    "topic": Question(
        form=lambda v: _of_the_record(),
        tolerance=2,
        unit="%",
        why="A little, and more than luck. The lesson shows how to tell the two apart.",
        slips=(
            Slip("all", lambda v: 100,
                 "Then every kind of text would have experts of its own, and no expert would serve "
                 "two kinds. Look at the record."),
            Slip("half", lambda v: 50,
                 "That would be a strong division of labour. Look at the record: most experts "
                 "serve all kinds of text."),
            Slip("one_of_six", lambda v: 100 / KINDS,
                 "You divided by the six kinds of text. How many there are says nothing yet of how "
                 "much they explain."),
            Slip("nothing", lambda v: 0,
                 "Nearly. But shuffled kinds of text explain less than the real ones: some of it "
                 "is no luck."),
        ),
    ),
    "information": Question(
        draw=_table,
        form=_explained,
        tolerance=0.4,
        unit="%",
        why="Entropy before, less the mean entropy of the two kinds, over the entropy before.",
        slips=(
            Slip("what_is_left", lambda v: 100 - _explained(v),
                 "That is the share that stays uncertain. What is explained is the rest."),
            Slip("difference", lambda v: v["first"] - v["second"],
                 "You subtracted the two shares. A difference of shares is no share of "
                 "uncertainty: take entropies first."),
            Slip("not_divided", lambda v: 100 * (_entropies(v)[0] - _entropies(v)[1]),
                 "That is the fall itself. Divide it by the entropy before, so that 100 means "
                 "that all is explained."),
            Slip("best_guess", lambda v: (v["first"] + 100 - v["second"]) / 2,
                 "That is how often the best guess would be right. Without knowing the kind of "
                 "text it would already be right about half of the time."),
        ),
    ),
    "fresh": Question(
        form=lambda v: 100 * _means("token")[0],
        tolerance=3,
        unit="%",
        why="A router with random weights still treats equal characters alike.",
        slips=(
            Slip("nothing", lambda v: 0,
                 "A random router is not a coin: its weights are drawn once. The same character "
                 "meets the same weights each time."),
            Slip("as_trained", lambda v: 100 * _means("token")[-1],
                 "That is how much it is after training. Something is learnt as well."),
            Slip("all", lambda v: 100,
                 "So it would be if the router saw that character alone. It sees the five before "
                 "it, too."),
        ),
    ),
    "repetition": Question(
        draw=_choices,
        form=lambda v: 100 * metrics.random_repetition(v["experts"], v["k"]),
        tolerance=0.3,
        unit="%",
        why="One minus the chance that the second token misses all experts of the first.",
        slips=(
            Slip("one_given_expert", lambda v: 100 * v["k"] / v["experts"],
                 "That is the chance that the next token has one given expert. The first token has "
                 "{k}, and any of them will do."),
            Slip("one_choice", lambda v: 100 / v["experts"],
                 "So it would be with one expert for each token. Here each has {k}."),
            Slip("both", lambda v: 100 * (v["k"] / v["experts"]) ** 2,
                 "That is the chance that both tokens have one given expert. There are {experts} "
                 "experts that they may share."),
            Slip("mean_number", lambda v: 100 * v["k"] ** 2 / v["experts"],
                 "That is the mean number of shared experts, times 100. Two tokens may share more "
                 "than one, and then it counts twice."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def growth_lines() -> Picture:
    """Draw what explains the choice of expert over the steps of training."""
    lines = {TOKEN: _means("token"), TOPIC: _means("topic"), LUCK: _means("luck")}
    rows: Rows = [
        {"run": name, "step": step, "value": value}
        for name, values in lines.items()
        for step, value in zip(LOOKS, values, strict=True)
    ]
    ends: Rows = [
        {"step": LOOKS[-1], "value": values[-1], "label": f"{values[-1]:.0%}"}
        for name, values in lines.items() if name != LUCK
    ]  # fmt: skip
    y = alt.Y(
        "value:Q", scale=alt.Scale(zero=True),
        axis=alt.Axis(title="explained of the choice of expert", format="%", tickCount=4),
    )  # fmt: skip
    colours = {TOKEN: BLUE, TOPIC: VERMILION, LUCK: FAIR}
    drawn = run_lines("explained", y, "explained", colours, point=True)
    words = end_labels(draw("ends").encode(x="step:Q", y="value:Q"), PAPER_INK, dy=-8, dx=-8)
    spoken = "; ".join(
        f"{name} {values[0]:.1%} at the start and {values[-1]:.1%} after {LOOKS[-1]} steps"
        for name, values in lines.items()
    )
    figure = Figure(
        "Characters explain more than kinds of text, from the first step on",
        Drawing(alt.LayerChart(layer=[drawn, words])),
        f"Three lines: the share of the choice of expert that something explains. {spoken}. Luck "
        "is taken off the first two.",
        {"explained": rows, "ends": ends},
    )
    numbers = {"seeds": len(SEEDS), "steps": LOOKS[-1]} | {
        f"{figure}_{when}": f"{_means(figure)[at]:.0%}"
        for figure in ("token", "topic")
        for when, at in (("fresh", 0), ("end", -1))
    }
    return Picture(figure, numbers)


FIGURES = {"growth": growth_lines}
