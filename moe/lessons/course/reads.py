"""Questions and figure of the lesson on attention: what a model reads of what came before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np

from ...lm.model import LanguageModel
from ...lm.settings import LMTrainSettings
from ...lm.training import LMTrainer
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import goal, keyed, line_key, looks
from ...pictures.palette import BLUE, DASHES, FAIR, VERMILION
from ..picture import Picture
from ..question import Question, Slip, Values
from ..recorded import recorded

SETTINGS = LMTrainSettings(
    d_model=32, n_heads=2, d_expert=32, context=32, steps=300, learning_rate=2e-2
)
SEEN, NEAR = (1, 2, 4, 8, 16, 32), 4
MIXTURE, DENSE = "mixture", "dense"
KINDS = {MIXTURE: "none", DENSE: "active"}
UNKNOWN = 8.0  # bits of a character of 256 equally likely ones


# What is measured --------------------------------------------------------------------------------


def bits(model: LanguageModel, window_MT: np.ndarray, n_seen: int) -> float:
    """Bits for the last byte of each window, if the model sees so many bytes before it."""
    part_MT = window_MT[:, -n_seen - 1 :]
    return float(model.token_losses(part_MT[:, :-1], part_MT[:, 1:])[:, -1].mean() / np.log(2))


def table_bits(trainer: LMTrainer, window_MT: np.ndarray) -> float:
    """Bits of a table of what follows each byte, counted in as much text as the model learns."""
    n_drawn = trainer.settings.steps * trainer.settings.batch
    drawn_BT = trainer.windows.draw(np.random.default_rng(0), n_drawn)
    table = np.full((256, 256), 0.1)
    np.add.at(table, (drawn_BT[:, :-1], drawn_BT[:, 1:]), 1)
    chance = table / table.sum(axis=1, keepdims=True)
    return float(-np.log2(chance[window_MT[:, -2], window_MT[:, -1]]).mean())


def mixed(window_MT: np.ndarray) -> np.ndarray:
    """Return windows whose bytes are shuffled, but for the last one seen and the one to come."""
    found_MT = window_MT.copy()
    found_MT[:, :-2] = np.random.default_rng(0).permuted(found_MT[:, :-2], axis=1)
    return found_MT


def measure(seed: int) -> dict[str, Any]:
    """Train a mixture and a dense model of equal active size; bits by what they see."""
    found: dict[str, Any] = {"seed": seed}
    for name, dense in KINDS.items():
        trainer = LMTrainer(replace(SETTINGS, dense=dense, seed=seed))
        *_, last = trainer.run()
        window_MT = trainer.windows.held_out[0]
        found[name] = {
            "seen": [bits(trainer.model, window_MT, n) for n in SEEN],
            "mixed": bits(trainer.model, mixed(window_MT), SETTINGS.context),
            "all_places": last.held_out,
        }
        found["table"] = table_bits(trainer, window_MT)
    return found


def mean_seen(name: str) -> np.ndarray:
    """Bits by what is seen, mean over the seeds."""
    return np.asarray(np.mean([run[name]["seen"] for run in recorded("reads")], axis=0))


def table() -> float:
    """Bits of the table, mean over the seeds."""
    return float(np.mean([run["table"] for run in recorded("reads")]))


def near_share() -> float:
    """How much of the lead over one character is left with four of them, in percent."""
    seen = mean_seen(MIXTURE)
    return float(100 * (seen[0] - seen[SEEN.index(NEAR)]) / (seen[0] - seen[-1]))


# Questions ---------------------------------------------------------------------------------------


def _tokens(rng: np.random.Generator) -> Values:
    return {"tokens": int(rng.integers(6, 200))}


def _scores(rng: np.random.Generator) -> Values:
    a, b, c = rng.permutation([1, 2, 3, 4, 5, 6])[:3].tolist()
    x, y, z = (10 * rng.integers(1, 13, size=3)).tolist()
    return {"a": a, "b": b, "c": c, "x": x, "y": y, "z": z}


def _read(v: Values, weights: tuple[float, float, float]) -> float:
    return float(np.dot(weights, (v["x"], v["y"], v["z"])))


def _weights(v: Values) -> tuple[float, float, float]:
    whole = v["a"] + v["b"] + v["c"]
    return v["a"] / whole, v["b"] / whole, v["c"] / whole


def _logs(v: Values) -> tuple[float, float, float]:
    a, b, c = np.log([v["a"], v["b"], v["c"]])
    return a, b, c


def _likeliest(v: Values) -> float:
    return float((v["x"], v["y"], v["z"])[int(np.argmax(_logs(v)))])


QUESTIONS = {
    "bits": Question(
        form=lambda v: float(mean_seen(MIXTURE)[-1]),
        tolerance=0.2,
        unit="bits",
        why="As if it had to guess among seven characters, not among 256.",
        slips=(
            Slip("unknown", lambda v: UNKNOWN,
                 "So it would be if it had learnt nothing at all. Some characters are frequent, "
                 "and that alone saves three bits."),
            Slip("letters", lambda v: float(np.log2(27)),
                 "So many bits has one of 26 letters or a space, all equally likely. They are not: "
                 "*e* comes often, and *q* is followed by *u*."),
            Slip("table", lambda v: table(),
                 "That is what a table of pairs needs, which sees one character. This model sees "
                 "more."),
            Slip("one_bit", lambda v: 1.0,
                 "That is about what large models reach on English, after trillions of tokens. "
                 "This one has learnt for seconds."),
            Slip("nothing", lambda v: 0.0,
                 "No model can be sure of every character: the text itself leaves a choice."),
        ),
    ),
    "mix": Question(
        draw=_scores,
        form=lambda v: _read(v, _weights(v)),
        tolerance=0.4,
        why="The softmax of logarithms is the shares: each value times its share, added up.",
        slips=(
            Slip("mean", lambda v: _read(v, (1 / 3, 1 / 3, 1 / 3)),
                 "That is the plain mean of the values. The scores say whom to listen to."),
            Slip("likeliest", _likeliest,
                 "That is the value of the highest score alone. Attention is soft: all are read, "
                 "each with its weight."),
            Slip("not_divided", lambda v: _read(v, (v["a"], v["b"], v["c"])),
                 "You forgot to divide by the sum. The softmax makes weights that add up to 1."),
            Slip("no_softmax", lambda v: _read(v, _logs(v)),
                 "You took the scores as weights. Their softmax is wanted, which undoes the "
                 "logarithm."),
            Slip("looked_away", lambda v: (v["a"] * v["x"] + v["b"] * v["y"]) / (v["a"] + v["b"]),
                 "You left out the reading token itself. It may read itself, too."),
        ),
    ),
    "pairs": Question(
        draw=_tokens,
        form=lambda v: v["tokens"] * (v["tokens"] + 1) / 2,
        tolerance=0.5,
        why="1 + 2 + 3 and so on: half of a square, and half of its diagonal.",
        slips=(
            Slip("ahead", lambda v: v["tokens"] ** 2,
                 "So many there are if each may read all. Then it would read the answer, too."),
            Slip("not_itself", lambda v: v["tokens"] * (v["tokens"] - 1) / 2,
                 "You left out that each token reads itself. The first one has nobody else."),
            Slip("one_each", lambda v: v["tokens"],
                 "So it would be if each read one token only. It may read all that came before."),
        ),
    ),
    "near": Question(
        form=lambda v: near_share(),
        tolerance=3,
        unit="%",
        why="Nearly all of what it reads is near, though it could look much further.",
        slips=(
            Slip("by_length", lambda v: 100 * NEAR / SETTINGS.context,
                 "That is the share of the characters, 4 of 32. They are not worth the same: the "
                 "near ones say most."),
            Slip("half", lambda v: 50,
                 "A usual guess between the two. Near characters say more than that."),
            Slip("all", lambda v: 100,
                 "Nearly. A little comes from further away, up to some eight or sixteen "
                 "characters."),
            Slip("nothing", lambda v: 0,
                 "Then four characters would say no more than one. A word's first letters say much "
                 "about its next."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def by_what_is_seen() -> Picture:
    """Draw bits for a byte over how many bytes before it are seen."""
    lines = {name: mean_seen(name) for name in KINDS}
    rows: Rows = [
        {"model": name, "seen": str(n), "bits": float(value)}
        for name, line in lines.items()
        for n, value in zip(SEEN, line, strict=True)
    ]
    colours = dict(zip(KINDS, (BLUE, VERMILION), strict=True))
    drawn = draw("bits").mark_line(strokeWidth=2, point=True).encode(
        x=alt.X("seen:N", sort=None,
                axis=alt.Axis(title="characters seen", grid=False, labelAngle=0)),
        y=alt.Y("bits:Q", scale=alt.Scale(zero=False),
                axis=alt.Axis(title="bits for the next one", tickCount=5)),
        color=keyed(alt.Color, "model:N", colours, line_key()),
        strokeDash=keyed(alt.StrokeDash, "model:N", looks(KINDS, DASHES), line_key()),
        tooltip=["model:N", "seen:N", alt.Tooltip("bits:Q", format=".2f")],
    ).properties(height=190)  # fmt: skip
    told = "; ".join(
        f"{name} {line[0]:.2f} with one, {line[SEEN.index(NEAR)]:.2f} with {NEAR}, {line[-1]:.2f} "
        f"with all {SEEN[-1]}"
        for name, line in lines.items()
    )
    figure = Figure(
        "What more context is worth to a small model",
        Drawing(alt.LayerChart(layer=[goal("table", FAIR, y="bits:Q"), drawn])),
        f"Two lines that fall over the number of characters seen, and a dashed one for the table "
        f"of pairs at {table():.2f} bits. {told}.",
        {"bits": rows, "table": [{"bits": table()}]},
    )
    mixture = lines[MIXTURE]
    numbers = {
        "seeds": len(recorded("reads")), "one": f"{mixture[0]:.2f}",
        "four": f"{mixture[SEEN.index(NEAR)]:.2f}", "all": f"{mixture[-1]:.2f}",
        "dense": f"{lines[DENSE][-1]:.2f}", "table": f"{table():.2f}",
    }  # fmt: skip
    return Picture(figure, numbers)


FIGURES = {"seen": by_what_is_seen}
