"""Two training runs on the same seed, side by side: what balancing changes and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...balance import BALANCERS, balancer_title
from ...balance.bias import BiasControl
from ...balance.none import NoBalance
from ...data import TextTask
from ...routers import ROUTERS
from ...training import TrainSettings
from ...training.runs import Run, RunSummary, unusual_words
from ..shared.question import Question, closest
from ..shared.titles import TASK_TITLES

# What both runs of a first visit share, and the balancing of each.
FIRST = TrainSettings(steps=300, n_experts=16, k=2, seed=0)
FIRST_BALANCING = {"a": NoBalance.name, "b": BiasControl.name}
EVEN, SAME_LOSS = 0.1, 0.003  # differences (MaxVio, share of the loss) that count as none


def first_runs() -> tuple[TrainSettings, TrainSettings]:
    """Settings of the two runs that a first visit shows."""
    a, b = (
        replace(FIRST, balance=name, balance_rate=BALANCERS[name].short_run_rate)
        if BALANCERS[name].rate_name
        else replace(FIRST, balance=name)
        for name in FIRST_BALANCING.values()
    )
    return a, b


def setup_words(a: TrainSettings, b: TrainSettings, own_text: bool = False) -> str:
    """What both runs learn and how they differ, in words that hold before either has begun."""
    learn = "guess the next character"
    if own_text:
        learn += " of your own text"
    elif a.task != TextTask.name:
        learn = f"solve the task “{TASK_TITLES[a.task]}”"
    return f"Two small models learn to {learn}. In A {_method(a)}; in B {_method(b)}."


def _method(settings: TrainSettings) -> str:
    """What a run does about its load, and what else is unusual about it."""
    keeps = "nothing evens out the work"
    if settings.balance != NoBalance.name:
        keeps = f"a rule does: {balancer_title(settings.balance)}"
    unusual = unusual_words(settings)
    return f"{keeps} ({unusual})" if unusual else keeps


MULTIPLES = {"x1": 1, "x2": 2, "x4": 4, "x8": 8}  # of the fair share, by the guess in the address
_TIMES = {"x1": "its fair share", "x2": "twice", "x4": "4 times", "x8": "8 times"}


def question(a: TrainSettings) -> Question:
    """Ask how much of the work the busiest expert of run A will do."""
    most = max(a.n_experts / a.k, MULTIPLES["x4"])
    options = {
        key: f"{times / a.n_experts:.0%} ({_TIMES[key]})"
        for key, times in MULTIPLES.items()
        if times <= most
    }
    return Question("How much of the work will A's busiest expert do in the end?", options)


def answer(run: Run, asked: Question) -> tuple[str, str]:
    """Name of the option that is nearest to what happened, and what happened in a sentence."""
    end = run.summary()
    times = end.hottest_share / end.fair_share
    values = {key: times_ for key, times_ in MULTIPLES.items() if key in asked.options}
    told = (
        f"A's busiest expert ended with {end.hottest_share:.0%} of the work, {times:.1f} times "
        "its fair share."
    )
    return closest(values, times), told


@dataclass(frozen=True)
class Comparison:
    """How two runs ended: rows of formatted numbers, and what these say in words."""

    rows: list[dict[str, str]]
    words: str


def compare(run_a: Run, run_b: Run) -> Comparison:
    """Compare which of two runs is more even and which guesses better."""
    a, b = run_a.summary(), run_b.summary()
    numbers: dict[str, tuple[float, float, str]] = {
        "Busiest expert's share of the work": (a.hottest_share, b.hottest_share, ".1%"),
        "Fair share": (a.fair_share, b.fair_share, ".1%"),
        "MaxVio: busiest expert above its fair share, in fair shares": (
            a.max_vio, b.max_vio, ".2f",
        ),
        "CV: spread of the experts' work over its mean": (a.cv, b.cv, ".2f"),
        "Idle experts in the last step": (a.dead, b.dead, "d"),
        "Share of the work that found its expert full": (a.dropped, b.dropped, ".1%"),
        "Loss while training": (a.loss, b.loss, ".3f"),
        "Loss on new data": (a.held_out_loss, b.held_out_loss, ".3f"),
    }  # fmt: skip
    rows = [
        {"": text, "A": format(left, spec), "B": format(right, spec)}
        for text, (left, right, spec) in numbers.items()
    ]
    return Comparison(rows, f"{_judge_balance(a, b)} {_judge_loss(a, b)}")


def _judge_balance(a: RunSummary, b: RunSummary) -> str:
    if abs(a.max_vio - b.max_vio) <= EVEN:
        return (
            "Both spread the work about equally: the busiest expert had "
            f"{1 + a.max_vio:.1f} times its fair share in A, {1 + b.max_vio:.1f} in B."
        )
    winner, best, other, worst = ("B", b, "A", a) if b.max_vio < a.max_vio else ("A", a, "B", b)
    idle = f", and {worst.dead} of its experts did nothing" if worst.dead > best.dead else ""
    return (
        f"{winner} spread the work more evenly: its busiest expert had {1 + best.max_vio:.1f} "
        f"times its fair share; {other}'s had {1 + worst.max_vio:.1f} times{idle}."
    )


def _judge_loss(a: RunSummary, b: RunSummary) -> str:
    both = f"(loss on new data: A {a.held_out_loss:.3f}, B {b.held_out_loss:.3f}; lower is better)"
    if abs(a.held_out_loss - b.held_out_loss) <= SAME_LOSS * max(a.held_out_loss, b.held_out_loss):
        return f"They guess about equally well {both}."
    winner = "A" if a.held_out_loss < b.held_out_loss else "B"
    return f"{winner} guesses better {both}."


def measures(run_a: Run, run_b: Run) -> list[str]:
    """Name the numbers that the page draws over the steps; the loss is in the film."""
    turned_away = any(record.dropped for run in (run_a, run_b) for record in run.records)
    return ["max_vio", "dead", *["dropped"] * turned_away]


def play_run(settings: TrainSettings) -> str:
    """Name a run like this one as the page *Play* does in its address, with what it allows."""
    experts = min((8, 16, 32, 64), key=lambda n: abs(n - settings.n_experts))
    k = min((1, 2, 4), key=lambda n: abs(n - settings.k))
    return f"{experts}-{settings.seed}_0k{k}"


def sources(settings: Iterable[TrainSettings]) -> str:
    """Where the methods of these runs come from."""
    methods = [m for s in settings for m in (BALANCERS[s.balance], ROUTERS[s.router])]
    named = {method.title: method.source for method in methods}
    return " · ".join(f"{title}: {source}" for title, source in named.items())


def why(runs: Mapping[str, Run]) -> str:
    """Why the work of a run went to a few experts; empty if it did in none."""
    names = [name for name, run in runs.items() if run.collapsed()]
    if not names:
        return ""
    return (
        f"**Why?** In {' and '.join(names)} the model comes to give all characters something in "
        "common, which its router takes for a bonus for the same few experts. Those get the work, "
        "so they learn, so they are chosen again, while others fall idle."
    )
