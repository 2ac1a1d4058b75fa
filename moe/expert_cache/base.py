"""What every policy of an expert cache is: what an expert is worth, and what is read ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

SCALE = 2**20  # chances as whole numbers: their sums are exact, so no tie hangs on rounding


@dataclass(frozen=True, eq=False)
class Past:
    """What a layer chose before; counted when it is asked for, as few policies need pairs.

    Attributes
    ----------
    expert_NK, below_NK
        Experts of each token, here and in the recorded layer before, None in the first.
    n_experts
        E.
    """

    expert_NK: np.ndarray
    below_NK: np.ndarray | None
    n_experts: int

    @property
    def load_E(self) -> np.ndarray:
        """Requests of each expert, (E,)."""
        return np.bincount(self.expert_NK[self.expert_NK >= 0], minlength=self.n_experts)

    @property
    def after_EE(self) -> np.ndarray:
        """How often a token chose f whose predecessor chose e, at [e, f]."""
        return pair_counts(self.expert_NK[:-1], self.expert_NK[1:], self.n_experts)

    @property
    def below_EE(self) -> np.ndarray | None:
        """How often a token chose f here that chose e in the layer before; None in the first."""
        if self.below_NK is None:
            return None
        return pair_counts(self.below_NK, self.expert_NK, self.n_experts)


@dataclass(frozen=True, eq=False)
class Requests:
    """What one layer is asked for, and what may be known of it.

    Attributes
    ----------
    expert_NK
        Experts of each token, in the order in which it asks; -1 asks for nothing.
    below_NK
        The same tokens' experts in the recorded layer before, or None in the first.
    n_experts, k
        E, and the most experts that a token has.
    past
        What the layer chose before, or None.
    """

    expert_NK: np.ndarray
    below_NK: np.ndarray | None
    n_experts: int
    k: int
    past: Past | None = None

    @property
    def known_past(self) -> Past:
        """The past, for policies that need it.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.past is None:
            raise ValueError("past: got none, allowed is what the layer chose before")
        return self.past

    @property
    def turn_NK(self) -> np.ndarray:
        """Number of each request, from 0 on, (N, K)."""
        return np.arange(self.expert_NK.size).reshape(self.expert_NK.shape)


class Plan(NamedTuple):
    """`worth_NK` and `ahead_NP` of `moe.kernels.replay_cache`."""

    worth_NK: np.ndarray
    ahead_NP: np.ndarray


@dataclass(frozen=True)
class Policy(ABC):
    """Who stays in the cache, and who is brought in before it is asked for.

    Class attributes
    ----------------
    name, title, source
        Registry name, readable name, and publication.
    past
        Whose past it needs to know: 'own' task's, an 'other' task's, or '' for none.
    skips
        Whether an expert may be dropped right after its use, since others are worth more.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    past: ClassVar[str] = ""
    skips: ClassVar[bool] = False

    @abstractmethod
    def worth(self, requests: Requests) -> np.ndarray:
        """Worth of the requested expert from each request on, (N, K) int64."""

    def ahead(self, requests: Requests) -> np.ndarray:
        """Experts to bring in before each token, (N, P) int64, -1 for none; by default none."""
        return np.full((len(requests.expert_NK), 0), -1, np.int64)

    def plan(self, requests: Requests) -> Plan:
        """Both, as the kernel takes them."""
        return Plan(self.worth(requests), self.ahead(requests))


def pair_counts(from_NK: np.ndarray, to_NK: np.ndarray, n_experts: int) -> np.ndarray:
    """How often row n has e on the left and f on the right, (E, E) int64 at [e, f]."""
    n_pairs = from_NK.shape[1] * to_NK.shape[1]
    count = np.zeros(n_experts * n_experts, np.int64)
    # A pass goes over all counts, so it takes many pairs, but not more than memory has room for.
    rows = max(max(count.size // 4, LEAST_PAIRS) // max(n_pairs, 1), 1)
    for first in range(0, len(from_NK), rows):
        left_NK1 = from_NK[first : first + rows, :, None].astype(np.int64)
        right_N1K = to_NK[first : first + rows, None, :]
        both_NKK = (left_NK1 >= 0) & (right_N1K >= 0)
        pair_NKK = left_NK1 * n_experts + right_N1K
        count += np.bincount(pair_NKK[both_NKK], minlength=count.size)
    return count.reshape(n_experts, n_experts)


def likeliest(known_NK: np.ndarray, pair_EE: np.ndarray, k: int) -> np.ndarray:
    """Return the k experts with the largest summed chance, given a token's known ones, (N, k).

    The chance of f given e is the share of e's sightings in which f followed. Of equal ones the
    lower number comes first; -1 stands where no chance is left.
    """
    n_experts = len(pair_EE)
    seen_E1 = np.maximum(pair_EE.sum(axis=1, keepdims=True), 1)
    chance_EE = (pair_EE * SCALE // seen_E1).astype(np.float64)
    ahead_NP = np.empty((len(known_NK), min(k, n_experts)), np.int64)
    for first in range(0, len(known_NK), CHUNK):
        rows_NK = known_NK[first : first + CHUNK]
        given_NE = np.zeros((len(rows_NK), n_experts + 1))  # the last column takes the -1
        np.put_along_axis(given_NE, rows_NK.astype(np.int64), 1.0, axis=1)
        sum_NE = given_NE[:, :-1] @ chance_EE
        best_NP = np.argsort(-sum_NE, axis=1, kind="stable")[:, : ahead_NP.shape[1]]
        none_NP = np.take_along_axis(sum_NE, best_NP, axis=1) == 0
        ahead_NP[first : first + CHUNK] = np.where(none_NP, -1, best_NP)
    return ahead_NP


CHUNK = 4096  # tokens whose chances are in memory at once
LEAST_PAIRS = 1 << 20  # of experts that are counted at once, where there are so many
