"""MoE++: zero, copy and constant experts in the pool, and a residual between gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_array
from ..routing import Routing
from ..settings import option
from .base import MAX_SPECIALS, Arrays
from .fixed_k import FixedK


class WithZeroExperts(FixedK):
    """Top-k of a pool whose last `n_zero` experts give 0; see `MoEPlusPlus.renormalize`."""

    n_zero = 0

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Weights of these experts, (N, K), a zero expert's share given away if renormalised."""
        return super().weights(logits_NE, self._counted(scores_NE), expert_NK)

    def weights_backward(
        self, scores_NE: np.ndarray, expert_NK: np.ndarray, dweight_NK: np.ndarray
    ) -> np.ndarray:
        """Gradient at the chosen scores; see `FixedK.weights_backward`."""
        dchosen_NK = super().weights_backward(self._counted(scores_NE), expert_NK, dweight_NK)
        if not self.renormalize:
            return dchosen_NK
        return dchosen_NK * (expert_NK < scores_NE.shape[1] - self.n_zero)

    def _counted(self, scores_NE: np.ndarray) -> np.ndarray:
        """The scores that count in the sum: all but those of zero experts, if renormalised."""
        if not self.renormalize:
            return scores_NE
        n_experts = scores_NE.shape[1]
        return scores_NE * (np.arange(n_experts) < n_experts - self.n_zero)


@dataclass(frozen=True)
class MoEPlusPlus(WithZeroExperts):
    """Top-k of a softmax over computing and zero-computation experts.

    The last experts of the pool are `n_constant` constant ones, `n_copy` that return x and
    `n_zero` that return 0: easy tokens cost less. Given the logits of the layer before, they
    are mixed by a learned matrix and added to this layer's.

    Parameters
    ----------
    k
        Experts per token.
    n_constant, n_copy, n_zero
        Zero-computation experts (published: 2 or 6, 1 and 1).
    renormalize
        False: the probabilities are the weights, as in the paper. True, as in the released code: a
        chosen zero expert's share goes to the other choices. That code also multiplies what
        experts get by k, which no router does.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("moe_pp", k=2).choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()  # experts 1, 2, 3: constant, copy, zero
    ([2, 1], [0.5, 0.25])
    >>> router = moe.make_router("moe_pp", k=2, renormalize=True)
    >>> r = router.choose(np.log([[1.0, 2.0, 1.0, 4.0]]))  # the zero expert's half is given away
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([3, 1], [0.0, 1.0])
    """

    name: ClassVar[str] = "moe_pp"
    title: ClassVar[str] = "MoE++ (zero-computation experts)"
    source: ClassVar[str] = "MoE++, arXiv 2410.07348, sections 3.1-3.2; moe_plus_plus_layer.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\ell^{(j)} &= x W + \ell^{(j-1)} W_g \\"
        r"p &= \operatorname{softmax}(\ell^{(j)}), \quad T = \operatorname{top}_k(p) \\"
        r"w_e &= p_e, \quad e \in T \\"
        r"f_e(x) &\in \{ \operatorname{FFN}_e(x),\ \alpha_1 x + \alpha_2 v,\ x,\ 0 \}"
        r"\end{aligned}"
    )
    choice_params: ClassVar[tuple[str, ...]] = ("residual_EE",)
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    k: int = 2
    n_constant: int = option(1, low=0, high=MAX_SPECIALS)
    n_copy: int = option(1, low=0, high=MAX_SPECIALS)
    n_zero: int = option(1, low=0, high=MAX_SPECIALS)
    renormalize: bool = False

    @property
    def specials(self) -> tuple[str, ...]:
        """Constant, copy and zero experts, in this order, at the end of the pool."""
        return ("constant",) * self.n_constant + ("copy",) * self.n_copy + ("zero",) * self.n_zero

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Gate and the matrix of the gating residual, zero at first."""
        gate = super().init_params(d_model, n_experts, rng)
        return gate | {"residual_EE": np.zeros((n_experts, n_experts))}

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        previous_NE: np.ndarray | None = None,
        residual_EE: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select k experts of the whole pool; see `Router.choose`."""
        if previous_NE is None or residual_EE is None:
            return super().choose(logits_NE, rng=rng, token_ids=token_ids, **state)
        logits_NE = self._check_logits(logits_NE)
        previous_NE = check_array("previous_NE", previous_NE, logits_NE.shape, finite=False)
        previous_NE = previous_NE.astype(logits_NE.dtype, copy=False)
        logits_NE = logits_NE + kernels.matmul(previous_NE, residual_EE)
        routing = super().choose(logits_NE, rng=rng, token_ids=token_ids, **state)
        return replace(routing, saved={"previous_NE": previous_NE, "residual_EE": residual_EE})

    def backward_state(
        self, routing: Routing, dweight_A: np.ndarray, drouted_NE: np.ndarray, dtotal_NE: np.ndarray
    ) -> Arrays:
        """Gradients of the residual's matrix and of the logits before, if there were any."""
        if "previous_NE" not in routing.saved:
            return {"residual_EE": np.zeros((routing.n_experts,) * 2, dtotal_NE.dtype)}
        return {
            "residual_EE": kernels.matmul_tn(routing.saved["previous_NE"], dtotal_NE),
            "previous_NE": kernels.matmul_nt(dtotal_NE, routing.saved["residual_EE"]),
        }
