"""What a gate does with logits, with or without its bias, and which logits leave no doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..routers import Router
from ..routers.fixed_k import FixedK, biased, choices
from ..routers.grouped import GroupLimited
from ..routers.sparsemixer import SparseMixer
from ..routing import Routing

CLEAR = 1e-4  # least relative distance of two scores that decides, whatever the rounding


@dataclass(frozen=True)
class Gate:
    """What names ask of a gate: the layer's router with its selection bias, if it has one."""

    router: Router
    bias_E: np.ndarray | None
    clamps: bool = False

    @property
    def groups(self) -> GroupLimited | None:
        """The router, if it keeps tokens out of some groups."""
        router = self.router
        limits = isinstance(router, GroupLimited) and router.topk_group < router.n_group
        return router if limits and isinstance(router, GroupLimited) else None

    @property
    def fixed(self) -> FixedK | None:
        """The router, if its weights are scores of k experts."""
        return self.router if isinstance(self.router, FixedK) else None

    def route(self, logits_NE: np.ndarray, steered: bool = True) -> Routing:
        """The routing, with the bias or without."""
        if self.bias_E is None or not steered:
            return self.router.choose(logits_NE)
        return self.router.choose(logits_NE, select_bias_E=self.bias_E)

    def chosen(self, logits_NE: np.ndarray, steered: bool = True) -> np.ndarray:
        """Which experts each token goes to, (N, E) bool."""
        return marked(choices(self.route(logits_NE, steered)), logits_NE.shape[1])

    def scores(self, logits_NE: np.ndarray) -> np.ndarray:
        """Scores, (N, E)."""
        scores_NE = self.route(logits_NE).scores_NE
        assert scores_NE is not None
        return scores_NE

    def selection(self, logits_NE: np.ndarray) -> np.ndarray:
        """What experts are chosen by: scores, with the bias if there is one, (N, E)."""
        return biased(self.scores(logits_NE), self.bias_E)

    def chosen_sum(self, logits_NE: np.ndarray) -> np.ndarray:
        """Sum of the chosen experts' scores, (N,)."""
        return np.asarray((self.scores(logits_NE) * self.chosen(logits_NE)).sum(axis=1))

    def weights(self, logits_NE: np.ndarray) -> np.ndarray:
        """Weights, (N, K)."""
        return self.route(logits_NE).weight_A.reshape(len(logits_NE), -1)

    def misjudging(
        self, logits_NE: np.ndarray, best_of: int, masked: float = -np.inf
    ) -> np.ndarray:
        """The choice if groups scored by `best_of` and experts out of reach had score `masked`."""
        router = self.groups
        assert router is not None
        sizes = router.n_group, router.topk_group, best_of
        select_NE = kernels.mask_groups(self.selection(logits_NE), *sizes)
        select_NE = np.where(np.isneginf(select_NE), masked, select_NE)
        return marked(kernels.topk(select_NE, router.k), logits_NE.shape[1])


def marked(expert_NK: np.ndarray, n_experts: int) -> np.ndarray:
    """A table (N, E) that is true at the experts of each token."""
    chosen_NE = np.zeros((len(expert_NK), n_experts), bool)
    np.put_along_axis(chosen_NE, expert_NK.astype(np.intp), True, axis=1)
    return chosen_NE


# Which logits leave no room for rounding ----------------------------------------------------------


def is_clear(gate: Gate, logits_NE: np.ndarray) -> np.ndarray:
    """Tokens whose experts, groups and their order any right gate agrees on, (N,) bool.

    Two that are compared are equal to the last bit, having the same logits and biases, or far
    enough apart for float32 and for another library's exponential.
    """
    select_NE, chosen_NE = gate.selection(logits_NE), gate.chosen(logits_NE)
    bias_E = np.zeros(logits_NE.shape[1]) if gate.bias_E is None else gate.bias_E
    least = float(np.abs(bias_E).max())
    if (router := gate.groups) is not None:
        grouped_NGM = select_NE.reshape(len(select_NE), router.n_group, -1)
        best_NGM = np.sort(grouped_NGM, axis=2)[:, :, ::-1]
        score_NG = best_NGM[:, :, : router.group_score_of].sum(axis=2)
        order_NG = np.argsort(-score_NG, axis=1, kind="stable")
        edge = order_NG[:, router.topk_group - 1 : router.topk_group + 1]
        two_N2 = np.take_along_axis(score_NG, edge, axis=1)
        members_N2M = np.take_along_axis(grouped_NGM, edge[:, :, None], axis=1)
        same_N = (members_N2M[:, 0] == members_N2M[:, 1]).all(axis=1)
        clear_N = same_N | _apart(two_N2[:, 0], two_N2[:, 1], least)
        reach_NG = np.zeros(score_NG.shape, bool)
        np.put_along_axis(reach_NG, order_NG[:, : router.topk_group], True, axis=1)
        reach_NE = np.repeat(reach_NG, grouped_NGM.shape[2], axis=1)
        select_NE = np.where(reach_NE, select_NE, -np.inf)
    else:
        clear_N = np.ones(len(logits_NE), bool)
    ranked_NE = np.argsort(-select_NE, axis=1, kind="stable")
    k = int(chosen_NE.sum(axis=1).max())
    for first, second in zip(ranked_NE.T[:k], ranked_NE.T[1 : k + 1], strict=True):
        one_N, other_N = (select_NE[np.arange(len(e)), e] for e in (first, second))
        tokens = np.arange(len(logits_NE))
        same_N = logits_NE[tokens, first] == logits_NE[tokens, second]
        same_N &= bias_E[first] == bias_E[second]
        clear_N &= same_N | _apart(one_N, other_N, least)
    if isinstance(gate.router, SparseMixer):
        clear_N &= _rivals_are_clear(gate.router, logits_NE)
    return clear_N


def _apart(one_N: np.ndarray, other_N: np.ndarray, least: float) -> np.ndarray:
    size_N = np.maximum(np.maximum(np.abs(one_N), np.abs(other_N)), least)
    return np.asarray(np.abs(one_N - other_N) > CLEAR * size_N) & (size_N > 0)


def _rivals_are_clear(router: SparseMixer, logits_NE: np.ndarray) -> np.ndarray:
    """Whether nobody is at the very distance at which an expert no longer competes."""
    clear_N = np.ones(len(logits_NE), bool)
    open_NE = logits_NE.copy()
    for _ in range(2):
        best_N1 = open_NE.max(axis=1, keepdims=True)
        size_NE = np.maximum(np.abs(logits_NE), best_N1)
        far_NE = np.divide(best_N1 - logits_NE, size_NE, where=size_NE != 0, out=0 * size_NE)
        clear_N &= (np.abs(far_NE - 2 * router.jitter_eps) > CLEAR).all(axis=1)
        np.put_along_axis(open_NE, open_NE.argmax(axis=1)[:, None], -np.inf, axis=1)
    return clear_N
