"""Null experts: one logit stands for many experts that give 0, a bar that a token sets itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..errors import check_float, check_int
from ..settings import option
from .base import MAX_SPECIALS, Arrays
from .moe_pp import WithZeroExperts


def _whole(value: float) -> bool:
    return abs(value - round(value)) <= 1e-9


@dataclass(frozen=True)
class NullExperts(WithZeroExperts):
    """Top-k of a softmax over N computing experts and M copies of one null expert, which gives 0.

    The copies share a logit: computing experts above it run, and null ones fill the other places.
    So a token may take 0 to k experts, by itself and without a look at others; and since any
    balance loss over the whole pool wants a share N / (N + M) = rho of the choices to compute,
    it takes rho k on average. Weights are divided by the sum of those that compute.

    Copies are alike, so which of them a token counts for is free. Here they start behind the number
    of its best computing expert, and where there are more copies than such experts, the second best
    says how far behind; so they are about as even as the experts are.

    Parameters
    ----------
    k
        Most experts per token.
    n_zero
        Copies, M. `MoELayer`'s n_experts counts the whole pool, N + M.

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("null_experts", k=3, n_zero=3)
    >>> r = router.choose(np.log([[1.0, 2.0, 6.0, 1.5, 1.5, 1.5], [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(2).tolist()  # two experts, and none
    ([2, 1, 5, 3, 4, 5], [0.75, 0.25, 0.0, 0.0, 0.0, 0.0])
    """

    name: ClassVar[str] = "null_experts"
    title: ClassVar[str] = "Null experts (data sparsity)"
    source: ClassVar[str] = (
        "Improving MoE Compute Efficiency by Composing Weight and Data Sparsity, arXiv 2601.15370, "
        "section 4, equations 2-5"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\ell &= [x W,\ x v, \dots, x v], \quad p = \operatorname{softmax}(\ell) \\"
        r"T &= \{ e \in \operatorname{top}_k(p) : e \le N \} \\"
        r"w_e &= p_e \Big/ \sum_{j \in T} p_j, \quad e \in T"
        r"\end{aligned}"
    )
    renormalize = True

    k: int = 4
    n_zero: int = option(2, low=1, high=MAX_SPECIALS)

    @classmethod
    def at(cls, n_computing: int, expected: int, rho: float) -> NullExperts:
        """The router with `expected` of N computing experts per token, at data sparsity rho.

        k = expected / rho and M = N (1 - rho) / rho; the paper finds 0.5 to be best.

        Raises
        ------
        ValueError
            If a number is not allowed, or these are no whole ones.

        Examples
        --------
        >>> from moe.routers.null_experts import NullExperts
        >>> NullExperts.at(64, 4, 0.5)
        NullExperts(k=8, n_zero=64)
        """
        check_int("n_computing", n_computing, 1)
        check_int("expected", expected, 1, n_computing)
        check_float("rho", rho, 0.0, 1.0, open_low=True)
        copies, k = n_computing / rho - n_computing, expected / rho
        if not 1 <= copies <= MAX_SPECIALS or not (_whole(copies) and _whole(k)):
            raise ValueError(
                f"rho: got {rho} with {expected} of {n_computing} experts, allowed is one of which "
                f"1 / rho times both numbers is whole, below 1, with at most {MAX_SPECIALS} copies"
            )
        return cls(k=round(k), n_zero=round(copies))

    @property
    def specials(self) -> tuple[str, ...]:
        """The copies, at the end of the pool."""
        return ("zero",) * self.n_zero

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """A gate with one column for each computing expert, and one for all copies."""
        return super().init_params(d_model, n_experts - self.n_zero + 1, rng)

    def n_logits(self, n_columns: int) -> int:
        """One for each expert of the pool: the last column's is there once for each copy."""
        return n_columns - 1 + self.n_zero

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """Logits of the whole pool, (N, E): the last column of the gate's once for each copy."""
        made = super().project(x_ND, params, n_experts)
        own_NC = made["logits_NE"]
        copies_NM = np.repeat(own_NC[:, -1:], self.n_zero, axis=1)
        return made | {"logits_NE": np.concatenate([own_NC[:, :-1], copies_NM], axis=1)}

    def project_backward(
        self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], dmade: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """Gradients at x and at the gate; the copies' column gets their sum."""
        dlogits_NE = dmade["logits_NE"]
        own_NC, copies_NM = dlogits_NE[:, : -self.n_zero], dlogits_NE[:, -self.n_zero :]
        down_NC = np.concatenate([own_NC, copies_NM.sum(axis=1, keepdims=True)], axis=1)
        return super().project_backward(x_ND, params, dict(dmade) | {"logits_NE": down_NC})

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Experts of each token, (N, K), best first, its copies in turn; see the class."""
        expert_NK = kernels.topk(logits_NE, self.k)
        first = logits_NE.shape[1] - self.n_zero
        copies_NM = logits_NE[:, first:]
        alike_N = (copies_NM == copies_NM[:, :1]).all(axis=1)  # as `project` makes them
        best_NB = kernels.topk(logits_NE[:, :first], min(2, first)).astype(np.int64)
        pair_N = best_NB[:, 0] * first + best_NB[:, -1]
        start_N = np.where(alike_N, pair_N * max(first, self.n_zero) // first**2, 0)
        turned_NK = first + (expert_NK - first + start_N[:, None]) % self.n_zero
        return np.where(expert_NK < first, expert_NK, turned_NK).astype(expert_NK.dtype)
