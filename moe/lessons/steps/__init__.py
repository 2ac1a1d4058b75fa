"""Build it yourself: twelve steps from an empty file to a layer that trains.

A step is a file here, a text in `texts/`, and a line in `FILES`.
"""

from __future__ import annotations

import importlib

from ...kernels.backend import steady
from .step import Step

FILES = (
    "scores", "choose", "weights", "forward", "gate_backward", "balance_loss", "bias_step",
    "dispatch", "experts_backward", "dx", "capacity", "train",
)  # fmt: skip


def _read(file: str) -> Step:
    step = importlib.import_module(f".{file}", __name__).STEP
    assert isinstance(step, Step)
    return step


with steady("numpy"):  # the cases are small, and compiling would take longer than all of them
    STEPS: dict[str, Step] = {step.name: step for step in map(_read, FILES)}
