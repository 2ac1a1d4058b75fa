"""SparseMixer: two experts, each weighed by a softmax over those that score about as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_int
from ..routing import Routing
from ..scores import make_scores
from ..settings import option
from .base import Router
from .fixed_k import choices, gather

FULL = 0.75  # a sampled expert that is not the best counts in full with probability 1 - FULL
THIRD = 0.3333  # and else by a third, as Heun's third-order method has it


@dataclass(frozen=True)
class SparseMixer(Router):
    """PhiMoE's router: the best expert, then the best of the others; no common softmax.

    Each weight is a softmax over those experts only whose score is within 2 `jitter_eps` of the
    best one, relative to the larger of the two in size; which these are is fixed for the gradient.
    Weights need not sum to one: a clear winner and a clear second both get 1.

    With an rng each expert is drawn from its softmax instead (the Gumbel trick). One that is not
    the best counts a third three times out of four, and the gradient is the authors' third-order
    estimate: that of the whole weight.

    Parameters
    ----------
    jitter_eps
        Half the relative distance at which an expert no longer competes (PhiMoE: 0.01).

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("sparsemixer").choose(np.array([[2.0, 1.99, 0.0, 1.5]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1], [0.5025, 1.0])
    """

    name: ClassVar[str] = "sparsemixer"
    title: ClassVar[str] = "SparseMixer (PhiMoE top-2)"
    source: ClassVar[str] = (
        "GRIN MoE, arXiv 2409.12136, section 3.1; transformers modeling_phimoe.py"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"e_1 &= \operatorname{argmax}_e s_e, \quad e_2 = \operatorname{argmax}_{e \ne e_1} s_e, "
        r"\quad s = x W \\"
        r"C_i &= \Big\{ e : \frac{s_{e_i} - s_e}{\max(|s_e|, s_{e_i})} \le 2 \epsilon \Big\}, "
        r"\quad e_1 \notin C_2 \\"
        r"w_{e_i} &= \exp(s_{e_i}) \Big/ \sum_{j \in C_i} \exp(s_j)"
        r"\end{aligned}"
    )
    straight_through: ClassVar[bool] = True

    jitter_eps: float = option(0.01, low=0)

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless there are two experts to choose."""
        check_int("n_experts", n_experts, 2, None, "a token goes to two")

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select one expert, mask it, and select another; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        open_NE, weights, saved = logits_NE, [], {}
        experts: list[np.ndarray] = []
        for turn in ("first_NE", "second_NE"):
            best_N1 = open_NE.max(axis=1, keepdims=True)
            size_NE = np.maximum(np.abs(logits_NE), best_N1)
            with np.errstate(invalid="ignore", divide="ignore"):  # scores of 0 compete with 0
                far_NE = (best_N1 - logits_NE) / size_NE > 2 * self.jitter_eps
            close_NE = np.where(far_NE, open_NE.dtype.type(-np.inf), open_NE)
            share_NE = saved[turn] = np.asarray(kernels.softmax(close_NE))
            expert_N1 = _best_but(open_NE, experts)
            weight_N1 = gather(share_NE, expert_N1)
            if rng is not None:
                best_N1, draw_NE = expert_N1, rng.gumbel(size=logits_NE.shape)
                noisy_NE = close_NE + draw_NE.astype(logits_NE.dtype)
                expert_N1 = _best_but(noisy_NE, experts)
                whole_N1 = (expert_N1 == best_N1) | (rng.random(expert_N1.shape) > FULL)
                weight_N1 = gather(share_NE, expert_N1)
                weight_N1 = np.where(whole_N1, weight_N1, weight_N1 * weight_N1.dtype.type(THIRD))
            experts.append(expert_N1)
            weights.append(weight_N1)
            open_NE = open_NE.copy()
            np.put_along_axis(open_NE, expert_N1, -np.inf, axis=1)
        scores_NE = make_scores(logits_NE, "softmax")
        expert_N2, weight_N2 = (np.concatenate(parts, axis=1) for parts in (experts, weights))
        return self._routing(logits_NE, scores_NE, "softmax", expert_N2, weight_N2, saved=saved)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, those who compete being fixed; see `Router.backward`."""
        expert_NK = choices(routing)
        dweight_NK = dweight_A.reshape(expert_NK.shape)
        dlogits_NE = np.zeros((routing.n_tokens, routing.n_experts), dweight_A.dtype)
        for turn, name in enumerate(("first_NE", "second_NE")):
            dshare_NE = np.zeros_like(dlogits_NE)
            expert_N1 = expert_NK[:, turn : turn + 1].astype(np.intp)
            np.put_along_axis(dshare_NE, expert_N1, dweight_NK[:, turn : turn + 1], axis=1)
            dlogits_NE += kernels.softmax_backward(routing.saved[name], dshare_NE)
        return dlogits_NE


def _best_but(open_NE: np.ndarray, taken: list[np.ndarray]) -> np.ndarray:
    """Best expert of each token, (N, 1), and not the taken one, even if all scores are -inf."""
    best_N2 = kernels.topk(open_NE, 2)
    if not taken:
        return best_N2[:, :1]
    return np.where(best_N2[:, :1] == taken[0], best_N2[:, 1:], best_N2[:, :1])
