"""Rotary positions (arXiv 2104.09864): the angles by which pairs of columns turn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


class Rotation:
    """Cosines and sines by position and pair; called with more positions, the tables grow."""

    def __init__(self, n_pairs: int, theta: float, dtype: str) -> None:
        self._angle_R = theta ** (-np.arange(n_pairs) / max(n_pairs, 1))
        self._dtype = dtype
        self._tables = (np.zeros((0, n_pairs), dtype),) * 2

    def __call__(self, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
        """Tables (T, R) of at least that many positions."""
        tables = self._tables
        if len(tables[0]) < n_positions:
            size = max(64, 1 << (n_positions - 1).bit_length())
            angle_TR = np.arange(size)[:, None] * self._angle_R
            tables = (np.cos(angle_TR).astype(self._dtype), np.sin(angle_TR).astype(self._dtype))
            self._tables = tables
        return tables


@lru_cache(maxsize=32)
def rotation(n_pairs: int, theta: float, dtype: str) -> Rotation:
    """The tables of cosines and sines for heads of one width."""
    return Rotation(n_pairs, theta, dtype)
