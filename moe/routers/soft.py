"""Soft MoE: experts see mixes of all tokens, tokens get mixes of all results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..routing import Routing
from ..settings import option
from .base import Arrays, Router

EPS = 1e-6  # added to the norm by algorithm 2 of arXiv 2308.00951; a zero vector stays zero


def unit(x: np.ndarray, axis: int) -> np.ndarray:
    """Divide by the L2 norm along an axis."""
    norm = np.sqrt((x * x).sum(axis=axis, keepdims=True)) + x.dtype.type(EPS)
    return np.asarray(x / norm)


def unit_backward(x: np.ndarray, dunit: np.ndarray, axis: int) -> np.ndarray:
    """Gradient at x of `unit`."""
    length = np.sqrt((x * x).sum(axis=axis, keepdims=True))
    norm = length + x.dtype.type(EPS)
    inner = (dunit * x).sum(axis=axis, keepdims=True)
    tiny = np.finfo(x.dtype).tiny
    return np.asarray(dunit / norm - x * inner / (norm * norm * np.maximum(length, tiny)))


@dataclass(frozen=True)
class Soft(Router):
    """Dispatch D = softmax over tokens, combine C = softmax over slots, of the same logits.

    Each expert works on `slots` mixes D^T X; y = C f(D^T X). Everything is differentiable;
    nothing is dropped. Tokens and slot vectors are L2-normalised, slots times a learned scale.
    Later tokens enter every slot, so it is not for decoders.

    Parameters
    ----------
    slots
        Slots per expert, p.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("soft").choose(np.array([[0.0, 0.0], [np.log(3), 0.0]]))
    >>> r.dispatch_NS.round(2).tolist(), r.combine_NS.round(2).tolist()
    ([[0.25, 0.5], [0.75, 0.5]], [[0.5, 0.5], [0.75, 0.25]])
    """

    name: ClassVar[str] = "soft"
    title: ClassVar[str] = "Soft MoE"
    source: ClassVar[str] = "Soft MoE, arXiv 2308.00951, algorithms 1 and 2"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"L &= s \, \frac{X}{\lVert X \rVert} \frac{\Phi}{\lVert \Phi \rVert} \\"
        r"D &= \operatorname{softmax}_{\text{tokens}}(L) \\"
        r"C &= \operatorname{softmax}_{\text{slots}}(L) \\"
        r"Y &= C \, f(D^\top X)"
        r"\end{aligned}"
    )
    causal: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False
    scored: ClassVar[bool] = False

    slots: int = option(1, low=1)

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Slot vectors `gate_DE` (p columns per expert) and their scale, 1."""
        width = n_experts * self.slots
        gate_DE = rng.standard_normal((d_model, width)) / np.sqrt(d_model)
        return {"gate_DE": gate_DE, "gate_scale_1": np.ones(1)}

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """Cosine of token and slot vectors times the scale, (N, S)."""
        gate_DS = unit(params["gate_DE"], axis=0) * params["gate_scale_1"]
        return {"logits_NE": kernels.matmul(unit(x_ND, axis=1), gate_DS)}

    def project_backward(
        self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], dmade: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """Gradients through both normalisations."""
        dlogits_NS, scale_1 = dmade["logits_NE"], params["gate_scale_1"]
        unit_ND, unit_DS = unit(x_ND, axis=1), unit(params["gate_DE"], axis=0)
        dgate_DS = kernels.matmul_tn(unit_ND, dlogits_NS)
        dx_ND = unit_backward(x_ND, kernels.matmul_nt(dlogits_NS, unit_DS * scale_1), axis=1)
        return dx_ND, {
            "gate_DE": unit_backward(params["gate_DE"], dgate_DS * scale_1, axis=0),
            "gate_scale_1": (dgate_DS * unit_DS).sum(keepdims=True).reshape(1),
        }

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Mix; `logits_NE` has p columns per expert. See `Router.choose`."""
        logits_NS = self._check_logits(logits_NE)
        n_tokens, n_slots = logits_NS.shape
        if n_slots % self.slots:
            raise ValueError(f"logits_NE: got {n_slots} columns, allowed is {self.slots} an expert")
        n_experts = n_slots // self.slots
        over_tokens_SN = kernels.softmax(np.ascontiguousarray(logits_NS.T))
        dispatch_NS = np.ascontiguousarray(over_tokens_SN.T)
        combine_NS = kernels.softmax(logits_NS)
        weight_NE = combine_NS.reshape(n_tokens, n_experts, self.slots).sum(axis=2)
        expert_NE = np.argsort(-weight_NE, axis=1, kind="stable").astype(np.int32)
        return Routing(
            n_tokens=n_tokens,
            n_experts=n_experts,
            token_A=np.repeat(np.arange(n_tokens, dtype=np.int32), n_experts),
            expert_A=expert_NE.reshape(-1),
            weight_A=np.take_along_axis(weight_NE, expert_NE, axis=1).reshape(-1),
            rank_A=np.tile(np.arange(n_experts, dtype=np.int32), n_tokens),
            kept_A=np.ones(n_tokens * n_experts, bool),
            saved={"logits_NS": logits_NS},
            dispatch_NS=dispatch_NS,
            combine_NS=combine_NS,
        )

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits of the combine weights alone, dispatch held fixed."""
        assert routing.dispatch_NS is not None
        dweight_NE = np.zeros((routing.n_tokens, routing.n_experts), dweight_A.dtype)
        dweight_NE[routing.token_A, routing.expert_A] = dweight_A
        dcombine_NS = np.repeat(dweight_NE, self.slots, axis=1)
        return self.backward_slots(routing, np.zeros_like(routing.dispatch_NS), dcombine_NS)

    def backward_slots(
        self, routing: Routing, ddispatch_NS: np.ndarray, dcombine_NS: np.ndarray
    ) -> np.ndarray:
        """Gradient at the logits, given those at both matrices, (N, S)."""
        assert routing.dispatch_NS is not None and routing.combine_NS is not None
        dispatch_NS = routing.dispatch_NS
        inner_S = (dispatch_NS * ddispatch_NS).sum(axis=0)
        dover_tokens_NS = dispatch_NS * (ddispatch_NS - inner_S)
        dover_slots_NS = kernels.softmax_backward(routing.combine_NS, dcombine_NS)
        return np.asarray(dover_tokens_NS + dover_slots_NS)
