"""Hash layers: the token's identity decides; nothing is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapreplace
from typing import ClassVar

import numpy as np

from ..errors import check_int
from ..routing import Routing
from ..settings import option
from .base import Arrays, Router, check_k


@lru_cache(maxsize=32)
def token_table(n_vocab: int, n_experts: int, k: int, seed: int) -> np.ndarray:
    """Random table of k different experts for each token id, (V, K) int32."""
    rng = np.random.default_rng([seed, n_vocab, n_experts])
    table_VE = rng.permuted(np.tile(np.arange(n_experts, dtype=np.int32), (n_vocab, 1)), axis=1)
    table_VK = np.ascontiguousarray(table_VE[:, :k])
    table_VK.flags.writeable = False
    return table_VK


@lru_cache(maxsize=32)
def balanced_table(counts: tuple[int, ...], n_experts: int) -> np.ndarray:
    """Give tokens, most frequent first, to the expert with the least work so far; (V, 1) int32."""
    table_V1 = np.zeros((len(counts), 1), np.int32)
    least = [(0, expert) for expert in range(n_experts)]  # a heap; ties go to the lower expert
    for token in np.argsort(-np.array(counts), kind="stable"):
        work, expert = least[0]
        table_V1[token, 0] = expert
        heapreplace(least, (work + counts[token], expert))
    table_V1.flags.writeable = False
    return table_V1


def look_up(table_VK: np.ndarray, token_ids: np.ndarray | None, n_tokens: int) -> np.ndarray:
    """Experts of each token, (N, K): by its id, or without ids by its position.

    Ids beyond the table wrap around.
    """
    ids_N = np.arange(n_tokens) if token_ids is None else np.asarray(token_ids, np.int64)
    return np.asarray(table_VK[ids_N % len(table_VK)])


@dataclass(frozen=True)
class Hash(Router):
    """A fixed table sends each token id to its expert, with weight 1 / k; no gradient.

    Without `token_ids`, a token's position stands for its id; ids beyond the table wrap around.

    Parameters
    ----------
    k
        Experts per token; 1 in the paper.
    n_vocab, table_seed
        Size and seed of the random table.
    counts
        Frequency of each token id; given, k is 1 and the table is balanced by them. `balanced_by`
        counts them in a corpus.

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("hash")
    >>> r = router.choose(np.zeros((3, 4)), token_ids=np.array([7, 8, 7]))
    >>> bool(r.expert_A[0] == r.expert_A[2]), r.weight_A.tolist()
    (True, [1.0, 1.0, 1.0])
    >>> balanced = moe.make_router("hash", counts=(5, 3, 2, 2))  # 5 + 2 and 3 + 2
    >>> balanced.choose(np.zeros((4, 2))).expert_A.tolist()
    [0, 1, 1, 0]
    """

    name: ClassVar[str] = "hash"
    title: ClassVar[str] = "Hash layer"
    source: ClassVar[str] = "Hash Layers, arXiv 2106.04426, section 3"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"e &= \operatorname{table}[\text{token id}] \\"
        r"w_e &= 1 / k"
        r"\end{aligned}"
    )
    projections: ClassVar[tuple[str, ...]] = ()
    scored: ClassVar[bool] = False

    k: int = 1
    n_vocab: int = option(256, low=1)
    table_seed: int = option(0, low=0)
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("k", self.k, 1, 1 if self.counts else None, "balanced" if self.counts else "")
        if self.counts and min(self.counts) < 0:
            raise ValueError(f"counts: got {min(self.counts)}, allowed are whole numbers >= 0")

    @classmethod
    def balanced_by(cls, token_ids: np.ndarray, n_vocab: int) -> Hash:
        """Return the router whose table is balanced by how often each id occurs in a corpus."""
        return cls(counts=tuple(np.bincount(token_ids, minlength=n_vocab).tolist()))

    @property
    def gate_learns(self) -> bool:
        """There is no gate."""
        return False

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless 1 <= k <= n_experts."""
        super().check(n_experts)
        check_k(self.k, n_experts)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Look each token up; see `Router.choose`. Of the logits only their shape matters."""
        logits_NE = self._check_logits(logits_NE)
        n_tokens, n_experts = logits_NE.shape
        if self.counts:
            table_VK = balanced_table(self.counts, n_experts)
        else:
            table_VK = token_table(self.n_vocab, n_experts, self.k, self.table_seed)
        expert_NK = look_up(table_VK, token_ids, n_tokens)
        weight_NK = np.full(expert_NK.shape, 1 / self.k, logits_NE.dtype)
        return Routing.from_choices(expert_NK, weight_NK, n_experts)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Zero: a table has no gradient."""
        return np.zeros((routing.n_tokens, routing.n_experts), dweight_A.dtype)

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """Return logits of zero: there is no gate."""
        return {"logits_NE": np.zeros((len(x_ND), n_experts), x_ND.dtype)}
