"""Questions and figure of lesson 6: what each cure does to the load, and to the loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import altair as alt
import numpy as np

from ...metrics import max_vio
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import key, keyed, looks
from ...pictures.palette import BLUE, MAUVE, SHAPES, SLATE, TEAL, VERMILION
from ...training import Trainer, TrainSettings
from ...training.runs import LAST
from ..picture import Picture
from ..question import Question, Slip, Values
from ..trained import SEEDS

EXPERTS, K, EVEN, PLACES = 16, 2, 64, 1024
NONE, GENTLE, STRONG, SLOW, FAST = (
    "no cure", "second loss, 1", "second loss, 30", "bias, 0.01", "bias, 0.1",
)  # fmt: skip
CURES: dict[str, tuple[str, float | None]] = {
    NONE: ("none", None), GENTLE: ("aux", 1.0), STRONG: ("aux", 30.0), SLOW: ("bias", 0.01),
    FAST: ("bias", 0.1),
}  # fmt: skip


# What is measured --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cured:
    """The end of a run: how uneven, how wrong, and how many choices are not the token's own."""

    max_vio: float
    loss: float
    moved: float


@cache
def cured(cure: str, seed: int) -> Cured:
    """Train with a cure, and look at the end."""
    balance, rate = CURES[cure]
    trainer = Trainer(
        TrainSettings(
            d_model=32, d_expert=32, n_experts=EXPERTS, k=K, steps=80, batch=256,
            balance=balance, balance_rate=rate, seed=seed,
        )
    )  # fmt: skip
    records = list(trainer.run())
    x_ND = trainer.embed(trainer.task.held_out(np.random.default_rng(0), PLACES)[0])
    chosen_NK = trainer.layer.route(x_ND).expert_A.reshape(-1, K)
    own_NK = np.argsort(-(x_ND @ trainer.layer.params["gate_DE"]), axis=1)[:, :K]
    own = (chosen_NK[:, :, None] == own_NK[:, None, :]).any(axis=2).mean()
    end = np.mean([max_vio(record.proposed) for record in records[-LAST:]])
    return Cured(float(end), trainer.evaluate(PLACES), 1 - float(own))


def _mean(cure: str, measure: str) -> float:
    return float(np.mean([getattr(cured(cure, seed), measure) for seed in SEEDS]))


def _price(cure: str) -> float:
    return _mean(cure, "loss") - _mean(NONE, "loss")


# Questions ---------------------------------------------------------------------------------------


def _step(rng: np.random.Generator) -> Values:
    loads = rng.multinomial(40, rng.dirichlet(np.full(4, 2.0))).tolist()
    return {
        "loads": loads,
        "rate": float(rng.choice([0.01, 0.02, 0.05])),
        "bias": float(rng.choice([-1, 1]) * rng.integers(6, 40)) / 100,
    }


def _error(v: Values) -> float:
    """By how much the first load is below the mean."""
    return float(np.mean(v["loads"]) - v["loads"][0])


def _new_bias(v: Values) -> float:
    return float(v["bias"] + v["rate"] * np.sign(_error(v)))


def _table(rng: np.random.Generator) -> Values:
    counts = rng.multinomial(20, rng.dirichlet(np.full(4, 2.0))).tolist()
    chances = rng.multinomial(20, rng.dirichlet(np.full(4, 2.0))) / 20
    return {"counts": counts, "means": chances.round(2).tolist()}


def _product(v: Values, power: int = 1) -> float:
    share_E = np.array(v["counts"]) / sum(v["counts"])
    return float(4 * (share_E**power * np.array(v["means"])).sum())


QUESTIONS = {
    "mended": Question(
        form=lambda v: _mean(SLOW, "max_vio"),
        tolerance=0.3,
        why="Near 1: the busiest has about two fair shares. It never gets quite even.",
        slips=(
            Slip("perfect", lambda v: 0,
                 "That would be the same load for all, in every batch. Even choices by chance "
                 "are not that even, and the bias always moves by its full step."),
            Slip("as_before", lambda v: _mean(NONE, "max_vio"),
                 "So it is without the cure. A hundredth is small, but chances are near 1/16 "
                 "here, and the steps add up."),
            Slip("half", lambda v: _mean(NONE, "max_vio") / 2,
                 "It does more than halve it. Run the block below."),
        ),
    ),
    "step": Question(
        draw=_step,
        form=_new_bias,
        tolerance=0.002,
        why="One step of the rate: down if it had more than the mean load, up if less.",
        slips=(
            Slip("wrong_way", lambda v: float(v["bias"] - v["rate"] * np.sign(_error(v))),
                 "That sends still more to whoever has most. A crowded expert's bias goes down."),
            Slip("by_size", lambda v: v["bias"] + v["rate"] * _error(v),
                 "You multiplied by how far the load is from the mean. Only the sign counts here."),
            Slip("relative", lambda v: v["bias"] + v["rate"] * _error(v) / np.mean(v["loads"]),
                 "That is the proportional form of the cure. In the common one only the sign "
                 "counts."),
            Slip("replaced", lambda v: float(v["rate"] * np.sign(_error(v))),
                 "You replaced the old bias. The step is added to it."),
            Slip("unmoved", lambda v: v["bias"],
                 "It would stay only if the load were exactly the mean."),
        ),
    ),
    "even": Question(
        form=lambda v: 1,
        tolerance=0.003,
        why="64 times the sum of 64 products 1/64 times 1/64. The E makes it 1 for any pool.",
        slips=(
            Slip("without_e", lambda v: 1 / EVEN,
                 "That is the sum alone. The factor E is there so that an even load is worth 1."),
            Slip("zero", lambda v: 0,
                 "It is no measure of unevenness that ends at 0: an even load is worth 1."),
            Slip("sums_to_k", lambda v: 2,
                 "So it is where f sums to k = 2. Here f is a share of all choices and sums to 1."),
            Slip("many", lambda v: EVEN, "You summed P alone. Each P is multiplied by its f."),
        ),
    ),
    "loss": Question(
        draw=_table,
        form=_product,
        tolerance=0.01,
        why="Four times the sum of the products of shares and mean chances.",
        slips=(
            Slip("without_e", lambda v: _product(v) / 4,
                 "The factor E is missing, the number of experts."),
            Slip("sums_to_k", lambda v: 2 * _product(v),
                 "Your f sums to k. Here it is a share of all choices, and sums to 1."),
            Slip("counts", lambda v: 20 * _product(v),
                 "You took the counts themselves. Divide them by their sum first."),
            Slip("squared", lambda v: _product(v, 2),
                 "You squared f. It is multiplied by P, and each of the two "
                 "counts once."),
            Slip("shares_only", lambda v: float(
                    4 * ((np.array(v["counts"]) / sum(v["counts"])) ** 2).sum()),
                 "You multiplied f by itself. The second factor is P, which has a gradient."),
        ),
    ),
    "price": Question(
        form=lambda v: _price(FAST),
        tolerance=0.03,
        why="It costs, though it has no gradient: it sends tokens to and fro.",
        slips=(
            Slip("free", lambda v: 0,
                 "So says the usual explanation: no gradient, no price. Run the next block."),
            Slip("better", lambda v: -_price(FAST),
                 "An even load does help a little. This one does not get even. Run the next "
                 "block."),
            Slip("ruined", lambda v: 1, "It is not that bad. Run the next block."),
        ),
    ),
    "moved": Question(
        form=lambda v: 100 * _mean(SLOW, "moved"),
        tolerance=4,
        unit="%",
        why="A large part: to mend a load this uneven, many have to go elsewhere.",
        slips=(
            Slip("none", lambda v: 0,
                 "Then the bias would do nothing. It works only by changing choices."),
            Slip("few", lambda v: 10,
                 "More. Most tokens want the same few experts, and those have no room for them."),
            Slip("all", lambda v: 100,
                 "Many tokens still get what they want: the bias is no larger than it must be."),
            Slip("most", lambda v: 75, "Not that many: those who fit may stay."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def plane() -> Picture:
    """Draw each run as a mark: how uneven its load ends, and its loss."""
    colours = dict(zip(CURES, (SLATE, BLUE, MAUVE, TEAL, VERMILION), strict=True))
    rows: Rows = [
        {"cure": cure, "seed": seed, "max_vio": cured(cure, seed).max_vio,
         "loss": cured(cure, seed).loss}
        for cure in CURES
        for seed in SEEDS
    ]  # fmt: skip
    chart = draw("runs").mark_point(filled=True, size=90, opacity=0.9).encode(
        x=alt.X("max_vio:Q", axis=alt.Axis(title="MaxVio at the end", tickCount=6)),
        y=alt.Y("loss:Q", scale=alt.Scale(zero=False, padding=12),
                axis=alt.Axis(title="loss on unseen text", tickCount=5)),
        color=keyed(alt.Color, "cure:N", colours, key(columns=3)),
        shape=keyed(alt.Shape, "cure:N", looks(colours, SHAPES), key(columns=3)),
        tooltip=["cure:N", "seed:O", alt.Tooltip("max_vio:Q", format=".2f"),
                 alt.Tooltip("loss:Q", format=".3f")],
    ).properties(height=260)  # fmt: skip
    told = "; ".join(
        f"{cure}: MaxVio {_mean(cure, 'max_vio'):.2f}, loss {_mean(cure, 'loss'):.3f}"
        for cure in CURES
    )
    figure = Figure(
        "Too strong a cure costs, of either kind",
        Drawing(chart),
        f"{len(rows)} marks, {len(SEEDS)} for each cure. Means: {told}.",
        {"runs": rows},
    )
    return Picture(
        figure,
        {
            "seeds": len(SEEDS), "gentle": f"{_price(GENTLE):+.3f}",
            "strong": f"{_price(STRONG):+.3f}", "slow": f"{_price(SLOW):+.3f}",
            "fast": f"{_price(FAST):+.3f}", "fast_vio": f"{_mean(FAST, 'max_vio'):.1f}",
        },
    )  # fmt: skip


FIGURES = {"plane": plane}
