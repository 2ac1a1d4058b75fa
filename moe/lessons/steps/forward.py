"""Step 4, forward: the chosen experts run, and their results are added with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from .plain_layer import Slips, forward, library_forward, sample
from .step import Mistake, Step

_SAMPLE = sample()
_ONE = _SAMPLE.first(1)


def _right(*given: np.ndarray) -> np.ndarray:
    return library_forward(*given)[0]


def _with(slip: str) -> Callable[..., np.ndarray]:
    slips = replace(Slips(), **{slip: True})
    return partial(forward, slips=slips)


STEP = Step(
    "forward",
    "forward(x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD) -> y_ND",
    tuple(
        (one.x_ND, one.expert_NK, one.weight_NK, one.up_ED2F, one.down_EFD)
        for one in (_ONE, _SAMPLE)
    ),
    _right,
    (
        Mistake(
            "overwrites",
            _with("overwrites"),
            "Only each token's last expert is in your result. Either you write y[...] = where += "
            "is meant, or y[token_A] += ..., which numpy does once for a token that occurs "
            "twice; np.add.at adds every time.",
        ),
        Mistake(
            "unweighted",
            _with("unweighted"),
            "The experts' results are added, but not weighted. Then the gate gets no gradient at "
            "all: nothing in y depends on how much it liked an expert.",
        ),
        Mistake(
            "halves_swapped",
            _with("halves_swapped"),
            "You apply silu to the second half. The first half of w_gate_up is the gate: "
            "silu(x W_gate) * (x W_up). Both orders are in use, and a checkpoint has one.",
        ),
        Mistake(
            "first_only",
            _with("first_only"),
            "Only the first choice runs. With k = 2 the second choice counts, too.",
        ),
        Mistake(
            "no_silu",
            _with("no_silu"),
            "The two halves are multiplied, but silu is missing: silu(z) = z * sigmoid(z) of the "
            "first half.",
        ),
    ),
)
