"""Questions and figure of the lesson on rewards: thinking that pays is selected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np

from ...lm.model import LanguageModel
from ...lm.optimizers import make_optimizer
from ...lm.reinforce import imitate, learn
from ...lm.rollouts import Written, roll_out
from ...lm.settings import LMTrainSettings
from ...lm.tasks import SIGNS, TASKS
from ...optim import Adam
from ...pictures.figure import Drawing, Figure, Rows, draw
from ...pictures.marks import goal, keyed, line_key, looks, percent_axis
from ...pictures.palette import BLUE, DASHES, FAIR, MAUVE, TEAL, VERMILION
from ..picture import Picture
from ..question import Question, Slip, Values
from ..recorded import recorded

TASK = TASKS["mod5"]
SIZES = LMTrainSettings(
    n_vocab=len(SIGNS), context=32, n_layers=1, n_experts=0, d_dense=128, optimizer="muon",
    learning_rate=5e-3,
)  # fmt: skip
COLD, WEAK, ROUNDS = 800, 50, 12  # steps at most, steps of the weak start, rounds of rewards
ENOUGH, LOOKS = 0.8, 50  # of those that think, how many must be right; steps between two looks
PROBLEMS, TIMES, SHOWN = 24, 16, 96
RATE = 2e-3
CHANCE = THINKING = 0.2  # of five digits; and of shown answers, how many think
RIGHT, THINKS, LENGTH = "right", "thinks", "length"
IF_THINKS, IF_NOT = "if_thinks", "if_not"
LINES = {
    RIGHT: "right", THINKS: "think", IF_THINKS: "right, of those that think",
}  # fmt: skip


# What is measured --------------------------------------------------------------------------------


def show_answers(most: int, seed: int) -> tuple[LanguageModel, int]:
    """Show a policy right answers, until those that think are mostly right; and the steps."""
    policy, rng = LanguageModel.init(SIZES.model, seed), np.random.default_rng(seed)
    optimizer = make_optimizer(SIZES, policy.arrays())
    for step in range(1, most + 1):
        shown = TASK.draw(rng, SHOWN)
        imitate(policy, optimizer, Written(shown, TASK.demonstrate(shown, rng, THINKING)))
        if step % LOOKS == 0 and look(policy)[IF_THINKS] > ENOUGH:
            break
    return policy, step


def look(policy: LanguageModel) -> dict[str, float]:
    """What a policy does with held-out problems, its likeliest signs and drawn ones."""
    exam, rng = TASK.examination(500), np.random.default_rng(1)
    surest = roll_out(policy, TASK, exam, rng, temperature=0.0)
    drawn = roll_out(policy, TASK, exam, rng)
    thinks_B, right_B = drawn.scratch_B > 0, drawn.reward_B
    return {
        RIGHT: float(surest.reward_B.mean()),
        THINKS: float(thinks_B.mean()),
        LENGTH: float(drawn.length_B.mean()),
        IF_THINKS: float(right_B[thinks_B].mean()) if thinks_B.any() else 0.0,
        IF_NOT: float(right_B[~thinks_B].mean()) if not thinks_B.all() else 0.0,
    }


def rewarded(policy: LanguageModel, seed: int) -> Iterator[dict[str, float]]:
    """Look at a policy before the rewards and after each round of them."""
    rng, optimizer = np.random.default_rng(seed), Adam(RATE, beta2=0.95)
    yield look(policy)
    for _ in range(ROUNDS):
        rolled = roll_out(policy, TASK, TASK.draw(rng, PROBLEMS), rng, TIMES)
        learn(policy, optimizer, rolled)
        yield look(policy)


def measure(seed: int) -> dict[str, Any]:
    """Rounds of rewards from the lesson's start, and from one that is too weak."""
    policy, steps = show_answers(COLD, seed)
    weak, _ = show_answers(WEAK, seed)
    return {
        "seed": seed,
        "steps": steps,
        "rounds": list(rewarded(policy, seed)),
        "weak": list(rewarded(weak, seed)),
    }


def mean(figure: str, at: int, start: str = "rounds") -> float:
    """A figure after so many rounds, mean over the seeds."""
    return float(np.mean([run[start][at][figure] for run in recorded("thinking")]))


def _mixture() -> float:
    """Right answers in percent, if those that are shown are copied and drawn."""
    return 100 * (THINKING * mean(IF_THINKS, 0) + (1 - THINKING) * CHANCE)


# Questions ---------------------------------------------------------------------------------------


def _group(rng: np.random.Generator) -> Values:
    n = int(rng.integers(8, 25))
    return {"n": n, "right": int(rng.integers(1, n))}


def _share(v: Values) -> float:
    return float(v["right"] / v["n"])


def _spread(v: Values) -> float:
    return float(np.sqrt(_share(v) * (1 - _share(v))))


def _shares(rng: np.random.Generator) -> Values:
    return {
        "good": int(rng.integers(70, 98)), "bad": int(rng.integers(10, 30)),
        "share": int(rng.integers(60, 96)),
    }  # fmt: skip


def _selected(v: Values) -> float:
    return float((v["share"] * v["good"] + (100 - v["share"]) * v["bad"]) / 100)


def _luck(rng: np.random.Generator) -> Values:
    return {"chance": int(rng.integers(5, 31)), "n": int(rng.integers(3, 17))}


def _silent(v: Values) -> tuple[float, float]:
    chance = v["chance"] / 100
    return 100 * (1 - chance) ** v["n"], 100 * chance ** v["n"]


QUESTIONS = {
    "after": Question(
        form=lambda v: 100 * mean(RIGHT, ROUNDS),
        tolerance=4,
        unit="%",
        why="Nearly all. The lesson shows where that comes from.",
        slips=(
            Slip("chance", lambda v: 100 * CHANCE,
                 "So it stays if it goes on to answer at once. But one answer in five was of "
                 "another kind."),
            Slip("mixture", lambda v: _mixture(),
                 "That is the mixture as it was shown, if answers are drawn. Rewards change the "
                 "mixture."),
            Slip("half", lambda v: 60,
                 "Half of the way is a fair guess. Whatever pays is chosen more often in each "
                 "round, and that goes fast."),
        ),
    ),
    "advantage": Question(
        draw=_group,
        form=lambda v: (1 - _share(v)) / _spread(v),
        tolerance=0.02,
        why="The rarer a right answer, the more it counts.",
        slips=(
            Slip("not_divided", lambda v: 1 - _share(v),
                 "That is the reward less the mean. It is still to be divided by the spread."),
            Slip("wrong_one", lambda v: -_share(v) / _spread(v),
                 "That is the advantage of a wrong answer."),
            Slip("variance", lambda v: (1 - _share(v)) / _spread(v) ** 2,
                 "You divided by the variance. Its root is the spread."),
            Slip("mean_forgotten", lambda v: 1 / _spread(v),
                 "You forgot to take off the mean. Then a wrong answer would have an advantage of "
                 "zero, and would never become less likely."),
        ),
    ),
    "selection": Question(
        draw=_shares,
        form=lambda v: _selected(v),
        tolerance=0.4,
        unit="%",
        why="Each kind is right as often as before; there are other numbers of them.",
        slips=(
            Slip("others_forgotten", lambda v: v["share"] * v["good"] / 100,
                 "You left out those that do not think. Some of them are right, too, by luck."),
            Slip("all_think", lambda v: v["good"],
                 "So it would be if all of them thought."),
            Slip("swapped", lambda v: v["good"] + v["bad"] - _selected(v),
                 "You took the share that does *not* think for the one that does."),
            Slip("plain_mean", lambda v: (v["good"] + v["bad"]) / 2,
                 "That would be so with as many of one kind as of the other."),
        ),
    ),
    "weak": Question(
        form=lambda v: 100 * mean(RIGHT, ROUNDS, "weak"),
        tolerance=4,
        unit="%",
        why="Chance, still. There was nothing that paid.",
        slips=(
            Slip("as_before", lambda v: 100 * mean(RIGHT, ROUNDS),
                 "So it would be if rewards taught it to think. They can only choose among what it "
                 "does already."),
            Slip("half", lambda v: 60,
                 "Then digits in front would have to help a little. At this start, they do not "
                 "help at all."),
            Slip("nothing", lambda v: 0,
                 "Worse than chance? Whoever guesses among five digits is right one time in five."),
        ),
    ),
    "silent": Question(
        draw=_luck,
        form=lambda v: sum(_silent(v)),
        tolerance=0.0005,
        unit="%",
        why="All wrong, or, hardly ever, all right.",
        slips=(
            Slip("one_right", lambda v: 100 - sum(_silent(v)),
                 "That is how likely the group does teach something."),
            Slip("all_right", lambda v: _silent(v)[1],
                 "That is how likely all are right. All wrong teaches nothing, either."),
            Slip("one_answer", lambda v: 100 - v["chance"],
                 "That is how likely *one* answer is wrong. All {n} must be."),
        ),
    ),
}  # fmt: skip


# Figure ------------------------------------------------------------------------------------------


def over_rounds() -> Picture:
    """Draw what is right, what thinks and how right thinking is, over the rounds."""
    colours = dict(zip(LINES.values(), (BLUE, VERMILION, TEAL), strict=True))
    colours |= {"right, weak start": MAUVE}
    ends = range(ROUNDS + 1)
    rows: Rows = [
        {"what": words, "round": at, "value": mean(name, at)}
        for name, words in LINES.items()
        for at in ends
    ]
    rows += [
        {"what": "right, weak start", "round": at, "value": mean(RIGHT, at, "weak")} for at in ends
    ]
    drawn = draw("rounds").mark_line(strokeWidth=2, point=True).encode(
        x=alt.X("round:Q", axis=alt.Axis(title="rounds of rewards", grid=False, tickCount=6)),
        y=alt.Y("value:Q", axis=percent_axis(), scale=alt.Scale(domain=[0, 1])),
        color=keyed(alt.Color, "what:N", colours, line_key(columns=2)),
        strokeDash=keyed(alt.StrokeDash, "what:N", looks(colours, DASHES), line_key(columns=2)),
        tooltip=["what:N", "round:Q", alt.Tooltip("value:Q", format=".0%")],
    ).properties(height=190)  # fmt: skip
    told = "; ".join(
        f"{words} from {mean(name, 0):.0%} to {mean(name, ROUNDS):.0%}"
        for name, words in LINES.items()
    )
    figure = Figure(
        "Right answers and thinking rise together",
        Drawing(alt.LayerChart(layer=[goal("chance", FAIR, y="value:Q"), drawn])),
        f"Four lines over {ROUNDS} rounds of rewards, and a dashed one at chance, {CHANCE:.0%}. "
        f"{told}; right, weak start from {mean(RIGHT, 0, 'weak'):.0%} to "
        f"{mean(RIGHT, ROUNDS, 'weak'):.0%}.",
        {"rounds": rows, "chance": [{"value": CHANCE}]},
    )
    numbers = {"seeds": len(recorded("thinking"))} | {
        f"{name}_{when}": f"{mean(name, at):.1f}" if name == LENGTH else f"{mean(name, at):.0%}"
        for name in (RIGHT, THINKS, LENGTH)
        for when, at in (("before", 0), ("after", ROUNDS))
    }
    return Picture(figure, numbers)


FIGURES = {"rounds": over_rounds}
