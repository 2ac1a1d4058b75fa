"""RMS norm, its gradient, and the norm fused with the residual addition before it."""

from __future__ import annotations

import numpy as np

from .backend import choose


def rms_norm_oracle(
    x_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Divide each row by the root of its mean square, then scale it (arXiv 1910.07467).

    Parameters
    ----------
    x_ND, gain_D
        Rows, and the factor of each column.
    eps
        Is added to the mean square, so that a row of zeros stays finite.

    Returns
    -------
    y_ND, inverse_N
        The result, and one over each row's root mean square, which the backward pass needs.
    """
    kind = x_ND.dtype.type
    inverse_N = 1 / np.sqrt((x_ND * x_ND).mean(axis=1) + kind(eps))
    return x_ND * inverse_N[:, None] * gain_D, inverse_N


rms_norm = choose(rms_norm_oracle, rms_norm_oracle)


def rms_norm_backward_oracle(
    dy_ND: np.ndarray, x_ND: np.ndarray, gain_D: np.ndarray, inverse_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of `rms_norm` at its rows, (N, D), and at its gain, (D,)."""
    inverse_N1 = inverse_N[:, None]
    normed_ND = x_ND * inverse_N1
    dnormed_ND = dy_ND * gain_D
    along_N1 = (dnormed_ND * normed_ND).mean(axis=1, keepdims=True)
    dx_ND = inverse_N1 * (dnormed_ND - normed_ND * along_N1)
    return dx_ND, (dy_ND * normed_ND).sum(axis=0)


rms_norm_backward = choose(rms_norm_backward_oracle, rms_norm_backward_oracle)


def add_rms_norm_oracle(
    x_ND: np.ndarray, added_ND: np.ndarray, gain_D: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add to the residual stream and norm the sum: (sum_ND, y_ND, inverse_N)."""
    sum_ND = x_ND + added_ND
    return (sum_ND, *rms_norm_oracle(sum_ND, gain_D, eps))


add_rms_norm = choose(add_rms_norm_oracle, add_rms_norm_oracle)
