"""Step 1, scores: a gate's logits become shares."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...scores import make_scores
from .step import Mistake, Step


def _right(logits_NE: np.ndarray) -> np.ndarray:
    return make_scores(logits_NE, "softmax")


def _over(logits_NE: np.ndarray, axis: int | None, minus: str = "") -> np.ndarray:
    """Shares along an axis; the largest logit of the 'row', 'column' or 'batch' subtracted."""
    if minus:
        along = {"row": 1, "column": 0, "batch": None}[minus]
        logits_NE = logits_NE - logits_NE.max(axis=along, keepdims=True)
    exp_NE = np.exp(logits_NE)
    return np.asarray(exp_NE / exp_NE.sum(axis=axis, keepdims=True))


STEP = Step(
    "scores",
    "scores(logits_NE) -> scores_NE",
    (
        (np.log([[1.0, 2.0, 4.0, 1.0]]),),
        (np.array([[1000.0, 999.0, 0.0]]),),
        (np.random.default_rng(0).standard_normal((3, 4)),),
    ),
    _right,
    (
        Mistake(
            "sum_over_all",
            lambda logits_NE: _over(logits_NE, None),
            "You divide by the sum over the whole batch. A token's shares must not depend on who "
            "else is in the batch: each row adds up to 1. Which axis is the experts?",
            tuple(partial(_over, axis=None, minus=minus) for minus in ("row", "batch")),
        ),
        Mistake(
            "sum_over_tokens",
            lambda logits_NE: _over(logits_NE, 0),
            "Your columns add up to 1: you share each expert out among the tokens. (That is half "
            "of another method, expert choice.) Here each token shares itself out.",
            tuple(partial(_over, axis=0, minus=minus) for minus in ("row", "column", "batch")),
        ),
        Mistake(
            "overflow",
            lambda logits_NE: _over(logits_NE, 1),
            "Right for small logits, but exp(1000) is infinite, and infinity by infinity is no "
            "number. What changes in the shares if you subtract the same number from all logits "
            "of a row?",
        ),
        Mistake(
            "sigmoid",
            lambda logits_NE: 1 / (1 + np.exp(-logits_NE)),
            "That is the sigmoid: each expert is scored for itself, and a row need not add up to "
            "1. DeepSeek-V3 does this; the step asks for softmax.",
        ),
    ),
)
