"""Orthogonal factors of many matrices at once: the Newton-Schulz iteration of Muon."""

from __future__ import annotations

import numpy as np

from .backend import choose

# Of the odd polynomial a s + b s^3 + c s^5 that each step applies to the singular values: it lifts
# small ones steeply, and holds all of them within about 0.7 to 1.2 (Jordan, "Muon", 2024).
FIRST, THIRD, FIFTH = 3.4445, -4.7750, 2.0315
TINY = 1e-7  # is added to the norm, so that a matrix of zeros stays one


def orthogonalize_oracle(g_KRS: np.ndarray, steps: int) -> np.ndarray:
    """Replace the singular values of each matrix by numbers near 1, approximately U V'.

    Parameters
    ----------
    g_KRS
        K matrices of R rows and S columns.
    steps
        Iterations; Muon uses 5.

    Returns
    -------
    o_KRS
        Matrices with the same singular vectors.
    """
    kind = g_KRS.dtype.type
    a, b, c = kind(FIRST), kind(THIRD), kind(FIFTH)
    wide = g_KRS.shape[1] <= g_KRS.shape[2]
    x_KRS = g_KRS if wide else g_KRS.swapaxes(1, 2)
    x_KRS = x_KRS / (np.sqrt((x_KRS * x_KRS).sum(axis=(1, 2), keepdims=True)) + kind(TINY))
    for _ in range(steps):
        square_KRR = x_KRS @ x_KRS.swapaxes(1, 2)
        x_KRS = a * x_KRS + (b * square_KRR + c * square_KRR @ square_KRR) @ x_KRS
    return np.ascontiguousarray(x_KRS if wide else x_KRS.swapaxes(1, 2))


orthogonalize = choose(orthogonalize_oracle, orthogonalize_oracle)
