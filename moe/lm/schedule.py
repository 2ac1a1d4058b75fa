"""The course of a rate over a run: it rises, stays, and falls to zero at the run's own end."""

from __future__ import annotations


def rising(step: int, warm_up: int) -> float:
    """Share of the full rate at a step, from 0, while it rises linearly over `warm_up` steps."""
    return min((step + 1) / warm_up, 1.0) if warm_up else 1.0


def falling(step: int, steps: int, decay: float) -> float:
    """Share of the full rate at a step while it falls linearly over the last part of the run.

    Parameters
    ----------
    step, steps
        From 0, and how many there are: the rate is 0 at step `steps`, which is not done any more.
    decay
        Share of the steps over which it falls; with 0 it never does.
    """
    length = decay * steps
    return min((steps - step) / length, 1.0) if length > 0 else 1.0


def rate_share(step: int, steps: int, warm_up: int, decay: float) -> float:
    """Share of the full rate at a step: warm-up, constant, linear decay."""
    return min(rising(step, warm_up), falling(step, steps, decay))
