"""What the step responses say, in words; and the same controllers on a model that learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import metrics
from ...numbers import percent, plural
from ...studies.control import RATES, SETTLED, Method, Response, methods
from ...training import TrainSettings
from ...training.runs import Run

CLOSE = 0.5  # MaxVio that counts as close
SWING = 0.05  # fair shares an expert's load moves from batch to batch that count as swinging
GUESSES = {
    "faster": "It is even ten times sooner, and stays so",
    "swings": "It comes close sooner, but then swings back and forth",
    "no": "It makes no difference, or is slower",
}


@dataclass(frozen=True)
class Verdict:
    """What the curves show: which key of `GUESSES` is true, and a sentence on it."""

    truth: str
    words: str

    def reply(self, guess: str | None = None) -> str:
        """Return the words; if there was a guess, after whether it was right."""
        if guess is None:
            return self.words
        right = "You were right." if guess == self.truth else "Not quite."
        return f"{right} {self.words}"


def judge(responses: list[Response]) -> Verdict:
    """Compare the middle and the largest step of the sign rule, and name who is even first."""
    verdict = compare_rates(responses[1], responses[2])
    return Verdict(verdict.truth, f"{verdict.words} {first_to_settle(responses)}")


def compare_rates(slow: Response, fast: Response) -> Verdict:
    """Compare what two rates of the sign rule, one ten times the other, do to the load.

    "Close" is `CLOSE` above the fair share: both get there if they get anywhere.
    """
    close, sooner = slow.fell_below(CLOSE), fast.fell_below(CLOSE)
    ends = (
        f"busiest expert stays {percent(fast.steady_error)} above; with the smaller step it is "
        f"{percent(slow.steady_error)}"
    )
    if sooner is None:
        arrival = f"Ten times the step never comes within {CLOSE:.0%} of the fair share"
    else:
        instead = "" if close is None else f" instead of {close:,}"
        arrival = (
            f"Ten times the step comes within {CLOSE:.0%} of the fair share after "
            f"{plural(sooner, 'batch')}{instead}"
        )
    if fast.swing >= SWING and fast.settled_after is None:
        link = "and" if sooner is None else "but"
        return Verdict("swings", f"{arrival}, {link} swings for ever: its {ends}.")
    quicker = sooner is not None and (close is None or sooner < close)
    return Verdict("faster" if quicker else "no", f"{arrival}: its {ends}.")


def first_to_settle(responses: list[Response]) -> str:
    """Name the controller that is even first, in words."""
    settled = [(r.settled_after, r) for r in responses if r.settled_after is not None]
    if not settled:
        return "None of them is even in the end."
    after, best = min(settled, key=lambda pair: pair[0])
    return f"First to be even: {best.method.title}, after {plural(after, 'batch')}."


def response_words(response: Response) -> str:
    """What the curve shows, in a sentence."""
    end = f"its busiest expert is {percent(response.steady_error)} above the fair share"
    if response.settled_after is not None:
        return f"Even after {plural(response.settled_after, 'batch')}; at the end {end}."
    if response.swing >= SWING:
        return f"Swings for ever: experts take turns at too much work, {end}."
    return f"Not there yet after {plural(response.max_vio_S.size - 1, 'batch')}: {end}."


def rows(responses: list[Response]) -> list[dict[str, str]]:
    """Figures of every controller as rows of a table."""
    return [
        {
            "Controller": r.method.title,
            f"Even (MaxVio below {SETTLED:g}) after": (
                "never" if r.settled_after is None else plural(r.settled_after, "batch")
            ),
            "MaxVio at the end": f"{r.steady_error:.3f}",
            "Change from batch to batch, in fair shares": f"{r.swing:.3f}",
        }
        for r in responses
    ]


def kinds(responses: list[Response]) -> list[str]:
    """Registry names of the controllers' balancers, each once."""
    return list(dict.fromkeys(r.method.balance.partition("(")[0] for r in responses))


# On a model that learns -------------------------------------------------------------------------

NOTHING = Method("Nothing", "No nudge at all, to compare with.", "none")
# The gate that the sign rule was made for.
SHORT: dict[str, Any] = dict(router="deepseek_v3", steps=150, batch=512)


def live_settings(rate: float = RATES[1], seed: int = 0) -> dict[Method, TrainSettings]:
    """A short run for each controller, and one without any, all from the same start."""
    return {
        method: TrainSettings(balance=method.balance, seed=seed, **SHORT)
        for method in (*methods(rate), NOTHING)
    }


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
    """Which controllers are most and least even at the end, and how well they predict."""
    ends = {method: run.summary() for method, run in runs.items()}
    even = min(ends, key=lambda method: ends[method].max_vio)
    worst = max(ends, key=lambda method: ends[method].max_vio)
    losses = sorted(end.held_out_loss for end in ends.values())
    return (
        f"Most even at the end: {even.title}, its busiest expert {ends[even].max_vio:.0%} above "
        f"the fair share; least even: {worst.title}, {ends[worst].max_vio:.0%} above. "
        f"Losses on held-out data lie between {losses[0]:.3f} and {losses[-1]:.3f}. "
        f"{_against_nothing({method: end.held_out_loss for method, end in ends.items()})}"
    )


def _against_nothing(loss: dict[Method, float]) -> str:
    """How many controllers predict better than no controller, in words."""
    unsteered = loss[NOTHING]
    steered = [value for method, value in loss.items() if method != NOTHING]
    better = sum(value < unsteered for value in steered)
    if better == len(steered):
        return f"Each controller predicts better than none at all ({unsteered:.3f})."
    how_many = f"only {better}" if better else "none"
    does = "do" if better > 1 else "does"
    return (
        f"With none at all the loss is {unsteered:.3f}, and {how_many} of the {len(steered)} "
        f"controllers {does} better: in so short a run an even load need not mean better guesses."
    )
