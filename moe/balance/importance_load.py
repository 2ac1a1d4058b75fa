"""Importance and load of 2017: two squared coefficients of variation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..settings import option
from .base import BalanceLoss, Balancer, choices_per_token, scores_of

if TYPE_CHECKING:
    from ..routers import Router

EPS = 1e-10  # the authors' code adds it to the squared mean


@dataclass(frozen=True)
class ImportanceLoad(Balancer):
    """coefficient * (importance * CV^2(sum of weights) + load * CV^2(load)), per expert.

    The load of noisy top-k is smooth: the probability that the expert would be chosen if its own
    noise were drawn again, Phi((x W_g - kth_excluding) / softplus(x W_n)). It has a gradient at
    the gate and at the noise's scale. kth_excluding is the k-th best of the others' noisy logits:
    the (k+1)-th of all for a chosen expert, the k-th for another. Without noise the load is the
    count of assignments and has no gradient.

    Parameters
    ----------
    coefficient
        Strength of both; 0.1 is one of the rows of the paper's table 6.
    importance, load
        Shares of it: w_importance and w_load are these times the coefficient.
    ddof
        Variance over E - ddof: 0 in the authors' tensor2tensor, 1 in davidmrau's port.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("noisy_topk", k=1).choose(np.log([[3.0, 1.0], [2.0, 1.0]]))
    >>> balancer = moe.make_balancer("importance_load", coefficient=1.0)
    >>> round(balancer.loss(routing).value, 4)  # both are (2, 0): mean 1, variance 1
    2.0
    """

    name: ClassVar[str] = "importance_load"
    title: ClassVar[str] = "Importance and load"
    source: ClassVar[str] = (
        "Sparsely-gated MoE, arXiv 1701.06538, section 4 and appendix A; tensor2tensor "
        "expert_utils.py"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\mathcal L &= w_{imp}\, CV^2\Big(\sum_x G(x)\Big) + w_{load}\, CV^2(Load) \\"
        r"Load_i &= \sum_x \Phi\left(\frac{(x W_g)_i - kth(H(x), k, i)}"
        r"{\mathrm{softplus}((x W_n)_i)}\right)"
        r"\end{aligned}"
    )
    needs_scores: ClassVar[bool] = True
    rate_name: ClassVar[str] = "coefficient"
    short_run_rate: ClassVar[float] = 0.1

    coefficient: float = option(0.1, low=0)
    importance: float = option(1.0, low=0)
    load: float = option(1.0, low=0)
    ddof: int = option(0, low=0, high=1)

    def fits(self, router: Router) -> bool:
        """Whether the router has scores, and weights with a gradient."""
        return super().fits(router) and not router.straight_through

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """Loss, with gradients at the weights and, if there was noise, at gate and noise."""
        scores_of(routing)  # refuses a routing without scores
        weight_E = np.bincount(
            routing.expert_A, weights=routing.weight_A, minlength=routing.n_experts
        )
        value, dweight_E = self._cv_squared(weight_E, self.coefficient * self.importance)
        dweight_A = dweight_E[routing.expert_A].astype(routing.weight_A.dtype)
        k = choices_per_token(routing)
        if "scale_NE" not in routing.saved or not 0 < k < routing.n_experts:
            more, _ = self._cv_squared(routing.proposed_load, self.coefficient * self.load)
            return BalanceLoss(value + more, None, {"weight_A": dweight_A})
        probability_NE, *slopes = smooth_load(routing, k)
        load_E = probability_NE.sum(axis=0, dtype=np.float64)
        more, dload_E = self._cv_squared(load_E, self.coefficient * self.load)
        dlogits_NE, dnoise_NE = smooth_load_backward(routing, dload_E, *slopes)
        extra = {"weight_A": dweight_A, "noise_NE": dnoise_NE}
        return BalanceLoss(value + more, dlogits_NE, extra)

    def _cv_squared(self, x_E: np.ndarray, factor: float) -> tuple[float, np.ndarray]:
        """Return factor * variance / mean^2 and its gradient; 0 for one expert."""
        x_E = x_E.astype(np.float64)
        mean, n = x_E.mean(), max(x_E.size - self.ddof, 1)
        off_E, floor = x_E - mean, mean**2 + EPS
        variance = off_E @ off_E / n
        slope = 2 * mean * variance / (floor**2 * x_E.size)
        return float(factor * variance / floor), factor * (2 * off_E / (n * floor) - slope)


def smooth_load(routing: Routing, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probability of each expert to be chosen if its noise were drawn again, (N, E).

    Returns
    -------
    tuple
        The probabilities; how far the logit lies above the threshold in standard deviations
        (N, E); their slope there (N, E); and whose noisy logit the threshold is (N, E).
    """
    from scipy.special import ndtr

    noisy_NE, scale_NE = routing.saved["noisy_NE"], routing.saved["scale_NE"]
    assert routing.logits_NE is not None
    best_NK = kernels.topk(noisy_NE, k + 1).astype(np.intp)
    value_NK = np.take_along_axis(noisy_NE, best_NK, axis=1)
    chosen_NE = np.zeros(noisy_NE.shape, bool)
    np.put_along_axis(chosen_NE, best_NK[:, :k], True, axis=1)
    rival_NE = np.where(chosen_NE, best_NK[:, k:], best_NK[:, k - 1 : k])
    threshold_NE = np.where(chosen_NE, value_NK[:, k:], value_NK[:, k - 1 : k])
    above_NE = (routing.logits_NE - threshold_NE) / scale_NE
    root = noisy_NE.dtype.type(np.sqrt(2 * np.pi))
    slope_NE = np.exp(-above_NE * above_NE / 2) / root
    return ndtr(above_NE), above_NE, slope_NE, rival_NE


def smooth_load_backward(
    routing: Routing,
    dload_E: np.ndarray,
    above_NE: np.ndarray,
    slope_NE: np.ndarray,
    rival_NE: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients at the clean logits and at the noise logits, both (N, E)."""
    saved = routing.saved
    dabove_NE = dload_E.astype(slope_NE.dtype) * slope_NE
    dlogits_NE = dabove_NE / saved["scale_NE"]
    dscale_NE = -dlogits_NE * above_NE
    # The threshold is another expert's noisy logit, which moves with its logit and its scale.
    dnoisy_NE = np.zeros_like(dlogits_NE)
    rows_N1 = np.arange(routing.n_tokens)[:, None]
    np.subtract.at(dnoisy_NE, (rows_N1, rival_NE), dlogits_NE)
    dscale_NE += dnoisy_NE * saved["draw_NE"]
    return dlogits_NE + dnoisy_NE, dscale_NE * kernels.sigmoid(saved["noise_NE"])
