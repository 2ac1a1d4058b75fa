"""Step 8, dispatch: the choices sorted by expert, so that each expert runs once."""

from __future__ import annotations

import numpy as np

from ... import kernels
from .step import Mistake, Step

Pair = tuple[np.ndarray, np.ndarray]


def _right(expert_NK: np.ndarray, n_experts: int) -> Pair:
    n_tokens, k = expert_NK.shape
    token_A, all_A = np.repeat(np.arange(n_tokens), k), np.ones(expert_NK.size, np.bool_)
    plan = kernels.dispatch_plan(token_A, expert_NK.reshape(-1), all_A, n_tokens, n_experts)
    return plan.assignment_S, plan.expert_start_E1


def _only_experts_with_tokens(expert_NK: np.ndarray, n_experts: int) -> Pair:
    counts = np.unique(expert_NK, return_counts=True)[1]
    return _right(expert_NK, n_experts)[0], np.concatenate([[0], np.cumsum(counts)])


def _unstable(expert_NK: np.ndarray, n_experts: int) -> Pair:
    upside_down = expert_NK.reshape(-1)[::-1]
    order_A = expert_NK.size - 1 - np.argsort(upside_down, kind="stable")
    return order_A, _right(expert_NK, n_experts)[1]


STEP = Step(
    "dispatch",
    "dispatch(expert_NK, n_experts) -> (assignment_A, start_E1)",
    (
        (np.array([[2, 1], [1, 0]]), 3),
        (np.array([[4, 1], [1, 4], [4, 2]]), 6),
        (np.argsort(np.random.default_rng(8).standard_normal((7, 5)), axis=1)[:, :3], 5),
    ),
    _right,
    (
        Mistake(
            "no_empty_expert",
            _only_experts_with_tokens,
            "An expert without tokens has no place of its own in start, so all later experts get "
            "their neighbour's tokens. Every expert has a start; without tokens it is the next "
            "one's, too.",
        ),
        Mistake(
            "first_only",
            lambda expert_NK, n_experts: _right(expert_NK[:, :1], n_experts),
            "Only first choices are sorted. Each token has k choices, and all N * k are "
            "assignments: number n * k + rank.",
        ),
        Mistake(
            "unstable",
            _unstable,
            "Sorted by expert, but within an expert later choices come before earlier ones. Who "
            "comes first gets the place when an expert is full, and sums keep their order: take a "
            "sort that leaves equals as they were.",
        ),
        Mistake(
            "tokens",
            lambda expert_NK, n_experts: (
                _right(expert_NK, n_experts)[0] // expert_NK.shape[1],
                _right(expert_NK, n_experts)[1],
            ),
            "These are the numbers of tokens. Wanted are those of assignments, from which both "
            "token (divide by k) and rank (the remainder) can be read.",
        ),
        Mistake(
            "experts",
            lambda expert_NK, n_experts: (
                np.sort(expert_NK.reshape(-1)),
                _right(expert_NK, n_experts)[1],
            ),
            "This is the sorted list of experts. Wanted is who they belong to: the order that "
            "sorts, not what is sorted.",
        ),
        Mistake(
            "counts",
            lambda expert_NK, n_experts: (
                _right(expert_NK, n_experts)[0],
                np.bincount(expert_NK.reshape(-1), minlength=n_experts),
            ),
            "These are counts. Where an expert starts is the sum of the counts before it.",
        ),
        Mistake(
            "no_end",
            lambda expert_NK, n_experts: (
                _right(expert_NK, n_experts)[0],
                _right(expert_NK, n_experts)[1][:-1],
            ),
            "The end is missing: with E + 1 numbers expert e owns start[e] up to start[e + 1], and "
            "the last one is no special case.",
        ),
    ),
)
