"""Score functions by name, which turn logits into router scores, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import kernels
from .errors import check_choice
from .routing import Routing


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)) without overflow; NaN stays NaN."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(x, x.dtype.type(0))


def _sqrt_softplus_slope(logits_NE: np.ndarray, scores_NE: np.ndarray) -> np.ndarray:
    # The slope is sigmoid / (2 score). Both go to 0 for very negative logits, where the quotient
    # has to become 0 and not NaN.
    tiny = np.finfo(scores_NE.dtype).tiny
    return np.asarray(kernels.sigmoid(logits_NE) / (2 * np.maximum(scores_NE, tiny)))


# By name: the score of a logit, and its derivative, given logit and score.
ELEMENTWISE: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "sigmoid": (lambda l_NE: kernels.sigmoid(l_NE), lambda l_NE, s_NE: s_NE * (1 - s_NE)),
    "sqrt_softplus": (lambda l_NE: np.sqrt(softplus(l_NE)), _sqrt_softplus_slope),
    "relu": (lambda l_NE: np.maximum(l_NE, 0), lambda l_NE, s_NE: (l_NE > 0).astype(s_NE.dtype)),
}
SCORES = ("softmax", *ELEMENTWISE)


def make_scores(logits_NE: np.ndarray, score: str) -> np.ndarray:
    """Scores of the logits, (N, E): softmax over experts, or a function of each logit."""
    if check_choice("score", score, SCORES) == "softmax":
        return np.asarray(kernels.softmax(logits_NE))
    return np.asarray(ELEMENTWISE[score][0](logits_NE))


def scores_backward(
    logits_NE: np.ndarray, scores_NE: np.ndarray, dscores_NE: np.ndarray, score: str
) -> np.ndarray:
    """Gradient at the logits, given the gradient at the scores."""
    if score == "softmax":
        return np.asarray(kernels.softmax_backward(scores_NE, dscores_NE))
    return np.asarray(dscores_NE * ELEMENTWISE[score][1](logits_NE, scores_NE))


def logits_backward(routing: Routing, dscores_NE: np.ndarray) -> np.ndarray:
    """Gradient at a routing's logits, given the gradient at its scores."""
    assert routing.logits_NE is not None and routing.scores_NE is not None
    return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, routing.score)


def shares(scores_NE: np.ndarray) -> np.ndarray:
    """Scores divided by their sum, so that rows sum to 1; a row of zeros stays zero."""
    total_N1 = scores_NE.sum(axis=1, keepdims=True)
    return np.asarray(scores_NE / np.maximum(total_N1, np.finfo(scores_NE.dtype).tiny))


def shares_backward(scores_NE: np.ndarray, dshares_NE: np.ndarray) -> np.ndarray:
    """Gradient at the scores of `shares`."""
    total_N1 = np.maximum(scores_NE.sum(axis=1, keepdims=True), np.finfo(scores_NE.dtype).tiny)
    inner_N1 = (dshares_NE * scores_NE).sum(axis=1, keepdims=True) / total_N1
    return np.asarray((dshares_NE - inner_N1) / total_N1)
