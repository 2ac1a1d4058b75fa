"""Numbers that a class gave, counted in steps of a round width, and the step with the right one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

MOST_STEPS = 8  # between the two that are open to one side
NEAR = 3  # times the median distance from the right one: who is further off may be far off


def counted(numbers: Sequence[float], right: float, unit: str = "") -> tuple[dict[str, int], str]:
    """Count numbers in steps.

    Parameters
    ----------
    numbers
        At least one, all finite.
    right
        The right one, whose step is always there.
    unit
        Of all of them; it ends each step's name.

    Returns
    -------
    tuple
        How many numbers are in each step by the steps' names, from low to high, and the name of
        the step that the right one is in.
    """
    near = NEAR * float(np.median([abs(number - right) for number in numbers]))
    least, most = min(*numbers, right), max(*numbers, right)
    low, high = max(least, right - near), min(most, right + near)
    width = _round_width(((high - low) or (most - least)) / (MOST_STEPS - 1) or abs(right) or 1.0)
    first, last = math.floor(low / width), math.floor(high / width)

    def step(number: float) -> int:
        return min(max(math.floor(number / width), first - 1), last + 1)

    def name(place: int) -> str:
        begin, end = f"{place * width:.6g}", f"{(place + 1) * width:.6g}"
        words = f"{begin} to {end}"
        if place < first:
            words = f"less than {end}"
        elif place > last:
            words = f"{begin} and more"
        return f"{words} {unit}".strip()

    found = Counter(map(step, numbers))
    places = range(min([first, *found]), max([last, *found]) + 1)
    return {name(place): found[place] for place in places}, name(step(right))


def _round_width(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least)
