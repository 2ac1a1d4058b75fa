"""Gates that choose experts by their scores: choice, weights and the way back, once for all."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..errors import check_array, check_choice, check_float, check_int
from ..routing import Routing
from ..scores import SCORES, logits_backward, make_scores
from .base import Router, check_k

EPS = 1e-20  # DeepSeek-V3 adds it to the sum of chosen scores before dividing


class ScoreRouter(Router):
    """Every token goes to some experts, best first, weighted by their scores.

    Subclasses state what differs: the name of the score function as a plain class attribute or as
    an option (a field), or one of the methods.
    """

    score = "softmax"  # without ClassVar, so that a subclass may make it an option

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select experts of each token and weigh them; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, self.score)
        expert_NK = self.select(logits_NE, scores_NE, rng=rng, token_ids=token_ids, **state)
        weight_NK = self.weights(logits_NE, scores_NE, expert_NK)
        more = self.narrow(expert_NK, weight_NK, rng)
        return self._routing(logits_NE, scores_NE, self.score, expert_NK, weight_NK, **more)

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Experts of each token, (N, K), best first: all of them.

        `given` has what `choose` got beside the logits: rng, token_ids and state.
        """
        return kernels.topk(logits_NE, logits_NE.shape[1])

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Weights of these experts, (N, K): their scores."""
        return gather(scores_NE, expert_NK)

    def narrow(
        self, expert_NK: np.ndarray, weight_NK: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, Any]:
        """Which of these a token does go to: arguments of `Routing.from_choices`; none: to all."""
        return {}

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        return logits_backward(routing, scatter_list(routing, dweight_A))


class FixedK(ScoreRouter):
    """Every token goes to k experts, weighted by their scores; the choice itself is fixed.

    Subclasses state what differs: a value below, as an option or for good, or one of `select`,
    `weights` with `weights_backward`, and `choose`.

    Class attributes
    ----------------
    k
        Experts per token.
    score
        Name of the score function.
    renormalize, norm_min, norm_eps
        Whether the chosen scores are divided by their sum, the least sum to divide by, and what
        is added to the sum.
    scale
        Factor on all weights.
    """

    k = 1
    renormalize = False
    norm_min = 0.0
    norm_eps = 0.0
    scale = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("k", self.k, 1)
        check_choice("score", self.score, SCORES)
        check_float("norm_min", self.norm_min, 0.0)
        check_float("norm_eps", self.norm_eps, 0.0)
        check_float("scale", self.scale, 0.0, open_low=True)

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless 1 <= k <= n_experts."""
        super().check(n_experts)
        check_k(self.k, n_experts)

    @property
    def gate_learns(self) -> bool:
        """Not with one renormalised choice; `norm_min` leaves a score below it as it is."""
        return not (self.k == 1 and self.renormalize and self.norm_min == 0)

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Experts of each token, (N, K), best first: those with the largest selection scores."""
        selection_NE = biased(scores_NE, given.get("select_bias_E"), given.get("select_factor_E"))
        # Scores rise with logits, and logits still differ where scores round to 0 or 1.
        wanted_NE = logits_NE if selection_NE is scores_NE else selection_NE
        return kernels.topk(wanted_NE, self.k)

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Weights of these experts, (N, K): their scores, renormalised and scaled if asked for."""
        weight_NK = super().weights(logits_NE, scores_NE, expert_NK)
        if self.renormalize:
            weight_NK = normalize(weight_NK, self.norm_min, self.norm_eps)
        return weight_NK if self.scale == 1 else weight_NK * weight_NK.dtype.type(self.scale)

    def weights_backward(
        self, scores_NE: np.ndarray, expert_NK: np.ndarray, dweight_NK: np.ndarray
    ) -> np.ndarray:
        """Gradient at the chosen scores, (N, K), given the one at `weights`."""
        if self.scale != 1:
            dweight_NK = dweight_NK * dweight_NK.dtype.type(self.scale)
        if not self.renormalize:
            return dweight_NK
        chosen_NK = gather(scores_NE, expert_NK)
        return normalize_backward(chosen_NK, dweight_NK, self.norm_min, self.norm_eps)

    def weigh(self, routing: Routing) -> np.ndarray:
        """Weights of the experts that assignments went to; see `Router.weigh`."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        expert_NK = choices(routing)
        return self.weights(routing.logits_NE, routing.scores_NE, expert_NK).reshape(-1)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        expert_NK = choices(routing)
        return self._backward(routing, expert_NK, dweight_A.reshape(expert_NK.shape))

    def _backward(
        self, routing: Routing, expert_NK: np.ndarray, dweight_NK: np.ndarray
    ) -> np.ndarray:
        assert routing.scores_NE is not None
        dchosen_NK = self.weights_backward(routing.scores_NE, expert_NK, dweight_NK)
        return logits_backward(routing, scatter(dchosen_NK, expert_NK, routing.n_experts))


def steers(select_bias_E: np.ndarray | None, select_factor_E: np.ndarray | None) -> bool:
    """Whether a balancer's arrays change who is selected: a bias, or a factor other than 1."""
    if select_bias_E is not None and select_bias_E.any():
        return True
    return select_factor_E is not None and bool((select_factor_E != 1).any())


def biased(
    scores_NE: np.ndarray,
    select_bias_E: np.ndarray | None,
    select_factor_E: np.ndarray | None = None,
) -> np.ndarray:
    """Scores times a balancer's factor, plus its bias; `scores_NE` itself where neither steers.

    Both change who is selected and never enter the weights.
    """
    if not steers(select_bias_E, select_factor_E):
        return scores_NE
    if select_factor_E is not None:
        factor_E = check_array("select_factor_E", select_factor_E, (scores_NE.shape[1],))
        scores_NE = scores_NE * factor_E.astype(scores_NE.dtype)
    if select_bias_E is None:
        return scores_NE
    bias_E = check_array("select_bias_E", select_bias_E, (scores_NE.shape[1],))
    return np.asarray(scores_NE + bias_E.astype(scores_NE.dtype))


def bars(threshold_E: np.ndarray | None, logits_NE: np.ndarray) -> np.ndarray:
    """Thresholds of the experts in the type of the logits, (E,); 0 where none are given."""
    n_experts = logits_NE.shape[1]
    if threshold_E is None:
        return np.zeros(n_experts, logits_NE.dtype)
    return check_array("threshold_E", threshold_E, (n_experts,)).astype(logits_NE.dtype)


def broken_rows(logits_NE: np.ndarray) -> np.ndarray:
    """Tokens with a logit that is NaN, (N,) bool: their weights have to be NaN too."""
    return np.asarray(np.isnan(logits_NE).any(axis=1))


def gather(table_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
    """Entries of each row at the chosen experts, (N, K)."""
    return table_NE[np.arange(len(table_NE))[:, None], expert_NK]


def scatter(values_NK: np.ndarray, expert_NK: np.ndarray, n_experts: int) -> np.ndarray:
    """Rows of zeros with the values put at the chosen experts, (N, E)."""
    table_NE = np.zeros((values_NK.shape[0], n_experts), values_NK.dtype)
    table_NE[np.arange(len(table_NE))[:, None], expert_NK] = values_NK
    return table_NE


def normalize(chosen_NK: np.ndarray, floor: float = 0.0, eps: float = 0.0) -> np.ndarray:
    """Weights that sum to one: chosen scores over their sum, or over `floor` if that is more.

    `eps` is added to the sum, and weights then sum to a little less than one.
    """
    total_N1 = _sum(chosen_NK, eps)
    return np.asarray(chosen_NK / _at_least(total_N1, floor))


def _sum(chosen_NK: np.ndarray, eps: float) -> np.ndarray:
    return np.asarray(chosen_NK.sum(axis=1, keepdims=True) + chosen_NK.dtype.type(eps or EPS))


def _at_least(total_N1: np.ndarray, floor: float) -> np.ndarray:
    # Without a floor a sum may be negative: `moe check-gate` weighs with biases on purpose.
    return np.maximum(total_N1, total_N1.dtype.type(floor)) if floor else total_N1


def normalize_backward(
    chosen_NK: np.ndarray, dweight_NK: np.ndarray, floor: float = 0.0, eps: float = 0.0
) -> np.ndarray:
    """Gradient at the chosen scores of `normalize`; the floor is a constant."""
    total_N1 = _sum(chosen_NK, eps)
    inner_N1 = (dweight_NK * chosen_NK).sum(axis=1, keepdims=True) / total_N1
    if floor:
        inner_N1 *= total_N1 >= floor
    return np.asarray((dweight_NK - inner_N1) / _at_least(total_N1, floor))


def choices(routing: Routing) -> np.ndarray:
    """Chosen experts of a routing with as many for each token as a table, (N, K)."""
    k = routing.n_assignments // routing.n_tokens if routing.n_tokens else 1
    return routing.expert_A.reshape(-1, k)


def scatter_list(routing: Routing, values_A: np.ndarray) -> np.ndarray:
    """Table (N, E) with the values of each assignment at its place, zero elsewhere."""
    table_NE = np.zeros((routing.n_tokens, routing.n_experts), values_A.dtype)
    table_NE[routing.token_A, routing.expert_A] = values_A
    return table_NE
