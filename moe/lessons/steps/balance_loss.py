"""Step 6, balance_loss: one number that says how uneven the load is, and can be trained."""

from __future__ import annotations

import numpy as np

from ...balance import make_balancer
from ...routers import make_router
from ...scores import make_scores
from .step import Mistake, Step

_SCORES_NE = make_scores(
    np.random.default_rng(7).standard_normal((8, 4)) + np.array([1.0, 0.5, 0, 0]), "softmax"
)


def _right(scores_NE: np.ndarray, k: int) -> float:
    routing = make_router("topk", k=k).choose(np.log(scores_NE))
    return make_balancer("aux", coefficient=1.0).loss(routing).value


def _product(
    scores_NE: np.ndarray,
    k: int,
    *,
    per_token: bool = False,
    chosen_only: bool = False,
    times_experts: bool = True,
    f_squared: bool = False,
) -> float:
    """The loss with what a mistake does otherwise."""
    n_tokens, n_experts = scores_NE.shape
    expert_NK = np.argsort(-scores_NE, axis=1, kind="stable")[:, :k]
    count_E = np.bincount(expert_NK.reshape(-1), minlength=n_experts)
    f_E = count_E / (n_tokens if per_token else n_tokens * k)
    chosen_NE = np.zeros_like(scores_NE)
    np.put_along_axis(chosen_NE, expert_NK, 1.0, axis=1)
    p_E = (scores_NE * chosen_NE if chosen_only else scores_NE).mean(axis=0)
    return float((n_experts if times_experts else 1) * (f_E * (f_E if f_squared else p_E)).sum())


STEP = Step(
    "balance_loss",
    "balance_loss(scores_NE, k) -> loss",
    ((np.full((4, 4), 0.25), 2), (_SCORES_NE, 2), (_SCORES_NE, 3)),
    _right,
    (
        Mistake(
            "f_sums_to_k",
            lambda scores_NE, k: _product(scores_NE, k, per_token=True),
            "Your f adds up to k: you divide by tokens, not by choices. At even load the loss "
            "should be 1 whatever k is; yours is k. (The bug `f_sums_to_k` of moe check-gate, and "
            "the form of Hugging Face.)",
        ),
        Mistake(
            "p_over_chosen",
            lambda scores_NE, k: _product(scores_NE, k, chosen_only=True),
            "P averages the chosen experts' scores only. An expert that nobody chooses then has "
            "P = 0 and no gradient: those that it should wake get no pull. (The bug "
            "`p_over_topk` of moe check-gate.)",
        ),
        Mistake(
            "without_e",
            lambda scores_NE, k: _product(scores_NE, k, times_experts=False),
            "The factor E is missing: at even load each f and P is 1/E, and so is the sum. With E "
            "the loss means the same for 8 experts and for 256.",
        ),
        Mistake(
            "f_squared",
            lambda scores_NE, k: _product(scores_NE, k, f_squared=True),
            "A sum of f squared measures unevenness, too, but f is a count: it has no derivative, "
            "so nothing could be trained by it. That is why one factor is P.",
        ),
    ),
)
