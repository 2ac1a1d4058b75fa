"""What students with a teacher show, in words worked out from their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...studies.distilling import ALONE, LONGER, READ, TAUGHT, Distilled, Interval
from ..shared.question import Question

NAMES = {
    TAUGHT: "with the teacher", ALONE: "alone", LONGER: "alone, as long",
    READ: "on the teacher's text",
}  # fmt: skip
STEPS, SECONDS, WRITTEN = "equal steps", "equal seconds", "by its text"
QUESTION = Question(
    "A student learns from a teacher's chances instead of the text. After the same steps it is …",
    {
        "better": "better than one that learns alone",
        "same": "no better: there is nothing new in them",
        "worse": "worse: it copies the teacher's mistakes",
    },
)


@dataclass(frozen=True)
class Verdict:
    """Which option is right, and a sentence on what came out."""

    truth: str
    words: str


def gains(runs: Sequence[Distilled]) -> dict[str, list[float]]:
    """Bits per byte that the teacher saves, of each seed, by what it gives and how it is judged."""
    return {
        STEPS: [run.gain for run in runs], SECONDS: [run.gain_seconds for run in runs],
        WRITTEN: [run.gain_read for run in runs],
    }  # fmt: skip


def truth_of(interval: Interval) -> str:
    """Which option an interval of gains says: it has to leave zero out."""
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "same"


def interval_words(interval: Interval) -> str:
    """A gain with its interval; one that is a loss is told without its sign."""
    low, high = sorted((interval.low, interval.high), key=abs)
    if truth_of(interval) == "same":
        return (
            f"{interval.mean:+.3f} bits a letter (95% interval {interval.low:+.3f} to "
            f"{interval.high:+.3f})"
        )
    return (
        f"{abs(interval.mean):.3f} bits a letter (95% interval {abs(low):.3f} to {abs(high):.3f})"
    )


def judge(runs: Sequence[Distilled]) -> Verdict:
    """Compare students at equal steps."""
    gain = Interval.of([run.gain for run in runs])
    helped = sum(run.gain > 0 for run in runs)
    truth = truth_of(gain)
    saves = {
        "better": f"the teacher saves {interval_words(gain)}",
        "same": f"what the teacher saves cannot be told from nothing: {interval_words(gain)}",
        "worse": f"the teacher costs {interval_words(gain)}",
    }[truth]
    return Verdict(
        truth,
        f"After the same {runs[0].students[ALONE][-1].step} steps {saves}; it helps in {helped} of "
        f"{len(runs)} seeds.",
    )


def seconds_words(runs: Sequence[Distilled]) -> str:
    """What is left at equal seconds, with the teacher's passes counted."""
    gain = Interval.of([run.gain_seconds for run in runs])
    more = [run.students[LONGER][-1].step / run.students[ALONE][-1].step for run in runs]
    verdict = {
        "better": f"The teacher still pays: it saves {interval_words(gain)}",
        "same": f"Whether the teacher still pays cannot be told: {interval_words(gain)}",
        "worse": f"Then it is better to learn alone, by {interval_words(gain)}",
    }[truth_of(gain)]
    return (
        f"The teacher has to read, too. While it does, a student alone does {min(more):.1f} to "
        f"{max(more):.1f} times the steps. {verdict}. The teacher's own training, "
        f"{runs[0].teacher_seconds:.0f} seconds, is not counted."
    )


def text_words(runs: Sequence[Distilled]) -> str:
    """What the teacher's text does in place of its chances."""
    gain = Interval.of([run.gain_read for run in runs])
    verdict = {
        "better": f"here it saves {interval_words(gain)} beside the true text",
        "same": "here it cannot be told from the true text, which says as much and costs nothing: "
        f"{interval_words(gain)}",
        "worse": f"here it costs {interval_words(gain)} beside the true text",
    }[truth_of(gain)]
    return (
        "DeepSeek's small models were taught in another way: they read what R1 had written. A "
        f"student that reads what this teacher writes gets one letter at a time again; {verdict}. "
        "R1's text held what no other did, answers that were found by thinking; this one holds no "
        "more than the text that it is like."
    )


def teacher_words(runs: Sequence[Distilled]) -> str:
    """How good the teacher is itself."""
    best = min(run.students[TAUGHT][-1].bits for run in runs)
    return (
        f"The teacher, a model with experts, takes {runs[0].teacher_bits:.2f} bits for a letter of "
        f"new text; its best student, a small dense model, {best:.2f}. A letter of the text tells "
        "only what came next; the teacher's chances also tell what might have. That helps most at "
        "the beginning: in longer runs, which the documentation has (*Rewards, thinking and "
        "teachers*), the student alone catches up."
    )


def rows(runs: Sequence[Distilled]) -> list[dict[str, str]]:
    """Each seed as a row of a table."""
    return [
        {"Seed": str(run.seed)}
        | {
            f"Bits, {NAMES[name]}": f"{looks[-1].bits:.3f} ({looks[-1].step} steps, "
            f"{looks[-1].seconds:.1f} s)"
            for name, looks in run.students.items()
        }
        for run in runs
    ]
