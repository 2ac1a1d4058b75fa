"""Step 2, choose: each token's k best experts."""

from __future__ import annotations

import numpy as np

from ... import kernels
from ...scores import make_scores
from .step import Mistake, Step

_RANDOM_NE = make_scores(np.random.default_rng(1).standard_normal((4, 6)), "softmax")


def _right(scores_NE: np.ndarray, k: int) -> np.ndarray:
    return np.asarray(kernels.topk(scores_NE, k)).astype(np.int64)


def _upwards(scores_NE: np.ndarray) -> np.ndarray:
    return np.argsort(scores_NE, axis=1, kind="stable")


STEP = Step(
    "choose",
    "choose(scores_NE, k) -> expert_NK",
    (
        (np.array([[0.125, 0.25, 0.5, 0.125]]), 2),
        (np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4]]), 2),
        (_RANDOM_NE, 3),
    ),
    _right,
    (
        Mistake(
            "worst",
            lambda scores_NE, k: _upwards(scores_NE)[:, :k],
            "These are the k worst experts: argsort goes upwards.",
        ),
        Mistake(
            "best_last",
            lambda scores_NE, k: _upwards(scores_NE)[:, -k:],
            "The right experts, but the best one is last. Who is dropped first when an expert is "
            "full depends on the order, so it is part of the answer.",
        ),
        Mistake(
            "by_index",
            lambda scores_NE, k: np.sort(_right(scores_NE, k), axis=1),
            "The right experts in order of their numbers. The order has to tell the first choice "
            "from the second.",
        ),
        Mistake(
            "ties_high",
            lambda scores_NE, k: _upwards(scores_NE)[:, ::-1][:, :k],
            "Of equal scores the higher number comes first here: sorted upwards and turned around. "
            "A fresh gate makes ties, and two programs must agree on them: the lower number wins.",
        ),
    ),
)
