"""Pinned: the experts that the past used most stay, whatever comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Policy, Requests


@dataclass(frozen=True)
class Pinned(Policy):
    """The experts that the same task used most in the past stay.

    Each is read when it is first asked for, as with every policy, and stays from then on. Others
    fill what is still free, and give way to those that the past used more.
    """

    name: ClassVar[str] = "pinned"
    title: ClassVar[str] = "this task's favourites stay"
    source: ClassVar[str] = "antirez/ds4, issue 390"
    past: ClassVar[str] = "own"
    skips: ClassVar[bool] = True

    def worth(self, requests: Requests) -> np.ndarray:
        """Worth by the place in the past's order; see `Policy.worth`."""
        order_E = np.argsort(-requests.known_past.load_E, kind="stable")
        rank_E = np.empty(requests.n_experts, np.int64)
        rank_E[order_E] = np.arange(requests.n_experts)
        return -rank_E[requests.expert_NK]


@dataclass(frozen=True)
class PinnedByOther(Pinned):
    """The experts that another task used most stay: what a profile of yesterday's work does."""

    name: ClassVar[str] = "pinned_other"
    title: ClassVar[str] = "another task's favourites stay"
    past: ClassVar[str] = "other"
