"""What the step responses say, in words; and the same controllers on a model that learns."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import metrics
from ...numbers import percent, plural
from ...studies.control import RATE, RATES, SETTLED, Method, Response, methods
from ...training import Trainer, TrainSettings
from ...training.runs import Run
from ..shared.question import Question

# Rates that are worked out in one turn: each turn waits for those of others.
PARTS = tuple(RATES[at : at + 7] for at in range(0, len(RATES), 7))
CLOSE = 0.5  # MaxVio that counts as close
SWING = 0.05  # fair shares an expert's load moves from step to step that count as swinging
NAMES = ("a tenth", "your push", "ten times")
OTHERS = ("by the gap", "gap and past", "all at once")
QUESTION = Question(
    "What if you push ten times as hard?",
    {
        "faster": "It is even sooner, and stays so",
        "swings": "It comes close sooner, but never comes to rest",
        "no": "It makes no difference, or is slower",
    },
    by="the experiment",
)
GUESSES = QUESTION.options


@dataclass(frozen=True)
class Verdict:
    """What the curves show: which key of `GUESSES` is true, and a sentence on it."""

    truth: str
    words: str


def judge(responses: Sequence[Response]) -> Verdict:
    """Compare the second controller with the third, the same one at ten times its rate.

    "Close" is `CLOSE` above the fair share: both get there if they get anywhere.
    """
    slow, fast = responses[1], responses[2]
    before, after = slow.fell_below(CLOSE), fast.fell_below(CLOSE)
    swings = fast.swing >= SWING and fast.settled_after is None
    if swings:
        link = "and" if after is None else "but"
        tail = f", {link} never settles: the busiest expert stays"
    else:
        tail = ": the busiest expert ends"
    words = (
        f"Ten times the push {_arrival(before, after)}{tail} {percent(fast.steady_error)} too "
        f"busy. Your push ends at {percent(slow.steady_error)}."
    )
    quicker = after is not None and (before is None or after < before)
    return Verdict("swings" if swings else "faster" if quicker else "no", words)


def _arrival(before: int | None, after: int | None) -> str:
    """When the harder push comes close to even, against the gentler one."""
    if after is None:
        return "never comes close to even"
    steps = plural(after, "step")
    if before is None:
        return f"comes close to even after {steps}, which yours never does"
    if after == before:
        return f"comes close to even just as soon ({steps})"
    if after > before:
        return f"comes close to even later ({steps}, not {before:,})"
    times = before / max(after, 1)
    sooner = f"{times:.0f} times sooner" if times >= 1.5 else "a little sooner"
    return f"comes close to even {sooner} ({steps}, not {before:,})"


def reach(responses: Sequence[Response]) -> float:
    """MaxVio that an axis has to reach; beyond what counts as even if all are from the start."""
    return max(2 * SETTLED, *(float(r.max_vio_S.max()) for r in responses))


def first_to_settle(responses: Sequence[Response]) -> str:
    """Name the controller that is even first, in words."""
    settled = [(r.settled_after, r) for r in responses if r.settled_after is not None]
    if not settled:
        return "None of them is even in the end."
    after, best = min(settled, key=lambda pair: pair[0])
    return f"First to be even: {best.method.title}, after {plural(after, 'step')}."


def response_words(response: Response) -> str:
    """What the curve shows, in a sentence."""
    end = f"its busiest expert is {percent(response.steady_error)} above the fair share"
    if response.settled_after is not None:
        return f"Even after {plural(response.settled_after, 'step')}; at the end {end}."
    if response.swing >= SWING:
        return f"Never rests: experts take turns at too much work; {end}."
    return f"Not there yet after {plural(response.max_vio_S.size - 1, 'step')}: {end}."


def rows(responses: Sequence[Response]) -> list[dict[str, str]]:
    """Figures of every controller as rows of a table."""
    return [
        {
            "Controller": r.method.title,
            f"Even (MaxVio below {SETTLED:g}) after": (
                "never" if r.settled_after is None else plural(r.settled_after, "step")
            ),
            "MaxVio at the end": f"{r.steady_error:.3f}",
            "Change from step to step, in fair shares": f"{r.swing:.3f}",
        }
        for r in responses
    ]


def kinds(responses: Sequence[Response]) -> list[str]:
    """Registry names of the controllers' balancers, each once."""
    return list(dict.fromkeys(r.method.balance.partition("(")[0] for r in responses))


# On a model that learns -------------------------------------------------------------------------

NOTHING = Method("No push", "Nobody is pushed, to compare with.", "none")
LIVE_NAMES = (*NAMES, "no push")
# The gate that the fixed push was made for.
SHORT: dict[str, Any] = dict(router="deepseek_v3", steps=150, batch=512)


def live_settings(rate: float = RATE, seed: int = 0) -> dict[Method, TrainSettings]:
    """A short run for each fixed push, and one without any, all from the same start."""
    return {
        method: TrainSettings(balance=method.balance, seed=seed, **SHORT)
        for method in (*methods(rate)[:3], NOTHING)
    }


def seconds_per_step(settings: TrainSettings, steps: int = 4) -> float:
    """Time a few steps of a training on this computer, after one that is not counted."""
    run = Trainer(settings).run()
    next(run)
    start = time.perf_counter()
    for _ in range(steps):
        next(run)
    return (time.perf_counter() - start) / steps


def waiting_words(settings: Collection[TrainSettings], seconds: float) -> str:
    """How long the runs will take, by the seconds of a step."""
    steps = sum(one.steps for one in settings)
    return (
        f"{len(settings)} short trainings from the same start, done in "
        f"{math.ceil(steps * seconds)} s if nobody else trains."
    )


def chance(settings: TrainSettings, draws: int = 400) -> float:
    """Mean MaxVio of batches in which every expert is equally likely, as even as chance allows."""
    rng = np.random.default_rng(0)
    fair_E = np.full(settings.n_experts, 1 / settings.n_experts)
    drawn = rng.multinomial(settings.k * settings.batch, fair_E, draws)
    return float(np.mean([metrics.max_vio(load_E) for load_E in drawn]))


def live_rows(runs: dict[Method, Run]) -> list[dict[str, str]]:
    """How each run ended, as rows of a table."""
    ends = {method: run.summary() for method, run in runs.items()}
    return [
        {
            "Controller": method.title,
            "Busiest expert above its fair share": f"{end.max_vio:+.0%}",
            "Idle experts": str(end.dead),
            "Loss on held-out data": f"{end.held_out_loss:.3f}",
        }
        for method, end in ends.items()
    ]


def live_words(runs: dict[Method, Run]) -> str:
    """Which run is most and which least even at the end, and whether that helped to predict."""
    ends = {method: run.summary() for method, run in runs.items()}
    even = min(ends, key=lambda method: ends[method].max_vio)
    worst = max(ends, key=lambda method: ends[method].max_vio)
    return (
        f"Most even at the end: {even.title}, its busiest expert {ends[even].max_vio:.0%} too "
        f"busy; least even: {worst.title}, {ends[worst].max_vio:.0%}. {against_nothing(runs)}"
    )


def against_nothing(runs: dict[Method, Run]) -> str:
    """Say whether pushing helped to predict; if it did not, why that may be, from the numbers."""
    ends = {method: run.summary() for method, run in runs.items()}
    unsteered = ends.pop(NOTHING)
    loss = unsteered.held_out_loss
    losses = [end.held_out_loss for end in ends.values()]
    better = sum(one < loss for one in losses)
    if better == len(losses):
        return f"Each push predicts better than none: a loss below its {loss:.3f}."
    lead = (
        f"No push at all predicts best: a loss of {loss:.3f}, with a push {_span(losses)}."
        if not better
        else f"Without a push the loss is {loss:.3f}; {better} of {len(losses)} pushes "
        f"{'does' if better == 1 else 'do'} better."
    )
    gap = max(loss, *losses) - min(loss, *losses)
    fall, steps = still_falls(runs[NOTHING])
    idle = (
        f"{unsteered.dead} of {runs[NOTHING].settings.n_experts} experts are idle then, and the "
        "others have more text each to learn from"
        if unsteered.dead
        else "Its busy experts have more text to learn from"
    )
    early = (
        f"So early that counts: in the last {steps} steps the loss still falls by {fall:.3f}, and "
        f"all these runs lie within {gap:.3f}."
        if fall > gap
        else f"The loss has nearly come to rest: in the last {steps} steps it falls by {fall:.3f}, "
        f"while these runs lie within {gap:.3f}."
    )
    return f"{lead} {idle}. {early}"


def still_falls(run: Run) -> tuple[float, int]:
    """How much the loss fell from the middle third of a run to its last, and steps in a third."""
    third = max(len(run.records) // 3, 1)
    middle, last = run.records[-2 * third : -third], run.records[-third:]
    means = [np.mean([record.loss for record in part]) for part in (middle or last, last)]
    return float(means[0] - means[1]), third


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3f}", f"{max(values):.3f}"
    return low if low == high else f"{low} to {high}"
