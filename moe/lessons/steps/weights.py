"""Step 3, weights: how much each chosen expert counts."""

from __future__ import annotations

import numpy as np

from ...routers import make_router
from ...scores import make_scores
from .step import Mistake, Step

_SCORES_NE = make_scores(np.random.default_rng(2).standard_normal((5, 6)), "softmax")
_EXPERT_NK = np.argsort(-_SCORES_NE, axis=1, kind="stable")[:, :2]


def _right(scores_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
    routing = make_router("topk", k=expert_NK.shape[1]).choose(np.log(scores_NE))
    return routing.weight_A.reshape(expert_NK.shape)


def _chosen(scores_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
    return np.take_along_axis(scores_NE, expert_NK, axis=1)


STEP = Step(
    "weights",
    "weights(scores_NE, expert_NK) -> weight_NK",
    (
        (np.array([[0.125, 0.25, 0.5, 0.125]]), np.array([[2, 1]])),
        (_SCORES_NE, _EXPERT_NK),
    ),
    _right,
    (
        Mistake(
            "not_renormalised",
            _chosen,
            "You take the shares as they are, so a token's weights add up to less than 1. OLMoE "
            "does that on purpose; here they are divided by their sum. (Forgetting it is the bug "
            "`no_renormalize` of moe check-gate.)",
        ),
        Mistake(
            "double_softmax",
            lambda scores_NE, expert_NK: make_scores(_chosen(scores_NE, expert_NK), "softmax"),
            "You apply softmax to shares. It expects logits; of shares it makes nearly equal "
            "weights. (It is the bug `double_softmax` of moe check-gate, and was in the code of "
            "public models.)",
        ),
        Mistake(
            "sorted_apart",
            lambda scores_NE, expert_NK: _right(scores_NE, expert_NK)[
                np.arange(len(expert_NK))[:, None], np.argsort(expert_NK, axis=1)
            ],
            "The right numbers beside the wrong experts: your weights are in order of the experts' "
            "numbers, but expert_NK is in order of the scores.",
        ),
        Mistake(
            "over_batch",
            lambda scores_NE, expert_NK: (
                _chosen(scores_NE, expert_NK) / _chosen(scores_NE, expert_NK).sum()
            ),
            "You divide by the sum over all tokens. Each token's weights add up to 1.",
        ),
    ),
)
