"""Noisy top-k: learned noise on the logits while training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_array
from ..routing import Routing
from ..scores import make_scores, softplus
from ..settings import option
from .base import Arrays
from .fixed_k import FixedK, gather, scatter


@dataclass(frozen=True)
class NoisyTopK(FixedK):
    """The sparsely-gated layer of 2017: H = x W_g + N(0, 1) softplus(x W_n), softmax of the top k.

    Without an rng there is no noise. W_n starts at zero. The paper starts W_g at zero too, so that
    noise alone spreads the first tokens; here that is an option, since without an rng every token
    would then choose experts 0 to k-1.

    Parameters
    ----------
    k
        Experts per token (published: 4; 2 at each level of a hierarchy, which is not built here).
        With k = 1 the weight is always 1 and the gate gets no gradient from the task.
    noise_floor
        Added to the noise's standard deviation: 0 in the paper, 1e-2 in the authors' code.
    zero_init
        Start W_g at zero.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("noisy_topk", k=2).choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 1], [0.6667, 0.3333])
    """

    name: ClassVar[str] = "noisy_topk"
    title: ClassVar[str] = "Noisy top-k"
    source: ClassVar[str] = "Sparsely-gated MoE, arXiv 1701.06538, section 2.1"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"h &= x W_g + \epsilon \odot \operatorname{softplus}(x W_n) \\"
        r"\epsilon &\sim \mathcal{N}(0, 1), \quad T = \operatorname{top}_k(h) \\"
        r"w &= \operatorname{softmax}(h_e : e \in T)"
        r"\end{aligned}"
    )
    draws_noise: ClassVar[bool] = True
    projections: ClassVar[tuple[str, ...]] = ("gate", "noise")
    renormalize = True

    k: int = 2
    noise_floor: float = option(1e-2, low=0)
    zero_init: bool = False

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Gate and noise maps; the latter is zero, the former too with `zero_init`."""
        params = super().init_params(d_model, n_experts, rng)
        if self.zero_init:
            params["gate_DE"][:] = 0
        return params

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        noise_NE: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select the k best experts of the noisy logits; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        saved: dict[str, np.ndarray] = {}
        noisy_NE = logits_NE
        if rng is not None:
            if noise_NE is None:
                noise_NE = np.zeros_like(logits_NE)
            noise_NE = check_array("noise_NE", noise_NE, logits_NE.shape, finite=False)
            draw_NE = rng.standard_normal(logits_NE.shape).astype(logits_NE.dtype)
            floor = logits_NE.dtype.type(self.noise_floor)
            scale_NE = softplus(noise_NE) + floor
            noisy_NE = logits_NE + draw_NE * scale_NE
            saved = {"draw_NE": draw_NE, "noise_NE": noise_NE}
            saved |= {"scale_NE": scale_NE, "noisy_NE": noisy_NE}
        expert_NK = kernels.topk(noisy_NE, self.k)
        weight_NK = kernels.softmax(gather(noisy_NE, expert_NK))
        scores_NE = make_scores(logits_NE, self.score)
        return self._routing(logits_NE, scores_NE, self.score, expert_NK, weight_NK, saved=saved)

    def _backward(
        self, routing: Routing, expert_NK: np.ndarray, dweight_NK: np.ndarray
    ) -> np.ndarray:
        # The gradient at the clean logits is the one at the noisy ones: noise is added.
        weight_NK = routing.weight_A.reshape(expert_NK.shape)
        dchosen_NK = kernels.softmax_backward(weight_NK, dweight_NK)
        return scatter(dchosen_NK, expert_NK, routing.n_experts)

    def backward_state(
        self, routing: Routing, dweight_A: np.ndarray, drouted_NE: np.ndarray, dtotal_NE: np.ndarray
    ) -> Arrays:
        """Gradient at the noise's projection; zero without noise.

        It follows from `drouted_NE`: a balance loss hands over its gradient at the noise by name.
        """
        if "draw_NE" not in routing.saved:
            return {"noise_NE": np.zeros_like(drouted_NE)}
        slope_NE = kernels.sigmoid(routing.saved["noise_NE"])
        return {"noise_NE": drouted_NE * routing.saved["draw_NE"] * slope_NE}
