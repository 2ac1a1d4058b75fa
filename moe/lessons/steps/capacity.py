"""Step 11, capacity: an expert has only so much room."""

from __future__ import annotations

import math

import numpy as np

from ...capacity import Capacity
from ...routing import Routing
from .step import Mistake, Step


def _right(
    expert_NK: np.ndarray, weight_NK: np.ndarray, n_experts: int, factor: float
) -> np.ndarray:
    routing = Routing.from_choices(expert_NK, weight_NK, n_experts)
    kept_A = Capacity(factor, "order").apply(routing).kept_A
    return weight_NK * kept_A.reshape(weight_NK.shape)


def _limited(
    expert_NK: np.ndarray, weight_NK: np.ndarray, limit: int, order_A: np.ndarray | None = None
) -> np.ndarray:
    """Weights of what finds room, if places are given in this order of the assignments."""
    kept_A, taken = np.zeros(expert_NK.size), dict.fromkeys(expert_NK.reshape(-1).tolist(), 0)
    for a in range(expert_NK.size) if order_A is None else order_A:
        e = int(expert_NK.reshape(-1)[a])
        kept_A[a] = taken[e] < limit
        taken[e] += 1
    return weight_NK * kept_A.reshape(weight_NK.shape)


def _room(expert_NK: np.ndarray, n_experts: int, factor: float) -> int:
    return math.ceil(expert_NK.size / n_experts * factor)


def _renormalised(
    expert_NK: np.ndarray, weight_NK: np.ndarray, n_experts: int, factor: float
) -> np.ndarray:
    kept_NK = _right(expert_NK, weight_NK, n_experts, factor)
    sum_N1 = kept_NK.sum(axis=1, keepdims=True)
    return np.asarray(kept_NK / np.where(sum_N1 > 0, sum_N1, 1))


def _whole_token(
    expert_NK: np.ndarray, weight_NK: np.ndarray, n_experts: int, factor: float
) -> np.ndarray:
    kept_NK = _right(expert_NK, weight_NK, n_experts, factor)
    return np.asarray(kept_NK * (kept_NK > 0).all(axis=1, keepdims=True))


_RNG = np.random.default_rng(11)
_EXPERT_NK = np.argsort(_RNG.standard_normal((10, 4)) + np.array([0, 0, 1, 2]), axis=1)[:, :2]
_FIRST_N = _RNG.uniform(0.5, 0.9, 10)
_WEIGHT_NK = np.stack([_FIRST_N, 1 - _FIRST_N], axis=1)

STEP = Step(
    "capacity",
    "capacity(expert_NK, weight_NK, n_experts, factor) -> weight_NK",
    (
        (
            np.array([[0, 1], [0, 1], [0, 2]]),
            np.array([[0.75, 0.25], [0.625, 0.375], [0.5, 0.5]]),
            3,
            1.0,
        ),
        (
            np.array([[1, 0], [0, 2], [0, 1]]),
            np.array([[0.75, 0.25], [0.5, 0.5], [0.625, 0.375]]),
            4,
            1.0,
        ),
        (_EXPERT_NK, _WEIGHT_NK, 4, 0.75),
        (_EXPERT_NK, _WEIGHT_NK, 4, 1.125),
    ),
    _right,
    (
        Mistake(
            "floor",
            lambda expert_NK, weight_NK, n_experts, factor: _limited(
                expert_NK, weight_NK, int(expert_NK.size / n_experts * factor)
            ),
            "You round the room down. It is rounded up, or a batch that is a little larger than a "
            "multiple would lose tokens even at even load.",
        ),
        Mistake(
            "k_forgotten",
            lambda expert_NK, weight_NK, n_experts, factor: _limited(
                expert_NK, weight_NK, math.ceil(len(expert_NK) / n_experts * factor)
            ),
            "You share out N tokens, but there are N * k assignments: the room is k times as "
            "large.",
        ),
        Mistake(
            "factor_forgotten",
            lambda expert_NK, weight_NK, n_experts, factor: _limited(
                expert_NK, weight_NK, _room(expert_NK, n_experts, 1.0)
            ),
            "The factor is missing: the room is the fair share times the factor.",
        ),
        Mistake(
            "last_kept",
            lambda expert_NK, weight_NK, n_experts, factor: _limited(
                expert_NK,
                weight_NK,
                _room(expert_NK, n_experts, factor),
                np.arange(expert_NK.size)[::-1],
            ),
            "The later assignments keep their place and the earlier ones lose it. Here the first "
            "who come are served, so that no token depends on those behind it.",
        ),
        Mistake(
            "rank_first",
            lambda expert_NK, weight_NK, n_experts, factor: _limited(
                expert_NK,
                weight_NK,
                _room(expert_NK, n_experts, factor),
                np.arange(expert_NK.size).reshape(expert_NK.shape).T.reshape(-1),
            ),
            "All first choices find their place before any second one. GShard does that (the "
            "library's policy 'rank'), but then an earlier token depends on later ones; here "
            "places are given token by token.",
        ),
        Mistake(
            "renormalised",
            _renormalised,
            "You divide the weights that are left by their sum. What is dropped is missing from "
            "the token's result; the other weights stay as they are.",
        ),
        Mistake(
            "whole_token",
            _whole_token,
            "A token that loses one choice loses all in your result. Only the choice whose expert "
            "is full is dropped.",
        ),
    ),
)
