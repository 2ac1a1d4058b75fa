"""Two training runs on the same seed, side by side: what balancing changes and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from ...data import TextTask
from ...training import TrainSettings
from ...training.runs import Run, RunSummary, method_words

EVEN, SAME_LOSS = 0.1, 0.003  # differences (MaxVio, share of the loss) that count as none


def setup_words(a: TrainSettings, b: TrainSettings, own_text: bool = False) -> str:
    """What both runs learn and how they differ, in words that hold before either has begun."""
    learn = "guess the next character"
    if own_text:
        learn += " of your own text"
    elif a.task != TextTask.name:
        learn = f"place points of the plane (the task {a.task!r})"
    return (
        f"Two small models learn to {learn}, from the same seed and the same data. "
        f"A: {method_words(a)}. B: {method_words(b)}."
    )


@dataclass(frozen=True)
class Guess:
    """A guess and the truth, both as shares; `gap` is the truth less the guess, in points."""

    guess: float
    truth: float
    gap: float
    verdict: str


def judge_guess(guess_percent: float, summary: RunSummary) -> Guess:
    """Compare a guess of the hottest expert's share, in percent, with what happened."""
    gap = 100 * summary.hottest_share - guess_percent
    if abs(gap) <= 3:
        verdict = "Spot on."
    elif gap > 0:
        verdict = "It took more than you expected."
    else:
        verdict = "It took less than you expected."
    return Guess(guess_percent / 100, summary.hottest_share, gap, verdict)


@dataclass(frozen=True)
class Comparison:
    """How two runs ended: rows of formatted numbers, and what these say in words."""

    rows: list[dict[str, str]]
    words: str


def compare(run_a: Run, run_b: Run) -> Comparison:
    """Compare which of two runs is more even and which predicts better."""
    a, b = run_a.summary(), run_b.summary()
    numbers: dict[str, tuple[float, float, str]] = {
        "Busiest expert's share of the work": (a.hottest_share, b.hottest_share, ".1%"),
        "Fair share": (a.fair_share, b.fair_share, ".1%"),
        "MaxVio: busiest expert above the fair share, in fair shares": (
            a.max_vio,
            b.max_vio,
            ".2f",
        ),
        "CV: spread of the loads over their mean": (a.cv, b.cv, ".2f"),
        "Idle experts in the last step": (a.dead, b.dead, "d"),
        "Dropped share of the assignments": (a.dropped, b.dropped, ".1%"),
        "Loss while training": (a.loss, b.loss, ".3f"),
        "Loss on held-out data": (a.held_out_loss, b.held_out_loss, ".3f"),
    }
    rows = [
        {"": text, "A": format(left, spec), "B": format(right, spec)}
        for text, (left, right, spec) in numbers.items()
    ]
    return Comparison(rows, f"{_judge_balance(a, b)} {_judge_loss(a, b)}")


def _judge_balance(a: RunSummary, b: RunSummary) -> str:
    if abs(a.max_vio - b.max_vio) <= EVEN:
        return f"Both are about equally even: MaxVio {a.max_vio:.2f} in A, {b.max_vio:.2f} in B."
    winner, best, other, worst = ("B", b, "A", a) if b.max_vio < a.max_vio else ("A", a, "B", b)
    idle = f" and left {worst.dead} idle" if worst.dead > best.dead else ""
    return (
        f"{winner} spread the work more evenly: its busiest expert had {1 + best.max_vio:.1f} "
        f"times the fair share; {other}'s had {1 + worst.max_vio:.1f} times{idle}."
    )


def _judge_loss(a: RunSummary, b: RunSummary) -> str:
    both = f"(held-out loss: A {a.held_out_loss:.3f}, B {b.held_out_loss:.3f}; lower is better)"
    if abs(a.held_out_loss - b.held_out_loss) <= SAME_LOSS * max(a.held_out_loss, b.held_out_loss):
        return f"They predict about equally well {both}."
    winner = "A" if a.held_out_loss < b.held_out_loss else "B"
    return f"{winner} predicts better {both}."
