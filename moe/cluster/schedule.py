"""What hides communication and what idles: overlap of two batches, and pipeline bubbles."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_choice, check_float, check_int

# Multiprocessors of an H800 in all, and those that communicate: arXiv 2412.19437, section 3.2.2.
MULTIPROCESSORS, COMMUNICATING = 132, 20


@dataclass(frozen=True)
class Overlap:
    """A layer's time per batch, microseconds.

    Attributes
    ----------
    in_turn_us
        Computing, then communicating.
    overlapped_us
        Two batches at once: one computes while the other's rows travel.
    exposed_us
        What is left of the communication: overlapped time beyond undisturbed computing.
    """

    in_turn_us: float
    overlapped_us: float
    exposed_us: float

    @property
    def speed_up(self) -> float:
        """How many times as fast overlapping is (1 without any work)."""
        return self.in_turn_us / self.overlapped_us if self.overlapped_us else 1.0


def overlap(
    compute_us: float, communication_us: float, communicating: int = COMMUNICATING
) -> Overlap:
    """Time of a layer with and without two batches that hide each other's communication.

    Multiprocessors that communicate do not compute, so computing slows down meanwhile.

    Parameters
    ----------
    compute_us, communication_us
        One batch's computing with all multiprocessors, and its dispatch and combine.
    communicating
        Multiprocessors that communicate: 20 of 132 in DeepSeek-V3's training, 0 with kernels
        that leave the work to the network card.

    Examples
    --------
    >>> o = overlap(100.0, 100.0)  # one to one, as DeepSeek-V3 (section 3.2.1)
    >>> o.in_turn_us, round(o.overlapped_us, 1), round(o.speed_up, 2)
    (200.0, 117.9, 1.7)
    """
    check_float("compute_us", compute_us, 0.0)
    check_float("communication_us", communication_us, 0.0)
    check_int("communicating", communicating, 0, MULTIPROCESSORS - 1)
    slowed_us = compute_us * MULTIPROCESSORS / (MULTIPROCESSORS - communicating)
    overlapped_us = max(slowed_us, communication_us)
    return Overlap(compute_us + communication_us, overlapped_us, overlapped_us - compute_us)


@dataclass(frozen=True)
class Bubble:
    """Idle time of one pipeline step and what its schedule keeps in memory.

    Attributes
    ----------
    method
        Name of the schedule.
    idle, work
        Time per GPU, in the unit of the chunks' times.
    parameters
        Copies of a stage's parameters.
    activations
        Batches whose activations a GPU holds at most.
    """

    method: str
    idle: float
    work: float
    parameters: int
    activations: int

    @property
    def share(self) -> float:
        """Idle share of the step."""
        return self.idle / (self.idle + self.work)


BUBBLES = ("1F1B", "ZB1P", "DualPipe")


def bubble(
    method: str,
    stages: int,
    forward: float,
    backward: float,
    weight: float,
    both: float | None = None,
    micro_batches: int | None = None,
) -> Bubble:
    """Bubble of a pipeline schedule: table 2 of DeepSeek-V3, arXiv 2412.19437.

    1F1B: (PP - 1)(F + B); ZB1P: (PP - 1)(F + B - 2W); DualPipe: (PP/2 - 1)(F&B + B - 3W).

    Parameters
    ----------
    method
        '1F1B', 'ZB1P' or 'DualPipe'.
    stages
        PP; even for DualPipe.
    forward, backward, weight
        F, B and W: a forward chunk, a whole backward chunk, and its part for the weights.
    both
        F&B, a forward and a backward chunk that overlap; F + B by default, as if they did not.
    micro_batches
        Batches of a step, 2 PP by default.

    Raises
    ------
    ValueError
        If a time is negative, or W is more than the bubble formulas allow (B, and F + B > 2W).

    Examples
    --------
    >>> [bubble(m, 16, 1.0, 2.0, 1.0).idle for m in BUBBLES]
    [45.0, 15.0, 14.0]
    """
    check_choice("method", method, BUBBLES)
    check_int("stages", stages, 2)
    if method == "DualPipe" and stages % 2:
        raise ValueError(f"stages: got {stages}, allowed is an even number for DualPipe")
    check_float("forward", forward, 0.0, open_low=True)
    check_float("backward", backward, 0.0, open_low=True)
    check_float("weight", weight, 0.0, min(backward, (forward + backward) / 2))
    both = forward + backward if both is None else check_float("both", both, 0.0, open_low=True)
    n = check_int("micro_batches", 2 * stages if micro_batches is None else micro_batches, 1)
    if method == "1F1B":
        return Bubble(
            method, (stages - 1) * (forward + backward), n * (forward + backward), 1, stages
        )
    if method == "ZB1P":
        idle = (stages - 1) * (forward + backward - 2 * weight)
        return Bubble(method, idle, n * (forward + backward), 1, stages)
    idle = (stages // 2 - 1) * max(both + backward - 3 * weight, 0.0)
    return Bubble(method, idle, n * both, 2, stages + 1)
