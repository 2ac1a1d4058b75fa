"""The output product with softmax, cross-entropy and their gradients, a block of rows at a time."""

from __future__ import annotations

import numpy as np

from .backend import choose


def _losses(logits_NV: np.ndarray, target_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the logarithm of the softmax at the targets, and the logarithm of each row's sum."""
    top_N = logits_NV.max(axis=1, initial=-np.inf)
    log_sum_N = top_N + np.log(np.exp(logits_NV - top_N[:, None]).sum(axis=1))
    return log_sum_N - logits_NV[np.arange(len(target_N)), target_N], log_sum_N


def classify_oracle(
    x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray, weight_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cross-entropy of each row's target, and the gradients of the weighted sum.

    Parameters
    ----------
    x_ND, w_DV
        Rows and the output matrix; the logits are x @ w.
    target_N
        The right class of each row.
    weight_N
        Factor of each row's loss in the sum whose gradients are computed; a row with weight 0
        still has a loss.

    Returns
    -------
    loss_N, dx_ND, dw_DV
        Each row's own loss, in nats and without its weight, and the gradients of
        sum_n weight_n loss_n.
    """
    logits_NV = x_ND @ w_DV
    loss_N, log_sum_N = _losses(logits_NV, target_N)
    dlogits_NV = np.exp(logits_NV - log_sum_N[:, None])
    dlogits_NV[np.arange(len(target_N)), target_N] -= 1
    dlogits_NV *= weight_N[:, None].astype(x_ND.dtype)
    return loss_N, dlogits_NV @ w_DV.T, x_ND.T @ dlogits_NV


classify = choose(classify_oracle, classify_oracle)


def token_losses_oracle(x_ND: np.ndarray, w_DV: np.ndarray, target_N: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row's target, (N,), in nats; as `classify`, without gradients."""
    return _losses(x_ND @ w_DV, target_N)[0]


token_losses = choose(token_losses_oracle, token_losses_oracle)
