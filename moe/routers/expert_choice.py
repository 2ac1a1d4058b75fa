"""Expert choice: experts pick tokens, so load is even by construction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import exactly
from ..routing import Routing
from ..scores import logits_backward, make_scores
from ..settings import option
from .base import Router
from .fixed_k import scatter_list


@dataclass(frozen=True)
class ExpertChoice(Router):
    """Each expert takes its top C tokens by softmax score, C = N c / E; weight is the score.

    A token may get many experts or none. Which ones depends on the whole batch: in a decoder
    that leaks future tokens.

    Parameters
    ----------
    factor
        c, the mean number of experts per token (published: 2, also 1).

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("expert_choice", factor=1.0)
    >>> r = router.choose(np.array([[3.0, 0.0], [2.0, 0.0]]))
    >>> r.token_A.tolist(), r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1], [0, 1], [0.9526, 0.1192])
    """

    name: ClassVar[str] = "expert_choice"
    title: ClassVar[str] = "Expert choice"
    source: ClassVar[str] = "Expert choice routing, arXiv 2202.09368, section 3.2"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"S &= \operatorname{softmax}_e(X W), \quad C = N c / E \\"
        r"T_e &= \operatorname{top}_C(S_{\cdot, e}) \\"
        r"w_{t, e} &= S_{t, e}, \quad t \in T_e"
        r"\end{aligned}"
    )
    causal: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False

    factor: float = option(2.0, low=0, open_low=True)

    def capacity(self, n_tokens: int, n_experts: int) -> int:
        """Tokens that each expert takes, rounded up and at most all."""
        return min(n_tokens, math.ceil(n_tokens * exactly(self.factor) / n_experts))

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Let each expert pick; ties break toward the earlier token. See `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        n_tokens, n_experts = logits_NE.shape
        scores_NE = make_scores(logits_NE, "softmax")
        room = self.capacity(n_tokens, n_experts)
        # A token with NaN scores takes no other token's place. It is listed once, so that its
        # result is NaN.
        broken_N = np.isnan(scores_NE[:, 0])
        wanted_NE = np.where(broken_N[:, None], -1, scores_NE) if broken_N.any() else scores_NE
        token_EC = kernels.topk(np.ascontiguousarray(wanted_NE.T), room) if room else None
        picked_NE = np.zeros((n_tokens, n_experts), bool)
        if token_EC is not None:
            picked_NE[token_EC, np.arange(n_experts)[:, None]] = True
        picked_NE[broken_N] = np.arange(n_experts) == 0
        token_A, expert_A = np.nonzero(picked_NE)
        # A token's experts are ranked by score, so that rank 0 is its best here too.
        order_A = np.lexsort((-scores_NE[token_A, expert_A], token_A))
        token_A, expert_A = token_A[order_A], expert_A[order_A]
        first_A = np.searchsorted(token_A, token_A)
        return Routing(
            n_tokens=n_tokens,
            n_experts=n_experts,
            token_A=token_A.astype(np.int32),
            expert_A=expert_A.astype(np.int32),
            weight_A=scores_NE[token_A, expert_A],
            rank_A=(np.arange(token_A.size) - first_A).astype(np.int32),
            kept_A=np.ones(token_A.size, bool),
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score="softmax",
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        return logits_backward(routing, scatter_list(routing, dweight_A))
