"""What an expert does between its two matrix products: SwiGLU, GELU, ReLU, and derivatives.

`h_SH` holds the first product: for the gated SwiGLU, H = 2F, gate half first, then up half;
otherwise H = F. The result `a_SF` feeds the second product.
"""

from __future__ import annotations

import math

import numpy as np

from .backend import njit
from .scores import sigmoid_oracle

CODES = {"swiglu": 0, "gelu": 1, "relu": 2}
GATED = frozenset({"swiglu"})


def _erf_oracle(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.asarray(erf(x))


def activate_oracle(h_SH: np.ndarray, activation: str) -> np.ndarray:
    """Apply the activation: silu(gate) * up, x * Phi(x) (exact erf), or max(x, 0)."""
    if activation == "swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        return np.asarray(gate_SF * sigmoid_oracle(gate_SF) * up_SF)
    if activation == "gelu":
        return np.asarray(0.5 * h_SH * (1 + _erf_oracle(h_SH / math.sqrt(2.0))), dtype=h_SH.dtype)
    return np.maximum(h_SH, 0)


def activate_backward_oracle(h_SH: np.ndarray, da_SF: np.ndarray, activation: str) -> np.ndarray:
    """Gradient at `h_SH` given the gradient at the activation's result."""
    if activation == "swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        s_SF = sigmoid_oracle(gate_SF)
        dgate_SF = da_SF * up_SF * s_SF * (1 + gate_SF * (1 - s_SF))
        return np.concatenate([dgate_SF, da_SF * gate_SF * s_SF], axis=1)
    if activation == "gelu":
        cdf_SF = 0.5 * (1 + _erf_oracle(h_SH / math.sqrt(2.0)))
        pdf_SF = np.exp(-0.5 * h_SH * h_SH) / math.sqrt(2.0 * math.pi)
        return np.asarray(da_SF * (cdf_SF + h_SH * pdf_SF), dtype=h_SH.dtype)
    return np.asarray(da_SF * (h_SH > 0))


@njit
def sigmoid_scalar(x):
    """Logistic function of one number; exp only of what is not positive."""
    small = np.exp(-abs(x))
    return (x * 0 + 1 if x >= 0 else small) / (1 + small)


@njit
def activate_rows(h_SH, code, a_SF):
    """Fill `a_SF` from `h_SH`; see `activate_oracle`."""
    width = a_SF.shape[1]
    for s in range(h_SH.shape[0]):
        if code == 0:
            for f in range(width):
                gate = h_SH[s, f]
                a_SF[s, f] = gate * sigmoid_scalar(gate) * h_SH[s, width + f]
        elif code == 1:
            for f in range(width):
                x = h_SH[s, f]
                a_SF[s, f] = 0.5 * x * (1 + math.erf(x * math.sqrt(0.5)))
        else:
            for f in range(width):
                a_SF[s, f] = max(h_SH[s, f], h_SH[s, f] * 0)


@njit
def activate_backward_rows(h_SH, da_SF, code, dh_SH):
    """Fill `dh_SH`; see `activate_backward_oracle`."""
    width = da_SF.shape[1]
    for s in range(h_SH.shape[0]):
        if code == 0:
            for f in range(width):
                gate, da = h_SH[s, f], da_SF[s, f]
                sigma = sigmoid_scalar(gate)
                dh_SH[s, f] = da * h_SH[s, width + f] * sigma * (1 + gate * (1 - sigma))
                dh_SH[s, width + f] = da * gate * sigma
        elif code == 1:
            for f in range(width):
                x = h_SH[s, f]
                cdf = 0.5 * (1 + math.erf(x * math.sqrt(0.5)))
                pdf = math.exp(-0.5 * x * x) * math.sqrt(0.5 / math.pi)
                dh_SH[s, f] = da_SF[s, f] * (cdf + x * pdf)
        else:
            for f in range(width):
                dh_SH[s, f] = da_SF[s, f] if h_SH[s, f] > 0 else h_SH[s, f] * 0
