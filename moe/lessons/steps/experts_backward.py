"""Step 9, experts_backward: the gradients at the experts' weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .plain_layer import RIGHT, backward, library_backward, sample
from .step import Mistake, Step

_SAMPLE = sample(seed=9)


def _with(slip: str) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    run_backward = partial(backward, slips=replace(RIGHT, **{slip: True}))

    def run(*given: Any) -> tuple[np.ndarray, np.ndarray]:
        made = run_backward(*given)
        return made.dup_ED2F, made.ddown_EFD

    return run


STEP = Step(
    "experts_backward",
    "experts_backward(dy_ND, x_ND, expert_NK, weight_NK, w_gate_up_ED2F, w_down_EFD)"
    " -> (dw_gate_up_ED2F, dw_down_EFD)",
    tuple(
        (one.dy_ND, one.x_ND, one.expert_NK, one.weight_NK, one.up_ED2F, one.down_EFD)
        for one in (_SAMPLE.first(1), _SAMPLE)
    ),
    library_backward,
    (
        Mistake(
            "unweighted_up",
            _with("unweighted_up"),
            "Your gradient at w_down is right, and that at w_gate_up lacks the weight: what "
            "arrives at an expert's result is weight * dy, and so is all that lies before it.",
        ),
        Mistake(
            "unweighted",
            _with("unweighted"),
            "The weights are missing. The layer adds weight * result, so what arrives at an "
            "expert's result is weight * dy.",
        ),
        Mistake(
            "overwrites",
            _with("overwrites"),
            "Only the last token of each expert is in your gradients: they have to be added over "
            "all of its tokens, with += and not with =.",
        ),
        Mistake(
            "silu_is_sigmoid",
            _with("silu_is_sigmoid"),
            "You take sigmoid(g) as the derivative of silu(g) = g * sigmoid(g). It is a product: "
            "the second term, g times the derivative of sigmoid, is missing.",
        ),
        Mistake(
            "silu_is_one",
            _with("silu_is_one"),
            "The gradient passes silu unchanged, as if silu(g) were g.",
        ),
        Mistake(
            "no_up_gradient",
            _with("no_up_gradient"),
            "The second half of w_gate_up gets no gradient. a = silu(g) * u depends on u, too: its "
            "derivative there is silu(g).",
        ),
        Mistake(
            "halves_swapped",
            _with("halves_swapped"),
            "The gradients of g and u have changed places: the first half of w_gate_up is the "
            "gate's, in the gradient as in the forward pass.",
        ),
        Mistake(
            "mean",
            _with("mean"),
            "You divide by the number of tokens. Whether the loss is a mean is in dy already; here "
            "gradients are added.",
        ),
        Mistake(
            "first_only",
            _with("first_only"),
            "Only first choices teach their expert. The second choice took part in the result, "
            "and so it gets its gradient.",
        ),
    ),
)
