"""Vectors of length one, for routers that compare directions: Soft MoE, algorithm 2."""

from __future__ import annotations

import numpy as np

EPS = 1e-6  # added to the norm by algorithm 2 of arXiv 2308.00951; a zero vector stays zero


def unit(x: np.ndarray, axis: int) -> np.ndarray:
    """Divide by the L2 norm along an axis."""
    norm = np.sqrt((x * x).sum(axis=axis, keepdims=True)) + x.dtype.type(EPS)
    return np.asarray(x / norm)


def unit_backward(x: np.ndarray, dunit: np.ndarray, axis: int) -> np.ndarray:
    """Gradient at x of `unit`."""
    length = np.sqrt((x * x).sum(axis=axis, keepdims=True))
    norm = length + x.dtype.type(EPS)
    inner = (dunit * x).sum(axis=axis, keepdims=True)
    tiny = np.finfo(x.dtype).tiny
    return np.asarray(dunit / norm - x * inner / (norm * norm * np.maximum(length, tiny)))
