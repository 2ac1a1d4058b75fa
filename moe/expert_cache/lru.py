"""LRU: the expert that was used least recently goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Policy, Requests


@dataclass(frozen=True)
class LeastRecent(Policy):
    """Least recently used: an expert that was missed takes the place of the one unused longest."""

    name: ClassVar[str] = "lru"
    title: ClassVar[str] = "the latest used stay (LRU)"
    source: ClassVar[str] = "Eliseev and Mazur 2023, arXiv 2312.17238"

    def worth(self, requests: Requests) -> np.ndarray:
        """Worth by the latest use; see `Policy.worth`."""
        return 2 * requests.turn_NK + 1  # between those that reading ahead gives
