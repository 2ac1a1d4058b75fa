"""What an expert does between its two matrix products: SwiGLU, GELU, ReLU, and derivatives.

`h_SH` holds the first product: for gated ones (SwiGLU, clamped or not) H = 2F, gate half first,
then up half; otherwise H = F. The result `a_SF` feeds the second product.
"""

from __future__ import annotations

import math

import numpy as np

from .activation_text import CLAMPED_SWIGLU, GELU, RELU, SWIGLU, parse
from .backend import njit
from .exponential import exp
from .scores import dot, sigmoid_oracle

_erf_oracle = np.vectorize(math.erf, otypes=[np.float64])


def activate_oracle(h_SH: np.ndarray, activation: str) -> np.ndarray:
    """Apply the activation: silu(gate) * up, x * Phi(x) (exact erf), max(x, 0) or its square.

    Clamped: gate * sigmoid(alpha * gate) * (up + plus), once the gate is at most `limit` and up
    within +-`limit`; `plus` is 1 in gpt-oss and 0 in DeepSeek-V4.
    """
    name, _, alpha, limit, plus = parse(activation)
    if name == "clamped_swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        gate_SF, up_SF = np.minimum(gate_SF, limit), np.clip(up_SF, -limit, limit)
        return np.asarray(gate_SF * sigmoid_oracle(alpha * gate_SF) * (up_SF + plus))
    if activation == "swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        return np.asarray(gate_SF * sigmoid_oracle(gate_SF) * up_SF)
    if activation == "gelu":
        return np.asarray(0.5 * h_SH * (1 + _erf_oracle(h_SH / math.sqrt(2.0))), dtype=h_SH.dtype)
    positive_SH = np.maximum(h_SH, 0)
    return positive_SH if activation == "relu" else positive_SH * positive_SH


def activate_backward_oracle(h_SH: np.ndarray, da_SF: np.ndarray, activation: str) -> np.ndarray:
    """Gradient at `h_SH` given the gradient at the activation's result; zero where clamped."""
    name, _, alpha, limit, plus = parse(activation)
    if name == "clamped_swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        passes_SF, passes_up_SF = gate_SF <= limit, np.abs(up_SF) <= limit
        gate_SF, up_SF = np.minimum(gate_SF, limit), np.clip(up_SF, -limit, limit)
        s_SF = sigmoid_oracle(alpha * gate_SF)
        dgate_SF = da_SF * (up_SF + plus) * s_SF * (1 + alpha * gate_SF * (1 - s_SF))
        dup_SF = da_SF * gate_SF * s_SF
        return np.concatenate([dgate_SF * passes_SF, dup_SF * passes_up_SF], axis=1)
    if activation == "swiglu":
        gate_SF, up_SF = np.split(h_SH, 2, axis=1)
        s_SF = sigmoid_oracle(gate_SF)
        dgate_SF = da_SF * up_SF * s_SF * (1 + gate_SF * (1 - s_SF))
        return np.concatenate([dgate_SF, da_SF * gate_SF * s_SF], axis=1)
    if activation == "gelu":
        cdf_SF = 0.5 * (1 + _erf_oracle(h_SH / math.sqrt(2.0)))
        pdf_SF = np.exp(-0.5 * h_SH * h_SH) / math.sqrt(2.0 * math.pi)
        return np.asarray(da_SF * (cdf_SF + h_SH * pdf_SF), dtype=h_SH.dtype)
    slope_SH = h_SH > 0 if activation == "relu" else 2 * np.maximum(h_SH, 0)
    return np.asarray(da_SF * slope_SH)


# On their own: numba warns where one function takes the inlined exponential twice.
def _clamped(gate, up, alpha, limit, plus, out):
    """Fill `out` with the clamped SwiGLU of two halves of a row."""
    one = gate.dtype.type(1)
    for f in range(out.size):
        g = min(gate[f], limit)
        out[f] = g * (max(min(up[f], limit), -limit) + plus) / (one + exp(-alpha * g))


def _clamped_backward(gate, up, alpha, limit, plus, weight, da, dgate, dup, a):
    """Fill the gradients of two halves of a row, and the result `a`, given that `da` of it."""
    one = gate.dtype.type(1)
    for f in range(a.size):
        g, more = min(gate[f], limit), max(min(up[f], limit), -limit) + plus
        sigma = one / (one + exp(-alpha * g))
        glu, wda = g * sigma, weight * da[f]
        a[f] = glu * more
        slope = wda * more * (sigma + alpha * glu * (one - sigma))
        dgate[f] = slope if gate[f] <= limit else gate[f] * 0
        dup[f] = wda * glu if abs(up[f]) <= limit else up[f] * 0


clamped = njit(_clamped, fuse=True, borrow=True)
clamped_backward = njit(_clamped_backward, fuse=True, borrow=True)


def _activate(h_block, second, size, form, a_block):
    """Fill a `Block` of (rows, n) numbers from one of `h`; see the oracle.

    A gated activation's up half lies `second` numbers behind its gate half.
    """
    h, at, row = h_block
    a, a_at, a_row = a_block
    rows, n = size
    one, code = h.dtype.type(1), int(form[0])
    alpha, limit = h.dtype.type(form[1]), h.dtype.type(form[2])
    plus = h.dtype.type(form[3])
    for i in range(rows):
        out = a[a_at + i * a_row : a_at + i * a_row + n]
        x = h[at + i * row : at + i * row + n]
        if code == SWIGLU:
            up = h[at + i * row + second : at + i * row + second + n]
            for f in range(n):
                out[f] = x[f] * up[f] / (one + exp(-x[f]))
        elif code == GELU:
            for f in range(n):
                out[f] = 0.5 * x[f] * (1 + math.erf(x[f] * math.sqrt(0.5)))
        elif code == CLAMPED_SWIGLU:
            up = h[at + i * row + second : at + i * row + second + n]
            clamped(x, up, alpha, limit, plus, out)
        elif code == RELU:
            for f in range(n):
                out[f] = max(x[f], x[f] * 0)
        else:  # RELU2
            for f in range(n):
                positive = max(x[f], x[f] * 0)
                out[f] = positive * positive


activate = njit(_activate, fuse=True, borrow=True)


def _activate_backward(h_block, second, size, form, da_block, weight_S, dh, wa_block, dweight_S):
    """Gradients of a `Block` of `h`, given those of its unweighted result, `da`.

    Fills the same block of `dh`, and the weighted result `wa`; adds da . a to `dweight_S`.
    """
    h, at, row = h_block
    da, da_at, da_row = da_block
    wa, wa_at, wa_row = wa_block
    rows, n = size
    one, code = h.dtype.type(1), int(form[0])
    alpha, limit = h.dtype.type(form[1]), h.dtype.type(form[2])
    plus = h.dtype.type(form[3])
    for i in range(rows):
        weight = weight_S[i]
        x, dx = h[at + i * row : at + i * row + n], dh[at + i * row : at + i * row + n]
        da_i = da[da_at + i * da_row : da_at + i * da_row + n]
        a = wa[wa_at + i * wa_row : wa_at + i * wa_row + n]
        if code == SWIGLU:
            low = at + i * row + second
            up, dup = h[low : low + n], dh[low : low + n]
            for f in range(n):
                sigma = one / (one + exp(-x[f]))
                silu = x[f] * sigma
                a[f] = silu * up[f]
                wda = weight * da_i[f]
                dx[f] = wda * up[f] * (sigma + silu * (one - sigma))
                dup[f] = wda * silu
        elif code == GELU:
            for f in range(n):
                cdf = 0.5 * (1 + math.erf(x[f] * math.sqrt(0.5)))
                pdf = math.exp(-0.5 * x[f] * x[f]) * math.sqrt(0.5 / math.pi)
                a[f] = x[f] * cdf
                dx[f] = weight * da_i[f] * (cdf + x[f] * pdf)
        elif code == CLAMPED_SWIGLU:
            low = at + i * row + second
            up, dup = h[low : low + n], dh[low : low + n]
            clamped_backward(x, up, alpha, limit, plus, weight, da_i, dx, dup, a)
        elif code == RELU:
            for f in range(n):
                a[f] = max(x[f], x[f] * 0)
                dx[f] = weight * da_i[f] if x[f] > 0 else x[f] * 0
        else:  # RELU2
            for f in range(n):
                positive = max(x[f], x[f] * 0)
                a[f] = positive * positive
                dx[f] = 2 * weight * da_i[f] * positive
        dweight_S[i] += dot(da_i, a)
        for f in range(n):
            a[f] *= weight


activate_backward = njit(_activate_backward, fuse=True, borrow=True)
