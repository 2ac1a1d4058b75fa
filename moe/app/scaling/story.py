"""What a size and a number of experts come to, in a visitor's words."""

from __future__ import annotations

import math
from functools import lru_cache

from ...numbers import count, gigabytes
from ...scaling.budget import SAME_LOSS, SAME_MEMORY, SAME_SPEED, Comparison, Option, compare
from ...scaling.runs import ROUTERS, fitted, origin, runs

SIZES = tuple(sorted({run.active for run in runs() if run.usual}))  # those that were trained
EXPERTS = tuple(2**power for power in range(1, 10))
USUAL_SIZE, USUAL_EXPERTS = SIZES[-2], 64
LAW = ROUTERS[0]
ORDINARY = {
    SAME_LOSS: "equally good",
    SAME_MEMORY: "equally large",
    SAME_SPEED: "equally fast",
}
MIXTURE = "the mixture"
# How pieces of text find their experts in the published runs, by the names that they have there.
WAYS = {
    "Dense": "no experts", "S-Base": "shared out evenly", "RL-R": "learned by reward",
    "Hash": "a fixed table",
}  # fmt: skip


@lru_cache(maxsize=64)  # a slider that is let go leaves its own positions as they were
def comparison(size: int, pool: int) -> Comparison:
    """The mixture with so many experts beside three ordinary models."""
    return compare(size, pool, LAW)


def named(found: Comparison) -> list[tuple[str, Option]]:
    """The four models under a visitor's names."""
    return [(ORDINARY.get(option.name, MIXTURE), option) for option in found.options]


def hesitates(option: Option) -> float:
    """Among how many next pieces of text, all alike, a model would be as unsure as it is."""
    return math.exp(option.loss)


def words(size: int, pool: int) -> str:
    """What the experts are worth and what they cost, and what of that the formula guesses."""
    found = comparison(size, pool)
    mixture, as_good, as_large, _ = found.options
    return (
        f"{pool} experts make this model as good as an ordinary one that is "
        f"{found.times_larger:.1f} times as large, and it writes as fast as before. It takes "
        f"{gigabytes(mixture.memory_bytes / 1e9)} of memory instead of "
        f"{gigabytes(as_good.memory_bytes / 1e9)}. An ordinary model that fills as much memory "
        f"would be better still, and {mixture.tokens_per_s / as_large.tokens_per_s:.1f} times "
        f"slower.{_guessed(found)}"
    )


def _guessed(found: Comparison) -> str:
    """Which of the models that `words` compares are beyond those that the law is fitted to."""
    guessed = [
        name if name == MIXTURE else f"the {name} one"
        for name, option in named(found)[:3]
        if not option.measured
    ]
    return (
        f" Guessed, as the formula is fitted to no such model: {', '.join(guessed)}."
        if guessed
        else ""
    )


def law_words() -> str:
    """How well the line fits the dots, and where these are from."""
    one, said, usual = fitted(LAW), origin(), comparison(USUAL_SIZE, USUAL_EXPERTS)
    return (
        f"Dots are {len(runs())} models that DeepMind trained; the lines are a formula with six "
        f"constants, fitted here to {one.runs} of them ({WAYS[LAW]}). No dot of these is further "
        f"from its line than {one.worst:.3f}. Right of the dots the formula guesses. Memory and "
        f"speed are bounds for {usual.precision} weights and one text at a time on the machine "
        f"{usual.gpu}. "
        f"Data: {said['source'].partition(',')[0]}, CC-BY 4.0."
    )


def learnt(size: int, pool: int) -> str:
    """What a visitor takes along, in a sentence."""
    return (
        f"{pool} experts are worth {comparison(size, pool).times_larger:.1f} times the size for "
        f"{count(size)} numbers used at a time, and they cost memory, not speed."
    )
