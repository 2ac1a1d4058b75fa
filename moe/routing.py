"""`Routing`: the one object that every router returns, a list of (token, expert, weight)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Routing:
    """Which tokens go to which experts, with what weight, and who got in.

    A list of A assignments, not an (N, K) table: some methods have no fixed K.

    Attributes
    ----------
    n_tokens, n_experts
        N and E.
    token_A, expert_A
        Token and expert of each assignment, int32; no pair occurs twice.
    weight_A
        Weight of the expert's result in the token's sum.
    rank_A
        0 for a token's first choice, 1 for its second, ...
    kept_A
        False where capacity dropped the assignment.
    logits_NE, scores_NE
        The router's logits and the scores made of them, if it has any.
    score
        Name of the score function, 'softmax' or 'sigmoid' ('' without scores).
    saved
        What the router's backward needs beside these.
    n_special
        How many of the pool's last experts compute (nearly) nothing; see `moe.specials`.
    asked_A
        Experts asked for, if capacity sent some assignments elsewhere: `expert_A` is then where
        they went. None if every assignment is at the expert it asked for.
    dispatch_NS, combine_NS
        Soft MoE only: each of S slots is a mix of all tokens, each token a mix of all slots;
        slots belong to experts in order, S / E each. The list then holds every pair, with the
        token's weights on the expert's slots added up.
    """

    n_tokens: int
    n_experts: int
    token_A: np.ndarray
    expert_A: np.ndarray
    weight_A: np.ndarray
    rank_A: np.ndarray
    kept_A: np.ndarray
    logits_NE: np.ndarray | None = None
    scores_NE: np.ndarray | None = None
    score: str = ""
    saved: Mapping[str, np.ndarray] = field(default_factory=dict)
    dispatch_NS: np.ndarray | None = None
    combine_NS: np.ndarray | None = None
    n_special: int = 0
    asked_A: np.ndarray | None = None

    @classmethod
    def from_choices(
        cls,
        expert_NK: np.ndarray,
        weight_NK: np.ndarray,
        n_experts: int,
        *,
        logits_NE: np.ndarray | None = None,
        scores_NE: np.ndarray | None = None,
        score: str = "",
        saved: Mapping[str, np.ndarray] | None = None,
        listed_NK: np.ndarray | None = None,
        n_special: int = 0,
    ) -> Routing:
        """Build a routing in which each token has up to k choices, best first; (N, K) arrays.

        With `listed_NK`, bool, only those choices become assignments.
        """
        n_tokens, k = expert_NK.shape
        listed = slice(None) if listed_NK is None else listed_NK.reshape(-1)
        token_A = np.repeat(np.arange(n_tokens, dtype=np.int32), k)[listed]
        return cls(
            n_tokens=n_tokens,
            n_experts=n_experts,
            token_A=token_A,
            expert_A=expert_NK.reshape(-1).astype(np.int32, copy=False)[listed],
            weight_A=weight_NK.reshape(-1)[listed],
            rank_A=np.tile(np.arange(k, dtype=np.int32), n_tokens)[listed],
            kept_A=np.ones(token_A.size, bool),
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=score,
            saved=saved or {},
            n_special=n_special,
        )

    @property
    def n_assignments(self) -> int:
        """Assignments asked for, A."""
        return int(self.token_A.size)

    @cached_property
    def load(self) -> np.ndarray:
        """Assignments kept, per expert, (E,) int64."""
        return np.bincount(self.expert_A[self.kept_A], minlength=self.n_experts)

    @cached_property
    def proposed_load(self) -> np.ndarray:
        """Assignments asked for before capacity, per expert, (E,) int64."""
        asked_A = self.expert_A if self.asked_A is None else self.asked_A
        return np.bincount(asked_A, minlength=self.n_experts)

    @property
    def dropped(self) -> int:
        """Number of assignments that capacity dropped."""
        return int(self.n_assignments - self.kept_A.sum())

    @property
    def rerouted(self) -> int:
        """Number of assignments that went to another expert than the one they asked for."""
        return 0 if self.asked_A is None else int((self.expert_A != self.asked_A).sum())

    def combine(self) -> np.ndarray:
        """Dense weights of the kept assignments, (N, E): y = combine() @ experts(x)."""
        dense_NE = np.zeros((self.n_tokens, self.n_experts), self.weight_A.dtype)
        kept = self.kept_A
        dense_NE[self.token_A[kept], self.expert_A[kept]] = self.weight_A[kept]
        return dense_NE

    def with_kept(self, kept_A: np.ndarray) -> Routing:
        """Return the same routing with another set of kept assignments, (A,) bool."""
        return replace(self, kept_A=kept_A)
