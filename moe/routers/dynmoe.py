"""DynMoE: each expert has its own threshold; a token takes every expert that it passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..scores import make_scores
from .base import Arrays, Router
from .fixed_k import bars, broken_rows, gather, scatter_list
from .soft import unit, unit_backward


@dataclass(frozen=True)
class DynMoE(Router):
    """Expert e runs where sigmoid(cos(x, w_e)) > sigmoid(theta_e); equal weights 1 / number.

    The step that selects has no gradient; it is passed straight through, to the scores and
    thresholds of the experts that run, as in the authors' code (its DeepSpeed branch; the Tutel
    branch multiplies cosines and thresholds by a learned temperature, 10 at first).

    Parameters
    ----------
    fallback
        A token that passes no threshold takes its best expert, as the authors do at test time;
        False leaves it to the residual path, as they do in training.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("dynmoe").choose(np.array([[0.5, -0.1, 0.2, -0.9]]))
    >>> r.expert_A.tolist(), r.weight_A.tolist()
    ([0, 2], [0.5, 0.5])
    """

    name: ClassVar[str] = "dynmoe"
    title: ClassVar[str] = "DynMoE (top-any)"
    source: ClassVar[str] = "DynMoE, arXiv 2405.14297, section 3.1; its gate class GAMoEGateT"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s_e &= \sigma\!\left(\frac{x \cdot g_e}{\lVert x \rVert \lVert g_e \rVert}\right) \\"
        r"T &= \{ e : s_e > \sigma(\theta_e) \} \\"
        r"w_e &= 1 / |T|, \quad e \in T"
        r"\end{aligned}"
    )
    straight_through: ClassVar[bool] = True
    choice_params: ClassVar[tuple[str, ...]] = ("threshold_E",)

    fallback: bool = True

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Directions of the experts, and thresholds of zero."""
        return super().init_params(d_model, n_experts, rng) | {"threshold_E": np.zeros(n_experts)}

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """Cosine of token and expert directions, (N, E)."""
        return {"logits_NE": kernels.matmul(unit(x_ND, axis=1), unit(params["gate_DE"], axis=0))}

    def project_backward(
        self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], dmade: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """Gradients through both normalisations."""
        unit_ND, unit_DE = unit(x_ND, axis=1), unit(params["gate_DE"], axis=0)
        dgate_DE = kernels.matmul_tn(unit_ND, dmade["logits_NE"])
        dx_ND = unit_backward(x_ND, kernels.matmul_nt(dmade["logits_NE"], unit_DE), axis=1)
        return dx_ND, {"gate_DE": unit_backward(params["gate_DE"], dgate_DE, axis=0)}

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        threshold_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Take every expert above its threshold (0 if not given); see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        scores_NE = make_scores(logits_NE, "sigmoid")
        bar_E = make_scores(bars(threshold_E, logits_NE)[None], "sigmoid")[0]
        expert_NE = kernels.topk(logits_NE, logits_NE.shape[1])
        passed_NE = gather(np.asarray(scores_NE > bar_E), expert_NE)
        listed_NE = passed_NE.copy()
        if self.fallback:
            listed_NE[:, 0] |= ~passed_NE.any(axis=1)
        broken_N = broken_rows(logits_NE)
        listed_NE[broken_N, 0] = True
        count_N1 = np.maximum(listed_NE.sum(axis=1, keepdims=True), 1)
        weight_NE = np.broadcast_to(1 / count_N1, expert_NE.shape).astype(logits_NE.dtype)
        weight_NE[broken_N] = np.nan
        saved = {"passed_A": passed_NE[listed_NE], "bar_E": bar_E}
        more = {"listed_NK": listed_NE, "saved": saved}
        return self._routing(logits_NE, scores_NE, "sigmoid", expert_NE, weight_NE, **more)

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, straight through the step, of the experts that passed."""
        assert routing.scores_NE is not None
        slope_NE = routing.scores_NE * (1 - routing.scores_NE)
        dstep_A = dweight_A * routing.weight_A * routing.saved["passed_A"]
        return scatter_list(routing, dstep_A) * slope_NE

    def backward_state(
        self, routing: Routing, dweight_A: np.ndarray, drouted_NE: np.ndarray, dtotal_NE: np.ndarray
    ) -> Arrays:
        """Gradient of the thresholds: the opposite of the scores'."""
        bar_E = routing.saved["bar_E"]
        dstep_A = dweight_A * routing.weight_A * routing.saved["passed_A"]
        return {"threshold_E": -scatter_list(routing, dstep_A).sum(axis=0) * bar_E * (1 - bar_E)}
