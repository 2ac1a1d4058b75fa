"""Questions and figure of lesson 5: what the gate's logits get, and what they do not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np

from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import goal, keyed, line_key, looks, sheet, stacked
from ...pictures.palette import BLUE, DASHES, FAIR, SLATE, TEAL, VERMILION
from ...scores import make_scores
from ...training import Trainer, TrainSettings
from ..picture import WIDTH, Picture
from ..question import Question, Slip, Values
from ..trained import EXPERTS, SEEDS, mean_loss

PLACES, POINTS, SLOPES, REACH = 256, 120, 6, 1.5
HALF = 0.12  # of a stroke that shows a slope, in logits
BEST, SECOND, MOVED = "best", "second best", "the one that moves"


# What is measured --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A trained program at held-out places of text.

    Attributes
    ----------
    trainer
        The program.
    x_ND, logits_NE, came_N
        Vectors, the gate's logits, and the bytes that came.
    results_NED
        What each expert says of each token, chosen or not.
    """

    trainer: Trainer
    x_ND: np.ndarray
    logits_NE: np.ndarray
    came_N: np.ndarray
    results_NED: np.ndarray

    def out(self, expert_NK: np.ndarray, weight_NK: np.ndarray) -> np.ndarray:
        """Outputs (N, V) if these experts ran with these weights."""
        rows_N1 = np.arange(len(expert_NK))[:, None]
        y_ND = (weight_NK[..., None] * self.results_NED[rows_N1, expert_NK]).sum(axis=1)
        return np.asarray((self.x_ND + y_ND) @ self.trainer.params["out_DV"])


@cache
def held(freeze: str, seed: int) -> Held:
    """Train with a part frozen, and run every expert on every held-out token."""
    trainer = Trainer(
        TrainSettings(
            n_experts=EXPERTS, steps=60, batch=256, balance="aux", freeze=freeze, seed=seed
        )
    )
    for _ in trainer.run():
        pass
    inputs, came_N = trainer.task.held_out(np.random.default_rng(0), PLACES)
    x_ND = trainer.embed(inputs).astype(np.float64)
    h_NEF = np.einsum("nd,edf->nef", x_ND, trainer.layer.params["w_gate_up_ED2F"], optimize=True)
    gate_NEF, up_NEF = np.split(h_NEF, 2, axis=2)
    h_NEF = gate_NEF / (1 + np.exp(-gate_NEF)) * up_NEF
    results = np.einsum("nef,efd->ned", h_NEF, trainer.layer.params["w_down_EFD"], optimize=True)
    return Held(trainer, x_ND, x_ND @ trainer.layer.params["gate_DE"], came_N, results)


@cache
def price(freeze: str, seed: int) -> float:
    """How much the loss grows if each token's best expert is one that it did not choose."""
    one = held(freeze, seed)
    order_NE = np.argsort(-one.logits_NE, axis=1, kind="stable")
    weight_N2 = make_scores(np.take_along_axis(one.logits_NE, order_NE[:, :2], axis=1), "softmax")

    def loss(rank: int) -> float:
        return mean_loss(one.out(order_NE[:, [rank, 1]], weight_N2), one.came_N)

    return float(np.mean([loss(rank) for rank in range(2, EXPERTS)])) - loss(0)


def _mean_price(freeze: str) -> float:
    return float(np.mean([price(freeze, seed) for seed in SEEDS]))


def jumps(seed: int) -> np.ndarray:
    """Size of the loss's jump where the third-best expert takes the second's place, (N,)."""
    one = held("none", seed)
    order_NE = np.argsort(-one.logits_NE, axis=1, kind="stable")
    # At the jump both have the second's logit, and so both have its weight.
    weight_N2 = make_scores(np.take_along_axis(one.logits_NE, order_NE[:, :2], axis=1), "softmax")
    before_NV, after_NV = (one.out(order_NE[:, [0, rank]], weight_N2) for rank in (1, 2))
    return np.abs(_losses(after_NV, one.came_N) - _losses(before_NV, one.came_N))


def _losses(out_NV: np.ndarray, came_N: np.ndarray) -> np.ndarray:
    return -np.log(make_scores(out_NV, "softmax")[np.arange(len(came_N)), came_N])


@dataclass(frozen=True)
class Sweep:
    """One token while the logit of its third-best expert moves.

    Attributes
    ----------
    logit_P
        Where it stands.
    weight_PC
        Weights of the best, the second best and the one that moves.
    loss_P, slope_P
        The token's loss, and what `backward` says of it at the moved logit.
    flip
        The second best's logit, where the moved one gets in.
    """

    logit_P: np.ndarray
    weight_PC: np.ndarray
    loss_P: np.ndarray
    slope_P: np.ndarray
    flip: float


@cache
def sweep(seed: int, token: int = 0) -> Sweep:
    """Move the logit, choose anew, and trace the loss back."""
    one = held("none", seed)
    three = np.argsort(-one.logits_NE[token], kind="stable")[:3]
    flip = float(one.logits_NE[token, three[1]])
    logit_P = flip + np.linspace(-REACH, REACH, POINTS + 1)[:-1] + REACH / POINTS
    logits_PE = np.repeat(one.logits_NE[token][None], POINTS, axis=0)
    logits_PE[:, three[2]] = logit_P
    router = one.trainer.layer.router
    routing = router.choose(logits_PE)
    expert_P2, weight_P2 = routing.expert_A.reshape(-1, 2), routing.weight_A.reshape(-1, 2)
    results_P2D = one.results_NED[token][expert_P2]
    y_PD = (weight_P2[..., None] * results_P2D).sum(axis=1)
    out_DV = one.trainer.params["out_DV"].astype(np.float64)
    chance_PV = make_scores((one.x_ND[token] + y_PD) @ out_DV, "softmax")
    came = int(one.came_N[token])
    loss_P = -np.log(chance_PV[:, came])
    chance_PV[:, came] -= 1  # now the gradient at the outputs
    dweight_P2 = np.einsum("pkd,pd->pk", results_P2D, chance_PV @ out_DV.T)
    slope_P = router.backward(routing, dweight_P2.reshape(-1))[:, three[2]]
    return Sweep(logit_P, routing.combine()[:, three], loss_P, slope_P, flip)


# Questions ---------------------------------------------------------------------------------------


def _entry(rng: np.random.Generator) -> Values:
    first = float(rng.integers(15, 90)) / 100
    slopes = rng.choice([-1, 1], 2) * rng.integers(2, 30, 2) / 10
    return {"weights": [first, round(1 - first, 2)], "slopes": slopes.tolist()}


def _other(rng: np.random.Generator) -> Values:
    return {"first": float(rng.choice([-1, 1]) * rng.integers(5, 60)) / 100}


def _alone(rng: np.random.Generator) -> Values:
    return {
        "chance": float(rng.integers(20, 80)) / 100,
        "slope": float(rng.choice([-1, 1]) * rng.integers(3, 20)) / 10,
    }


def _both(v: Values) -> tuple[float, float, float, float]:
    """The weights w and 1 - w, and the slopes a and b."""
    (first, second), (a, b) = v["weights"], v["slopes"]
    return first, second, a, b


def _right(v: Values) -> float:
    first, second, a, b = _both(v)
    return first * second * (a - b)


QUESTIONS = {
    "logits": Question(
        form=lambda v: 2,
        tolerance=0.4,
        why="The two that were chosen: their weights change smoothly with their logits.",
        slips=(
            Slip("none", lambda v: 0,
                 "So it would be if only *who* is chosen mattered. How much the chosen ones count "
                 "matters too, and that is smooth."),
            Slip("all", lambda v: 6,
                 "Softmax over all six would do that. Here it is over the two chosen ones: what "
                 "the other four have cancels in the division."),
            Slip("rest", lambda v: 4, "Those are the ones that get nothing."),
            Slip("winner", lambda v: 1,
                 "The second one counts too. The two weights sum to 1, so both logits matter."),
        ),
    ),
    "entry": Question(
        draw=_entry,
        form=_right,
        tolerance=0.006,
        why="The product of both weights, times the difference of the slopes.",
        slips=(
            Slip("none", lambda v: 0,
                 "The choice has no derivative, but the weights of the chosen do."),
            Slip("own_slope", lambda v: v["slopes"][0],
                 "That is the gradient at the weight. Go on through softmax to the logit."),
            Slip("diagonal", lambda v: _both(v)[0] * _both(v)[1] * _both(v)[2],
                 "You left the second weight out: it falls as the first one rises, so its slope "
                 "counts too."),
            Slip("one_weight", lambda v: _both(v)[0] * (_both(v)[2] - _both(v)[3]),
                 "One factor is missing: softmax of two has the slope w (1 - w)."),
            Slip("sum", lambda v: _both(v)[0] * _both(v)[1] * (_both(v)[2] + _both(v)[3]),
                 "You added the slopes. What the first weight gains the second one loses, so they "
                 "are subtracted."),
            Slip("sign", lambda v: -_right(v),
                 "That is the second one's, or the direction in which training moves. The gradient "
                 "points to where the loss grows."),
        ),
    ),
    "other": Question(
        draw=_other,
        form=lambda v: -v["first"],
        tolerance=0.004,
        why="The opposite: only the difference of the two logits counts.",
        slips=(
            Slip("same", lambda v: v["first"],
                 "If both moved up together, their weights would stay as they are. So the two "
                 "gradients have to cancel."),
            Slip("none", lambda v: 0, "It was chosen too, and its weight changes as the first's."),
            Slip("rest_of_one", lambda v: 1 - v["first"],
                 "The *weights* sum to 1. The gradients sum to 0."),
        ),
    ),
    "alone": Question(
        draw=_alone,
        form=lambda v: 0,
        tolerance=0.02,
        why="The weight is 1 whatever the logit is. Such a gate cannot learn.",
        slips=(
            Slip("undivided", lambda v: v["chance"] * (1 - v["chance"]) * v["slope"],
                 "So it is without the division, as in the Switch Transformer. Divided by itself, "
                 "the weight is always 1."),
            Slip("slope", lambda v: v["slope"],
                 "That is the gradient at the weight. Does this weight move with its logit?"),
            Slip("times_chance", lambda v: v["chance"] * v["slope"],
                 "A chance divided by itself is 1. It doesn't depend on the logit any more."),
        ),
    ),
    "price": Question(
        form=lambda v: 100 * _mean_price("experts") / _mean_price("gate"),
        tolerance=10,
        unit="%",
        why="A fraction of it. What makes a choice good is mostly that the expert adapted.",
        slips=(
            Slip("as_high", lambda v: 100,
                 "Then finding and adapting would be worth the same. Run the next block."),
            Slip("higher", lambda v: 200,
                 "So says the usual explanation: the gate's learning is what makes choices good. "
                 "Run the next block."),
            Slip("half", lambda v: 50,
                 "Less than that: the gate's learning alone is worth little here. Run the next "
                 "block."),
            Slip("nothing", lambda v: 0,
                 "Nearly. A little is left, even if nobody learns but the tables around the "
                 "layer."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def _moved(title: str | None) -> alt.X:
    axis = alt.Axis(title=title, grid=False, tickCount=6)
    return alt.X("logit:Q", axis=axis, scale=alt.Scale(zero=False, nice=False))


def _weights(one: Sweep) -> Figure:
    colours = {BEST: BLUE, SECOND: SLATE, MOVED: VERMILION}
    rows: Rows = [
        {"logit": float(logit), "weight": float(weight), "expert": name,
         "side": "right" if logit > one.flip else "left"}
        for name, weight_P in zip(colours, one.weight_PC.T, strict=True)
        for logit, weight in zip(one.logit_P, weight_P, strict=True)
    ]  # fmt: skip
    lines = draw("weights").mark_line(strokeWidth=2).encode(
        x=_moved(None),
        y=alt.Y("weight:Q", axis=alt.Axis(title="weight", tickCount=4)),
        color=keyed(alt.Color, "expert:N", colours, line_key()),
        strokeDash=keyed(alt.StrokeDash, "expert:N", looks(colours, DASHES), line_key()),
        detail="side:N",
    )  # fmt: skip
    chart = alt.LayerChart(layer=[goal("flip", FAIR, x="flip:Q"), lines]).properties(height=150)
    ends = {
        name: f"from {weight_P[0]:.2f} to {weight_P[-1]:.2f}"
        for name, weight_P in zip(colours, one.weight_PC.T, strict=True)
    }
    return Figure(
        "Weights of three experts",
        Drawing(chart),
        f"Weights while a logit moves by {2 * REACH:g}: {BEST} {ends[BEST]}, {SECOND} "
        f"{ends[SECOND]}, {MOVED} {ends[MOVED]}.",
        {"weights": rows, "flip": [{"flip": one.flip}]},
    )


def _loss(one: Sweep) -> Figure:
    rows: Rows = [
        {"logit": float(logit), "loss": float(loss),
         "side": "right" if logit > one.flip else "left"}
        for logit, loss in zip(one.logit_P, one.loss_P, strict=True)
    ]  # fmt: skip
    at_P = np.linspace(0, POINTS - 1, 2 * SLOPES + 1).astype(int)[1::2]
    strokes: Rows = [
        {
            "logit": float(one.logit_P[at] - HALF), "to": float(one.logit_P[at] + HALF),
            "loss": float(one.loss_P[at] - HALF * one.slope_P[at]),
            "loss_to": float(one.loss_P[at] + HALF * one.slope_P[at]),
        }
        for at in at_P
    ]  # fmt: skip
    y = alt.Y("loss:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title="loss", tickCount=4))
    line = draw("losses").mark_line(strokeWidth=2, color=TEAL)
    line = line.encode(x=_moved("logit of the one that moves"), y=y, detail="side:N")
    slopes = draw("slopes").mark_rule(strokeWidth=5, opacity=0.55, color=VERMILION)
    slopes = slopes.encode(x="logit:Q", x2="to:Q", y=y, y2="loss_to:Q")
    layers = [goal("flip", FAIR, x="flip:Q"), line, slopes]
    return Figure(
        "The token's loss, with slopes from backward",
        Drawing(alt.LayerChart(layer=layers).properties(height=150)),
        f"The token's loss: {one.loss_P[0]:.3f} on the left, where it is flat, "
        f"{one.loss_P[one.logit_P > one.flip][0]:.3f} right of the dashed line, and "
        f"{one.loss_P[-1]:.3f} at the end. {SLOPES} strokes lie along it.",
        {"losses": rows, "slopes": strokes, "flip": [{"flip": one.flip}]},
    )


def jump() -> Picture:
    """Draw weights and loss of one token while one logit moves."""
    one = sweep(0)
    after = one.logit_P > one.flip
    both = [_weights(one), _loss(one)]
    typical = float(np.median(np.concatenate([jumps(seed) for seed in SEEDS])))
    return Picture(
        sheet("A derivative that is exact, and blind to the jump", both, stacked(both, WIDTH - 80)),
        {
            "weight": f"{one.weight_PC[after, 2][0]:.2f}",
            "jump": f"{one.loss_P[after][0] - one.loss_P[~after][-1]:+.2f}",
            "tokens": PLACES, "seeds": len(SEEDS), "typical": f"{typical:.2f}",
        },
    )  # fmt: skip


FIGURES = {"jump": jump}
