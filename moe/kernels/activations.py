"""What an expert does between its two matrix products: SwiGLU, GELU, ReLU, and derivatives.

`h_SH` holds the first product: for the gated SwiGLU, H = 2F, gate half first, then up half;
otherwise H = F. The result `a_SF` feeds the second product.
"""

from __future__ import annotations

import math

import numpy as np

from .backend import njit
from .exponential import exp
from .scores import sigmoid_oracle

CODES = {"swiglu": 0, "gelu": 1, "relu": 2}
GATED = frozenset({"swiglu"})


_erf_oracle = np.vectorize(math.erf, otypes=[np.float64])


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
def activate(h, low, rows, n_hidden, code, a, a_at):
    """Fill rows of flat `a` from `a_at` on, from rows `low`.. of flat `h`; see the oracle."""
    one = h.dtype.type(1)
    for i in range(rows):
        out = a[a_at + i * n_hidden : a_at + (i + 1) * n_hidden]
        if code == 0:
            at = (low + i) * 2 * n_hidden
            gate, up = h[at : at + n_hidden], h[at + n_hidden : at + 2 * n_hidden]
            for f in range(n_hidden):
                small = exp(-abs(gate[f]))
                out[f] = gate[f] * up[f] * ((one if gate[f] >= 0 else small) / (one + small))
            continue
        x = h[(low + i) * n_hidden : (low + i + 1) * n_hidden]
        if code == 1:
            for f in range(n_hidden):
                out[f] = 0.5 * x[f] * (1 + math.erf(x[f] * math.sqrt(0.5)))
        else:
            for f in range(n_hidden):
                out[f] = max(x[f], x[f] * 0)


@njit
def activate_backward(h, low, rows, n_hidden, code, da, dh):
    """Fill rows `low`.. of flat `dh` from the first rows of flat `da`; see the oracle."""
    one = h.dtype.type(1)
    for i in range(rows):
        da_i = da[i * n_hidden : (i + 1) * n_hidden]
        if code == 0:
            at = (low + i) * 2 * n_hidden
            gate, up = h[at : at + n_hidden], h[at + n_hidden : at + 2 * n_hidden]
            dgate, dup = dh[at : at + n_hidden], dh[at + n_hidden : at + 2 * n_hidden]
            for f in range(n_hidden):
                small = exp(-abs(gate[f]))
                sigma = (one if gate[f] >= 0 else small) / (one + small)
                dgate[f] = da_i[f] * up[f] * sigma * (one + gate[f] * (one - sigma))
                dup[f] = da_i[f] * gate[f] * sigma
            continue
        x = h[(low + i) * n_hidden : (low + i + 1) * n_hidden]
        dx = dh[(low + i) * n_hidden : (low + i + 1) * n_hidden]
        if code == 1:
            for f in range(n_hidden):
                cdf = 0.5 * (1 + math.erf(x[f] * math.sqrt(0.5)))
                pdf = math.exp(-0.5 * x[f] * x[f]) * math.sqrt(0.5 / math.pi)
                dx[f] = da_i[f] * (cdf + x[f] * pdf)
        else:
            for f in range(n_hidden):
                dx[f] = da_i[f] if x[f] > 0 else x[f] * 0
