"""MoE++: zero, copy and constant experts in the pool, and a residual between gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..errors import check_array, check_int
from ..routing import Routing
from ..scores import make_scores, scores_backward
from .base import MAX_SPECIALS, Arrays, Router, check_k
from .choice import biased, choices, gather, normalize, normalize_backward, scatter


@dataclass(frozen=True)
class MoEPlusPlus(Router):
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
    n_constant: int = 1
    n_copy: int = 1
    n_zero: int = 1
    renormalize: bool = False

    def __post_init__(self) -> None:
        check_int("k", self.k, 1)
        for name in ("n_constant", "n_copy", "n_zero"):
            check_int(name, getattr(self, name), 0, MAX_SPECIALS)

    @property
    def gate_learns(self) -> bool:
        """Not with one renormalised choice."""
        return not (self.k == 1 and self.renormalize)

    @property
    def specials(self) -> tuple[str, ...]:
        """Constant, copy and zero experts, in this order, at the end of the pool."""
        return ("constant",) * self.n_constant + ("copy",) * self.n_copy + ("zero",) * self.n_zero

    def check(self, n_experts: int) -> None:
        """Raise ValueError unless k fits and at least one expert computes."""
        super().check(n_experts)
        check_k(self.k, n_experts)
        check_int("n_experts", n_experts, len(self.specials) + 1, None, "one must compute")

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
        select_bias_E: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Select k experts of the whole pool; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        saved: dict[str, np.ndarray] = {}
        if previous_NE is not None and residual_EE is not None:
            previous_NE = check_array("previous_NE", previous_NE, logits_NE.shape, finite=False)
            previous_NE = previous_NE.astype(logits_NE.dtype, copy=False)
            logits_NE = logits_NE + kernels.matmul(previous_NE, residual_EE)
            saved = {"previous_NE": previous_NE}
        scores_NE = make_scores(logits_NE, "softmax")
        selection_NE = biased(scores_NE, select_bias_E, state.get("select_factor_E"))
        expert_NK = kernels.topk(logits_NE if selection_NE is scores_NE else selection_NE, self.k)
        weight_NK = gather(scores_NE, expert_NK)
        if self.renormalize:
            saved["counted_NK"] = counted_NK = expert_NK < logits_NE.shape[1] - self.n_zero
            weight_NK = normalize(weight_NK * counted_NK)
        return Routing.from_choices(
            expert_NK,
            weight_NK,
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score="softmax",
            saved=saved,
            n_special=len(self.specials),
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, residual included; see `Router.backward`."""
        assert routing.logits_NE is not None and routing.scores_NE is not None
        expert_NK = choices(routing)
        dchosen_NK = dweight_A.reshape(expert_NK.shape)
        if self.renormalize:
            counted_NK = routing.saved["counted_NK"]
            counted_scores_NK = gather(routing.scores_NE, expert_NK) * counted_NK
            dchosen_NK = normalize_backward(counted_scores_NK, dchosen_NK) * counted_NK
        dscores_NE = scatter(dchosen_NK, expert_NK, routing.n_experts)
        return scores_backward(routing.logits_NE, routing.scores_NE, dscores_NE, "softmax")

    def backward_params(
        self, routing: Routing, dlogits_NE: np.ndarray, dweight_A: np.ndarray
    ) -> Arrays:
        """Gradient of the residual's matrix; zero without a layer before."""
        if "previous_NE" not in routing.saved:
            return {"residual_EE": np.zeros((routing.n_experts,) * 2, dlogits_NE.dtype)}
        return {"residual_EE": kernels.matmul_tn(routing.saved["previous_NE"], dlogits_NE)}

    def backward_inputs(
        self, routing: Routing, dlogits_NE: np.ndarray, params: Mapping[str, np.ndarray]
    ) -> Arrays:
        """Gradient at the logits of the layer before, if there was one."""
        if "previous_NE" not in routing.saved:
            return {}
        return {"previous_NE": kernels.matmul_nt(dlogits_NE, params["residual_EE"])}
