"""Questions and figure of lesson 1: what an expert holds, and what it can do alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np

from ...dense import DenseFFN
from ...pictures.experts import expert_name
from ...pictures.figure import Drawing, Figure, Rows, draw, spoken
from ...pictures.marks import labelled_bars, name_axis, with_room
from ...pictures.palette import PAPER_INK, TEAL
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import EXPERTS, SEEDS, mean_loss, places, trained


@dataclass(frozen=True)
class Alone:
    """Losses of one trained program: as it is, without its layer, with one expert for all (E,)."""

    whole: float
    without: float
    alone_E: np.ndarray


@cache
def alone(seed: int) -> Alone:
    """Let each expert work for all tokens."""
    trainer, (x_ND, came_N) = trained(seed), places(seed)
    params, out_DV = trainer.layer.params, trainer.params["out_DV"]

    def loss(y_ND: np.ndarray) -> float:
        return mean_loss((x_ND + y_ND) @ out_DV, came_N)

    experts = (
        DenseFFN("swiglu", {"w_gate_up_D2F": up_D2F, "w_down_FD": down_FD})
        for up_D2F, down_FD in zip(params["w_gate_up_ED2F"], params["w_down_EFD"], strict=True)
    )
    alone_E = np.array([loss(expert.forward(x_ND)[0]) for expert in experts])
    return Alone(loss(trainer.layer.forward(x_ND)[0]), loss(np.zeros_like(x_ND)), alone_E)


def _mean_alone() -> float:
    return float(np.mean([alone(seed).alone_E for seed in SEEDS]))


def _layer(rng: np.random.Generator) -> Values:
    return {
        "experts": int(rng.choice([4, 8, 16, 32])),
        "width": int(rng.integers(8, 65)),
        "inside": int(rng.integers(8, 129)),
    }


def _share(rng: np.random.Generator) -> Values:
    return {"experts": int(rng.integers(8, 65)), "chosen": int(rng.integers(2, 7))}


def _experts(v: Values, matrices: int = 3) -> int:
    return int(v["experts"] * matrices * v["width"] * v["inside"])


QUESTIONS = {
    "numbers": Question(
        form=lambda v: 384,
        tolerance=0.5,
        why="Three matrices of 8 x 16: gate half, up half, down.",
        slips=(
            Slip("two_matrices", lambda v: 256,
                 "That is two matrices. SwiGLU has a third: the gate half, which says how far to "
                 "open."),
            Slip("one_matrix", lambda v: 128, "That is one matrix of 8 x 16. There are three."),
            Slip("biases", lambda v: 424,
                 "You added a number to each result, a bias. Many networks have them; these do "
                 "not, and few large models do."),
            Slip("widths", lambda v: 32,
                 "You added the widths. A matrix has a number for each pair of input and result."),
        ),
    ),
    "layer": Question(
        draw=_layer,
        form=lambda v: _experts(v) + v["experts"] * v["width"],
        tolerance=0.5,
        why="Three matrices for each expert, and one column of the router.",
        slips=(
            Slip("router_forgotten", _experts,
                 "The router is missing: a column of {width} weights for each expert."),
            Slip("two_matrices", lambda v: _experts(v, 2) + v["experts"] * v["width"],
                 "You gave an expert two matrices. SwiGLU has three."),
            Slip("one_expert", lambda v: _experts(v) / v["experts"] + v["experts"] * v["width"],
                 "That is the router and one expert. There are {experts}, and all are stored."),
            Slip("router_of_one", lambda v: _experts(v) + v["width"],
                 "The router has a column for each expert, not one for all."),
        ),
    ),
    "share": Question(
        draw=_share,
        form=lambda v: v["chosen"] / v["experts"],
        tolerance=0.004,
        why="{chosen} slices of {experts} run, and all have the same size.",
        slips=(
            Slip("one_expert", lambda v: 1 / v["experts"], "That is one slice. {chosen} run."),
            Slip("the_rest", lambda v: 1 - v["chosen"] / v["experts"], "That is what is saved."),
            Slip("shared_out", lambda v: 1 / v["chosen"],
                 "You divided by the experts that run. They are a part of all {experts}."),
            Slip("all", lambda v: 1, "So it would be if all ran. The others are not computed."),
        ),
    ),
    "alone": Question(
        form=lambda v: _mean_alone(),
        tolerance=0.2,
        why="On average that is worse than no layer: where it is not meant to work, an expert does "
        "harm.",
        slips=(
            Slip("as_good", lambda v: 2.4,
                 "Then each expert would be a whole model, and choosing would be needless. Run "
                 "the block."),
            Slip("half_as_good", lambda v: 2.85,
                 "Halfway between the layer and none: you expect that each expert brings a part "
                 "of the help. Where it is not meant to work it does harm. Run the block."),
            Slip("knows_nothing", lambda v: float(np.log(256)),
                 "That is the loss of knowing nothing, ln 256. What is read still passes beside "
                 "the layer, so it is not that bad."),
        ),
    ),
}  # fmt: skip


def losses_alone() -> Picture:
    """Draw the loss of the whole layer, of none, and of each expert for all tokens."""
    runs = [alone(seed) for seed in SEEDS]
    first = runs[0]
    cases = [("two of eight, chosen", first.whole), ("no layer", first.without)]
    cases += [(f"{expert_name(e)} alone", float(first.alone_E[e])) for e in range(EXPERTS)]
    rows: Rows = [{"name": name, "loss": loss, "label": f"{loss:.2f}"} for name, loss in cases]
    base = draw("losses").encode(
        x=alt.X("loss:Q", axis=None, scale=with_room(1.15)),
        y=alt.Y("name:N", sort=None, axis=name_axis(labelLimit=160)),
    )
    figure = Figure(
        "Loss when one expert works for all tokens",
        Drawing(labelled_bars(base, PAPER_INK, 26, TEAL)),
        f"Bars of the loss, shorter is better. {spoken(rows)}.",
        {"losses": rows},
    )
    return Picture(
        figure,
        {
            "seeds": len(SEEDS),
            "whole": _ends([run.whole for run in runs]),
            "best": _ends([float(run.alone_E.min()) for run in runs]),
            "worse_seeds": sum(bool((run.alone_E > run.without).any()) for run in runs),
        },
    )  # fmt: skip


def _ends(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


FIGURES = {"alone": losses_alone}
