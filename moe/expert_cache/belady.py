"""Belady: the expert that is needed furthest in the future goes, which needs to know the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Policy, Requests


@dataclass(frozen=True)
class Belady(Policy):
    """The bound: of those there and the one just read, the one needed last is dropped.

    No policy reads fewer experts, with any reading ahead: what is read ahead could as well be read
    when it is asked for, and what is dropped after its use is an expert that no room was kept for.
    """

    name: ClassVar[str] = "belady"
    title: ClassVar[str] = "the best possible, which knows the future (Belady)"
    source: ClassVar[str] = "Belady 1966, IBM Systems Journal 5(2), pages 78-101"
    skips: ClassVar[bool] = True

    def worth(self, requests: Requests) -> np.ndarray:
        """Worth by how soon the expert is needed again; see `Policy.worth`."""
        return -next_use(requests.expert_NK)


def next_use(expert_NK: np.ndarray) -> np.ndarray:
    """Number of the next request of the same expert, (N, K) int64; that of none if there is none.

    None's number is that of all requests.
    """
    flat_A = expert_NK.ravel()
    order_A = np.argsort(flat_A, kind="stable")
    again_A = flat_A[order_A][1:] == flat_A[order_A][:-1]
    next_A = np.full(flat_A.size, flat_A.size, np.int64)
    next_A[order_A[:-1][again_A]] = order_A[1:][again_A]
    return next_A.reshape(expert_NK.shape)
