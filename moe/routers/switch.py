"""Switch: one expert per token, weighted by its raw probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_float
from ..routing import Routing
from ..scores import make_scores, scores_backward
from .base import Router
from .choice import biased, choices, gather, scatter


@dataclass(frozen=True)
class Switch(Router):
    """Top-1 routing of Switch Transformers: y = p_e(x) f_e(x), p not renormalised.

    Renormalised, the weight of one choice is always 1 and the gate gets no gradient.

    Parameters
    ----------
    jitter
        While training (with an rng), the gate's input is multiplied by U(1 - jitter, 1 + jitter).

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("switch").choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2], [0.5])
    """

    name: ClassVar[str] = "switch"
    title: ClassVar[str] = "Switch (top-1)"
    source: ClassVar[str] = "Switch Transformers, arXiv 2101.03961, section 2.1"
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    jitter: float = 1e-2

    def __post_init__(self) -> None:
        check_float("jitter", self.jitter, 0.0, 0.5)

    def perturb(self, x_ND: np.ndarray, rng: np.random.Generator | None) -> np.ndarray | None:
        """Jitter factors for the gate's input, (N, D), or None without an rng."""
        if rng is None or self.jitter == 0:
            return None
        factor_ND = rng.uniform(1 - self.jitter, 1 + self.jitter, x_ND.shape)
        return factor_ND.astype(x_ND.dtype)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        select_bias_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select each token's best expert; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, "softmax")
        selection_NE = biased(scores_NE, select_bias_E, state.get("select_factor_E"))
        expert_N1 = kernels.topk(logits_NE if selection_NE is scores_NE else selection_NE, 1)
        return Routing.from_choices(
            expert_N1,
            gather(scores_NE, expert_N1),
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score="softmax",
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        dscores_NE = scatter(dweight_A.reshape(-1, 1), choices(routing), routing.n_experts)
        return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, "softmax")
