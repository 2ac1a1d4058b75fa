"""Arithmetic that the token-choice routers share: selection, weights, and back."""

from __future__ import annotations

import numpy as np

from ..errors import check_array
from ..routing import Routing

EPS = 1e-20  # DeepSeek-V3 adds it to the sum of chosen scores before dividing


def steers(select_bias_E: np.ndarray | None, select_factor_E: np.ndarray | None) -> bool:
    """Say whether a balancer's arrays change who is selected: a bias, or a factor other than 1."""
    if select_bias_E is not None and select_bias_E.any():
        return True
    return select_factor_E is not None and bool((select_factor_E != 1).any())


def biased(
    scores_NE: np.ndarray,
    select_bias_E: np.ndarray | None,
    select_factor_E: np.ndarray | None = None,
) -> np.ndarray:
    """Selection scores: scores times the factor, plus the bias. Neither enters the weights."""
    if not steers(select_bias_E, select_factor_E):
        return scores_NE
    if select_factor_E is not None:
        factor_E = check_array("select_factor_E", select_factor_E, (scores_NE.shape[1],))
        scores_NE = scores_NE * factor_E.astype(scores_NE.dtype)
    if select_bias_E is None:
        return scores_NE
    bias_E = check_array("select_bias_E", select_bias_E, (scores_NE.shape[1],))
    return np.asarray(scores_NE + bias_E.astype(scores_NE.dtype))


def broken_rows(logits_NE: np.ndarray) -> np.ndarray:
    """Tokens with a logit that is NaN, (N,) bool: their weights have to be NaN too."""
    return np.asarray(np.isnan(logits_NE).any(axis=1))


def gather(table_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
    """Entries of each row at the chosen experts, (N, K)."""
    return np.take_along_axis(table_NE, expert_NK.astype(np.intp), axis=1)


def scatter(values_NK: np.ndarray, expert_NK: np.ndarray, n_experts: int) -> np.ndarray:
    """Rows of zeros with the values put at the chosen experts, (N, E)."""
    table_NE = np.zeros((values_NK.shape[0], n_experts), values_NK.dtype)
    np.put_along_axis(table_NE, expert_NK.astype(np.intp), values_NK, axis=1)
    return table_NE


def normalize(chosen_NK: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Weights that sum to one: chosen scores over their sum, or over `floor` if that is more."""
    total_N1 = chosen_NK.sum(axis=1, keepdims=True) + EPS
    return np.asarray(chosen_NK / _at_least(total_N1, floor))


def _at_least(total_N1: np.ndarray, floor: float) -> np.ndarray:
    # Without a floor a sum may be negative: `moe check-gate` weighs with biases on purpose.
    return np.maximum(total_N1, total_N1.dtype.type(floor)) if floor else total_N1


def normalize_backward(
    chosen_NK: np.ndarray, dweight_NK: np.ndarray, floor: float = 0.0
) -> np.ndarray:
    """Gradient at the chosen scores of `normalize`; the floor is a constant."""
    total_N1 = chosen_NK.sum(axis=1, keepdims=True) + EPS
    inner_N1 = (dweight_NK * chosen_NK).sum(axis=1, keepdims=True) / total_N1
    if floor:
        inner_N1 *= total_N1 >= floor
    return np.asarray((dweight_NK - inner_N1) / _at_least(total_N1, floor))


def choices(routing: Routing) -> np.ndarray:
    """Chosen experts of a fixed-k routing as a table, (N, K)."""
    k = routing.n_assignments // routing.n_tokens if routing.n_tokens else 1
    return routing.expert_A.reshape(-1, k)


def scatter_list(routing: Routing, values_A: np.ndarray) -> np.ndarray:
    """Table (N, E) with the values of each assignment at its place, zero elsewhere."""
    table_NE = np.zeros((routing.n_tokens, routing.n_experts), values_A.dtype)
    table_NE[routing.token_A, routing.expert_A] = values_A
    return table_NE
