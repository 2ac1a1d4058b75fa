"""LFU: the expert that was used least often goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Policy, Requests


@dataclass(frozen=True)
class LeastFrequent(Policy):
    """Least frequently used so far, in the cache or not; of equal ones the least recent goes."""

    name: ClassVar[str] = "lfu"
    title: ClassVar[str] = "the most used so far stay (LFU)"
    source: ClassVar[str] = "Lin, He and Chen 2025, arXiv 2511.05814"

    def worth(self, requests: Requests) -> np.ndarray:
        """Worth by the number of uses, then by the latest; see `Policy.worth`."""
        used_NK = use_number(requests.expert_NK)
        return np.asarray(used_NK * requests.expert_NK.size + requests.turn_NK)


def use_number(expert_NK: np.ndarray) -> np.ndarray:
    """How often a request's expert has been asked for, that request included, (N, K) int64."""
    flat_A = expert_NK.ravel()
    order_A = np.argsort(flat_A, kind="stable")
    first_A = np.flatnonzero(np.diff(flat_A[order_A], prepend=flat_A[:1].min(initial=0) - 2))
    start_A = np.repeat(first_A, np.diff(np.append(first_A, flat_A.size)))
    used_A = np.empty(flat_A.size, np.int64)
    used_A[order_A] = np.arange(flat_A.size) - start_A + 1
    return used_A.reshape(expert_NK.shape)
