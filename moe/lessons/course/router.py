"""Questions and figure of lesson 2: whom a router chooses, and what its weights say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np

from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.palette import TEAL
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import SEEDS, places, trained

DRAWN = 300  # tokens that the figure shows
LOW, HIGH = 0.6, 0.7  # weights of the better expert that the caption looks at


@dataclass(frozen=True)
class Choices:
    """Of each token: the chances of its two experts (N, 2), and the first one's weight (N,)."""

    chance_N2: np.ndarray
    weight_N: np.ndarray

    @property
    def sure_N(self) -> np.ndarray:
        """Chance of both together."""
        return np.asarray(self.chance_N2.sum(axis=1))


@cache
def choices(seed: int) -> Choices:
    """Let a trained router choose for held-out tokens."""
    layer, (x_ND, _) = trained(seed).layer, places(seed)
    routing = layer.router.choose(x_ND @ layer.params["gate_DE"])
    assert routing.scores_NE is not None
    expert_N2 = routing.expert_A.reshape(-1, 2)
    chance_N2 = np.take_along_axis(routing.scores_NE, expert_N2, axis=1).astype(np.float64)
    return Choices(chance_N2, routing.weight_A.reshape(-1, 2)[:, 0].astype(np.float64))


def _numbers(rng: np.random.Generator) -> Values:
    return {"numbers": rng.choice(np.arange(1, 13), 5, replace=False).tolist()}


def _fair(rng: np.random.Generator) -> Values:
    k, experts = int(rng.integers(2, 7)), int(rng.choice([8, 16, 32, 64]))
    return {"tokens": int(rng.integers(2, 20)) * experts, "experts": experts, "k": k}


def _two(v: Values) -> tuple[float, float]:
    best, second = sorted(v["numbers"], reverse=True)[:2]
    return best, second


def _share(v: Values) -> float:
    return _two(v)[1] / sum(v["numbers"])


def _twice(v: Values) -> float:
    power = np.exp(np.array(_two(v)) / sum(v["numbers"]))
    return float(power[1] / power.sum())


QUESTIONS = {
    "weight": Question(
        form=lambda v: 2 / 3,
        tolerance=0.02,
        why="0.5 over the sum 0.75.",
        slips=(
            Slip("not_divided", lambda v: 0.5,
                 "That is its chance, and some models do use it. Most divide by the sum of the "
                 "chosen ones, so that the weights sum to 1."),
            Slip("softmax_twice", lambda v: float(np.exp(0.5) / (np.exp(0.5) + np.exp(0.25))),
                 "You took softmax of the chances. They came out of softmax already: divide."),
            Slip("other_one", lambda v: 1 / 3, "That is what the other one gets."),
            Slip("winner", lambda v: 1, "With k = 2 both work, and the second has a weight, too."),
        ),
    ),
    "second": Question(
        draw=_numbers,
        form=lambda v: _two(v)[1] / sum(_two(v)),
        tolerance=0.004,
        why="The powers are the numbers themselves: the second over the sum of the best two.",
        slips=(
            Slip("not_divided", _share,
                 "That is its chance among all five. Divide by the sum of the two that were "
                 "chosen."),
            Slip("best_one", lambda v: _two(v)[0] / sum(_two(v)),
                 "That is the weight of the best. The second best was asked for."),
            Slip("softmax_twice", _twice,
                 "You took softmax of the chances. They came out of softmax already."),
            Slip("logits", lambda v: float(np.log(_two(v)[1]) / np.log(_two(v)).sum()),
                 "You divided logits. Take e to the power of them first: that gives back the "
                 "numbers."),
            Slip("equal", lambda v: 0.5, "The two weights are equal only for equal logits."),
        ),
    ),
    "fair": Question(
        draw=_fair,
        form=lambda v: v["tokens"] * v["k"] / v["experts"],
        tolerance=0.4,
        why="Each token makes {k} assignments, which {experts} experts share.",
        slips=(
            Slip("k_forgotten", lambda v: v["tokens"] / v["experts"],
                 "Each token goes to {k} experts, so it counts {k} times."),
            Slip("not_shared", lambda v: v["tokens"] * v["k"],
                 "That is all assignments together. {experts} experts share them."),
            Slip("only_the_chosen", lambda v: v["tokens"] / v["k"],
                 "You let {k} experts share the tokens. All {experts} do, in turn."),
            Slip("all", lambda v: v["tokens"], "So it would be if all experts ran for all tokens."),
        ),
    ),
    "order": Question(
        form=lambda v: 0,
        tolerance=0.01,
        why="The sum over all experts cancels.",
        slips=(
            Slip("a_little", lambda v: 0.1,
                 "A guess that softmax over fewer numbers must give something else. It gives the "
                 "same, up to a factor, and the division takes that away."),
            Slip("without_division",
                 lambda v: float(np.max(choices(0).weight_N - choices(0).chance_N2[:, 0])),
                 "That is how far apart they are if the first recipe does not divide. Here both "
                 "sum to 1."),
            Slip("half", lambda v: 0.5,
                 "The weights of two experts that sum to 1 can hardly differ more. They do not "
                 "differ at all."),
        ),
    ),
}  # fmt: skip


def how_sure() -> Picture:
    """Draw the weight of the better expert over the chance of both, a point for each token."""
    first = choices(0)
    rows: Rows = [
        {"sure": float(sure), "weight": float(weight)}
        for sure, weight in zip(first.sure_N[:DRAWN], first.weight_N[:DRAWN], strict=True)
    ]
    inside = [row["sure"] for row in rows if LOW < row["weight"] < HIGH]
    correlations = [
        float(np.corrcoef(choices(seed).sure_N, choices(seed).weight_N)[0, 1]) for seed in SEEDS
    ]
    chart = draw("tokens").mark_point(filled=True, size=22, opacity=0.6, color=TEAL, aria=False)
    chart = chart.encode(
        x=alt.X("sure:Q", title="chance of both chosen experts together",
                axis=alt.Axis(format="%", tickCount=5, grid=False)),
        y=alt.Y("weight:Q", title="weight of the better one", scale=alt.Scale(domain=[0.5, 1])),
    ).properties(height=260)  # fmt: skip
    words = {
        "tokens": len(rows), "seeds": len(SEEDS), "low": f"{min(inside):.0%}",
        "high": f"{max(inside):.0%}",
        "correlation": f"{min(correlations):.2f} to {max(correlations):.2f}",
    }  # fmt: skip
    figure = Figure(
        "After the division, one weight may mean sure or unsure",
        Drawing(chart),
        f"{len(rows)} points, one for each token. With a weight between {LOW} and {HIGH} the "
        f"chance of both experts goes from {words['low']} to {words['high']}.",
        {"tokens": rows},
    )
    return Picture(figure, words)


FIGURES = {"sure": how_sure}
