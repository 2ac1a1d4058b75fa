"""`Routing`: a list of (token, expert, weight), which every router returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from .errors import check_mask


@lru_cache(maxsize=8)
def _grid(n_tokens: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token, rank and kept mark of every cell of an (N, K) table, row by row."""
    token_A = np.repeat(np.arange(n_tokens, dtype=np.int32), k)
    rank_A = np.tile(np.arange(k, dtype=np.int32), n_tokens)
    return token_A, rank_A, np.ones(token_A.size, bool)


@dataclass(frozen=True)
class Routing:
    """Which tokens go to which experts, with what weight, and which of them got in.

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
        The router's logits and their scores, if it has any.
    score
        Name of the score function, 'softmax' or 'sigmoid' ('' without scores).
    saved
        What the router's backward needs beside these, each array with its shape in its name.
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
        token_A, rank_A, kept_A = (array.copy() for array in _grid(n_tokens, k))
        listed: slice | np.ndarray = slice(None)
        if listed_NK is not None:
            listed = listed_NK.reshape(-1)
            token_A, rank_A, kept_A = token_A[listed], rank_A[listed], kept_A[listed]
        return cls(
            n_tokens=n_tokens,
            n_experts=n_experts,
            token_A=token_A,
            expert_A=expert_NK.reshape(-1).astype(np.int32, copy=False)[listed],
            weight_A=weight_NK.reshape(-1)[listed],
            rank_A=rank_A,
            kept_A=kept_A,
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=score,
            saved=saved or {},
            n_special=n_special,
        )

    @classmethod
    def join(cls, routings: Sequence[Routing]) -> Routing:
        """One routing of several batches' tokens, one batch after another.

        For a batch that was cut into micro-batches: a balancer's `update` is not linear in the
        loads, so one step on the joined routing differs from a step after each of them.

        Raises
        ------
        ValueError
            If there are none, or they are not of the same router and experts.

        Examples
        --------
        >>> import numpy as np, moe
        >>> router = moe.make_router("topk", k=1)
        >>> parts = [router.choose(np.eye(2)[choice]) for choice in ([0, 0], [1, 0])]
        >>> moe.Routing.join(parts).load.tolist()
        [3, 1]
        """
        if not routings or len({(r.n_experts, r.score, r.n_special) for r in routings}) > 1:
            sizes = [r.n_experts for r in routings]
            raise ValueError(
                f"routings: got {len(sizes)} of {sizes} experts, allowed are routings of one "
                "router, at least one"
            )
        first = np.cumsum([0, *(r.n_tokens for r in routings)])
        tables = [_tables(r, any(r.asked_A is not None for r in routings)) for r in routings]
        joined = {
            name: np.concatenate([t[name] for t in tables]) if _axis(name) else tables[0][name]
            for name in tables[0]
            if all(name in t for t in tables)
        }
        joined["token_A"] = np.concatenate(
            [r.token_A + start for r, start in zip(routings, first, strict=False)]
        ).astype(np.int32)
        return _with_tables(routings[0], int(first[-1]), joined)

    def only(self, mask_N: np.ndarray) -> Routing:
        """The routing of some tokens, numbered anew: of a batch without its padding, for example.

        `load`, metrics and a balancer's `update` then count these tokens only. (For a balance
        loss, whose gradient is that of the whole batch, `Balancer.loss` takes the mask.)

        Parameters
        ----------
        mask_N
            True for the tokens that stay, (N,) bool.

        Raises
        ------
        ValueError
            If it is something else.

        Examples
        --------
        >>> import numpy as np, moe
        >>> routing = moe.make_router("topk", k=1).choose(np.eye(2)[[0, 1, 1]])
        >>> routing.only(np.array([True, True, False])).load.tolist()
        [1, 1]
        """
        mask_N = check_mask(mask_N, self.n_tokens)
        chosen = {"N": mask_N, "A": mask_N[self.token_A]}
        tables = {
            name: table[chosen[_axis(name)]] if _axis(name) else table
            for name, table in _tables(self, self.asked_A is not None).items()
        }
        tables["token_A"] = (np.cumsum(mask_N) - 1)[tables["token_A"]].astype(np.int32)
        return _with_tables(self, int(mask_N.sum()), tables)

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

    @property
    def broken_tokens(self) -> np.ndarray:
        """Tokens with a weight that is NaN, kept or not; their results have to be NaN."""
        return np.asarray(np.unique(self.token_A[np.isnan(self.weight_A)]))

    def combine(self) -> np.ndarray:
        """Dense weights of the kept assignments, (N, E): y = combine() @ experts(x)."""
        dense_NE = np.zeros((self.n_tokens, self.n_experts), self.weight_A.dtype)
        kept = self.kept_A
        dense_NE[self.token_A[kept], self.expert_A[kept]] = self.weight_A[kept]
        return dense_NE

    def with_kept(self, kept_A: np.ndarray) -> Routing:
        """Return the same routing with another set of kept assignments, (A,) bool."""
        return replace(self, kept_A=kept_A)


FIELDS = (
    "token_A", "expert_A", "weight_A", "rank_A", "kept_A", "asked_A", "logits_NE", "scores_NE",
    "dispatch_NS", "combine_NS",
)  # fmt: skip


def _axis(name: str) -> str:
    """'N' or 'A' if an array has a row per token or assignment, as its name says; else ''."""
    axis = name.rpartition("_")[2][:1]
    return axis if axis in ("N", "A") else ""


def _tables(routing: Routing, with_asked: bool) -> dict[str, np.ndarray]:
    """All arrays of a routing by name, what is saved for backward too."""
    tables = {f"saved.{name}": array for name, array in routing.saved.items()}
    for name in FIELDS:
        if (array := getattr(routing, name)) is not None:
            tables[name] = array
    if with_asked:
        tables.setdefault("asked_A", routing.expert_A)
    return tables


def _with_tables(routing: Routing, n_tokens: int, tables: Mapping[str, np.ndarray]) -> Routing:
    """The routing with other tokens, and these arrays."""
    saved = {
        name.removeprefix("saved."): array
        for name, array in tables.items()
        if name.startswith("saved.")
    }
    arrays = {name: tables.get(name) for name in FIELDS}
    return replace(routing, n_tokens=n_tokens, saved=saved, **arrays)  # type: ignore[arg-type]
