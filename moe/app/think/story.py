"""What a run that learns from rewards shows, in words worked out from its looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...numbers import plural
from ...studies.thinking import Look, Shown, Thinking, settings_of
from ..shared.question import Question

GROWS, STAYS, SHRINKS = "grows", "stays", "shrinks"
QUESTION = Question(
    "What happens to the length of its answers?",
    {
        GROWS: "They grow longer",
        STAYS: "They stay as they are",
        SHRINKS: "They shrink: short ones are enough",
    },
)
CHANGED = 1.25  # times the length of the start that count as a change, or its inverse
RISES = 0.05  # of a share that count as a rise
MANY = 0.5  # share of groups without a difference that is the cause of a failure
START_NAMES = {
    "good": "a good start", "weak": "too few demonstrations",
    "overfit": "the same few demonstrations",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Which option is right, and a sentence on what came out."""

    truth: str
    words: str


def judge(looks: Sequence[Look]) -> Verdict:
    """Hold the end of a run against its start."""
    first, last = looks[0], looks[-1]
    times = last.length / first.length
    truth = GROWS if times >= CHANGED else SHRINKS if times <= 1 / CHANGED else STAYS
    words = (
        f"Answers went from {first.length:.1f} to {last.length:.1f} signs, and right ones from "
        f"{first.accuracy:.0%} to {last.accuracy:.0%}."
    )
    if last.thinks > first.thinks + RISES:
        words += (
            f" At first {first.thinks:.0%} wrote something before they answered, in the end "
            f"{last.thinks:.0%}."
        )
    return Verdict(truth, words)


def why(looks: Sequence[Look]) -> str:
    """Why it came so, from the first look: which kind of answer was right more often."""
    first = looks[0]
    if first.right_thinking is None or first.right_at_once is None:
        return ""
    if first.right_thinking <= first.right_at_once:
        return (
            "At the start answers with something in front were right no more often than the "
            f"others ({first.right_thinking:.0%} against {first.right_at_once:.0%}), so that "
            "rewards had nothing to select."
        )
    return (
        f"Before any reward, answers with running sums in front were right in "
        f"{first.right_thinking:.0%} of cases, the others in {first.right_at_once:.0%}: chance is "
        "20%. Rewards make more likely whatever was right, so the habit spreads. They *select* "
        "what the model did now and then; they do not invent it."
    )


def at_words(look: Look) -> str:
    """What a look shows, in a sentence."""
    return (
        f"After {plural(look.iteration, 'update')} by rewards: {look.accuracy:.0%} right, "
        f"{look.length:.1f} signs long, {look.thinks:.0%} write something first."
    )


def film_words(looks: Sequence[Look], at: int, reply: str) -> str:
    """What is said at a position of the film; the last one tells what came out."""
    return reply if at == looks[-1].iteration else at_words(looks[at])


def place(look: Look) -> str:
    """What the film says beside its slider."""
    return plural(look.iteration, "update")


def until(looks: Sequence[Look], update: int) -> Sequence[Look]:
    """The looks up to an update."""
    return looks[: update + 1]


def looks_of(records: Sequence[Shown | Look]) -> list[Look]:
    """The looks among the records of a live run."""
    return [one for one in records if isinstance(one, Look)]


def last_update(looks: Sequence[Look]) -> int:
    """Update that the axes of a live run end with: that of a whole run."""
    return max(settings_of(0).filled().iterations or 1, looks[-1].iteration)


def seeds_words(runs: Sequence[Thinking]) -> str:
    """Whether runs from other seeds came to the same."""
    grew = [run for run in runs if judge(run.looks).truth == GROWS]
    ends = [run.looks[-1] for run in runs]
    low, high = (f(one.accuracy for one in ends) for f in (min, max))
    times = min(run.looks[-1].length / run.looks[0].length for run in runs)
    return (
        f"The same with other seeds: in {len(grew)} of {len(runs)} runs answers grew longer, at "
        f"least {times:.1f} times; {low:.1%} to {high:.1%} were right in the end. Each took "
        f"{max(one.seconds for one in ends):.0f} seconds at most, demonstrations included."
    )


def seeds_rows(runs: Sequence[Thinking]) -> list[dict[str, str]]:
    """Each run's start and end as rows of a table."""
    return [
        {
            "Seed": str(run.seed),
            "Right (held out)": f"{first.accuracy:.1%} to {last.accuracy:.1%}",
            "Signs": f"{first.length:.1f} to {last.length:.1f}",
            "Write something first": f"{first.thinks:.0%} to {last.thinks:.0%}",
            "Seconds": f"{last.seconds:.0f}",
        }
        for run in runs
        for first, last in [(run.looks[0], run.looks[-1])]
    ]


def starts_words(runs: Mapping[str, Thinking]) -> str:
    """How runs from bad starts ended, and why: read from their first looks."""
    parts = [_failed_words(start, run) for start, run in runs.items() if start != "good"]
    end = runs["good"].looks[-1]
    return (
        f"{' '.join(parts)} In the end a good run has groups without a difference, too "
        f"({end.zero_variance:.0%}), but because {end.sampled:.0%} of its answers are right."
    )


def _failed_words(start: str, run: Thinking) -> str:
    first, last = run.looks[0], run.looks[-1]
    lead = (
        f"With {START_NAMES[start]}, right answers went from {first.accuracy:.0%} to "
        f"{last.accuracy:.0%}:"
    )
    if first.zero_variance >= MANY:
        return (
            f"{lead} in {first.zero_variance:.0%} of the groups all answers to a problem got the "
            "same reward, and where nothing differs, there is nothing to prefer."
        )
    right, at_once = first.right_thinking, first.right_at_once
    if right is not None and at_once is not None and right <= at_once:
        return (
            f"{lead} answers with something in front were right in {right:.0%} of cases, others in "
            f"{at_once:.0%}. So writing first did not pay, and its share went from "
            f"{first.thinks:.0%} to {last.thinks:.0%}."
        )
    return f"{lead} {first.zero_variance:.0%} of its first groups had no difference in rewards."


def live_words(records: Sequence[Shown | Look]) -> str:
    """How far a live run is, in a sentence."""
    if not records:
        return "The model has seen nothing yet."
    latest = records[-1]
    if isinstance(latest, Look):
        return at_words(latest)
    return (
        f"It is shown answers: {latest.step} of {latest.steps} steps, of which most answer at once "
        f"and some write running sums first. Loss {latest.loss:.2f}."
    )
