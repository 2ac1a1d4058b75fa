"""What students with a teacher show, in words worked out from their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...studies.distilling import ALONE, LONGER, TAUGHT, Distilled, Interval
from ..shared.question import Question

NAMES = {TAUGHT: "with the teacher", ALONE: "alone", LONGER: "alone, as long by the clock"}
STEPS, SECONDS = "equal steps", "equal seconds"
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
    """Bits per byte that the teacher saves, of each seed, by how it is compared."""
    return {
        STEPS: [run.gain for run in runs], SECONDS: [run.gain_seconds for run in runs],
    }  # fmt: skip


def truth_of(interval: Interval) -> str:
    """Which option an interval of gains says: it has to leave zero out."""
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "same"


def interval_words(interval: Interval) -> str:
    """A gain with its interval."""
    return (
        f"{interval.mean:.3f} bits a letter (95% interval {interval.low:.3f} to "
        f"{interval.high:.3f})"
    )


def judge(runs: Sequence[Distilled]) -> Verdict:
    """Compare students at equal steps."""
    gain = Interval.of([run.gain for run in runs])
    helped = sum(run.gain > 0 for run in runs)
    return Verdict(
        truth_of(gain),
        f"After the same steps the teacher saves {interval_words(gain)}; it helps in {helped} of "
        f"{len(runs)} seeds.",
    )


def seconds_words(runs: Sequence[Distilled]) -> str:
    """What is left at equal seconds, with the teacher's passes counted."""
    gain = Interval.of([run.gain_seconds for run in runs])
    more = [run.students[LONGER][-1].step / run.students[ALONE][-1].step for run in runs]
    verdict = {
        "better": "The teacher still pays",
        "same": "Whether the teacher pays cannot be told",
        "worse": "Then it is better to learn alone",
    }[truth_of(gain)]
    return (
        f"The teacher has to read, too. While it does, one alone does {min(more):.1f} to "
        f"{max(more):.1f} times the steps. {verdict}: at equal seconds the difference is "
        f"{interval_words(gain)}. The teacher's own training, "
        f"{runs[0].teacher_seconds:.0f} seconds, is not in these figures."
    )


def teacher_words(runs: Sequence[Distilled]) -> str:
    """How good the teacher is itself."""
    best = min(run.students[TAUGHT][-1].bits for run in runs)
    return (
        f"The teacher, a model with experts, takes {runs[0].teacher_bits:.2f} bits for a letter of "
        f"new text; its best student, a small dense model, {best:.2f}. A letter of the text tells "
        "only what came next; the teacher's chances also tell what might have."
    )


def rows(runs: Sequence[Distilled]) -> list[dict[str, str]]:
    """Each seed as a row of a table."""
    return [
        {"Seed": str(run.seed)}
        | {
            f"Bits, {NAMES[name]}": f"{looks[-1].bits:.3f} ({looks[-1].step} steps)"
            for name, looks in run.students.items()
        }
        | {"Saved at equal steps": f"{run.gain:.3f}", "At equal seconds": f"{run.gain_seconds:.3f}"}
        for run in runs
    ]
