"""Functions of the layer's definition in plain numpy, shared by tests that compute it by hand."""

from __future__ import annotations

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)
