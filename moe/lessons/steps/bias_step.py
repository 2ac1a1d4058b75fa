"""Step 7, bias_step: the load is evened out without any loss."""

from __future__ import annotations

import numpy as np

from ...balance import make_balancer
from ...routing import Routing
from .step import Mistake, Step


def _right(bias_E: np.ndarray, load_E: np.ndarray, rate: float) -> np.ndarray:
    buffers = {"select_bias_E": bias_E.copy()}
    expert_N1 = np.repeat(np.arange(len(load_E)), load_E)[:, None]
    routing = Routing.from_choices(expert_N1, np.ones(expert_N1.shape), len(load_E))
    make_balancer("bias", rate=rate).update(buffers, routing)
    return buffers["select_bias_E"]


STEP = Step(
    "bias_step",
    "bias_step(bias_E, load_E, rate) -> bias_E",
    (
        (np.zeros(4), np.array([10, 0, 3, 3]), 0.01),
        (np.array([0.1, 0.0, 0.0, -0.1]), np.array([4, 4, 4, 4]), 0.01),
        (np.array([0.02, -0.01, 0.0]), np.array([1, 2, 6]), 0.05),
    ),
    _right,
    (
        Mistake(
            "wrong_way",
            lambda bias_E, load_E, rate: bias_E + rate * np.sign(load_E - load_E.mean()),
            "The crowded experts go up: this makes the collapse faster. Who needs help?",
        ),
        Mistake(
            "by_size",
            lambda bias_E, load_E, rate: bias_E + rate * (load_E.mean() - load_E),
            "The step grows with the gap. DeepSeek-V3 uses only its sign: counts in the hundreds "
            "would make this jump. (The library's form 'proportional' divides by the mean first.)",
        ),
        Mistake(
            "replaces",
            lambda bias_E, load_E, rate: rate * np.sign(load_E.mean() - load_E),
            "You return the step, not bias + step: whatever was learnt before is forgotten.",
        ),
        Mistake(
            "zero_counts_up",
            lambda bias_E, load_E, rate: bias_E + rate * np.where(load_E < load_E.mean(), 1, -1),
            "An expert with exactly its fair share is pushed down. sign(0) is 0: leave it alone.",
        ),
    ),
)
