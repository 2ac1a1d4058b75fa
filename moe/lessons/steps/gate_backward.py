"""Step 5, gate_backward: from the weights' gradient to the logits'."""

from __future__ import annotations

import numpy as np

from ...routers import make_router
from ...scores import make_scores
from .step import Mistake, Step

_RNG = np.random.default_rng(5)


def _right(logits_NE: np.ndarray, dweight_NK: np.ndarray) -> np.ndarray:
    router = make_router("topk", k=dweight_NK.shape[1])
    return router.backward(router.choose(logits_NE), dweight_NK.reshape(-1))


def _chosen(logits_NE: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (N, E), experts and their weights, both (N, K)."""
    scores_NE = make_scores(logits_NE, "softmax")
    expert_NK = np.argsort(-scores_NE, axis=1, kind="stable")[:, :k]
    chosen_NK = np.take_along_axis(scores_NE, expert_NK, axis=1)
    return scores_NE, expert_NK, chosen_NK / chosen_NK.sum(axis=1, keepdims=True)


def _put(expert_NK: np.ndarray, value_NK: np.ndarray, like_NE: np.ndarray) -> np.ndarray:
    table_NE = np.zeros_like(like_NE)
    np.put_along_axis(table_NE, expert_NK, value_NK, axis=1)
    return table_NE


def _diagonal(logits_NE: np.ndarray, dweight_NK: np.ndarray) -> np.ndarray:
    _, expert_NK, weight_NK = _chosen(logits_NE, dweight_NK.shape[1])
    return _put(expert_NK, dweight_NK * weight_NK * (1 - weight_NK), logits_NE)


def _as_logits(logits_NE: np.ndarray, dweight_NK: np.ndarray) -> np.ndarray:
    _, expert_NK, _ = _chosen(logits_NE, dweight_NK.shape[1])
    return _put(expert_NK, dweight_NK, logits_NE)


def _without_division(logits_NE: np.ndarray, dweight_NK: np.ndarray) -> np.ndarray:
    scores_NE, expert_NK, _ = _chosen(logits_NE, dweight_NK.shape[1])
    dscores_NE = _put(expert_NK, dweight_NK, scores_NE)
    inner_N1 = (dscores_NE * scores_NE).sum(axis=1, keepdims=True)
    return np.asarray(scores_NE * (dscores_NE - inner_N1))


STEP = Step(
    "gate_backward",
    "gate_backward(logits_NE, dweight_NK) -> dlogits_NE",
    (
        (np.log([[1.0, 2.0, 4.0, 1.0]]), np.array([[1.0, 0.0]])),
        (_RNG.standard_normal((5, 6)), _RNG.standard_normal((5, 2))),
    ),
    _right,
    (
        Mistake(
            "no_gradient",
            lambda logits_NE, dweight_NK: np.zeros_like(logits_NE),
            "Zero everywhere: you treat the weights as constants because choosing has no "
            "derivative. It has none, but the weights of the chosen have one, and without it the "
            "gate never learns.",
        ),
        Mistake(
            "diagonal_only",
            _diagonal,
            "You have w (1 - w), a weight's derivative at its own logit. But raising one logit "
            "also lowers the other weights: the terms -w_i w_j are missing. A row of the "
            "gradient must add up to 0. Why?",
        ),
        Mistake(
            "not_through_softmax",
            _as_logits,
            "You hand the weights' gradient straight to the logits; softmax lies between.",
        ),
        Mistake(
            "without_division",
            _without_division,
            "This is the gradient of shares that are not divided by their sum. The division makes "
            "the experts that were not chosen drop out: their gradient is exactly 0.",
        ),
        Mistake(
            "sign",
            lambda logits_NE, dweight_NK: -_right(logits_NE, dweight_NK),
            "Right but for the sign. Backward returns the gradient; the optimiser subtracts it.",
        ),
    ),
)
