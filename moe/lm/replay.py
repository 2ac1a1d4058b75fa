"""Routing that is given: experts that another pass of the same tokens chose.

A model that samples in one program and trains in another is routed differently by both for a share
of its tokens, since they round differently. Replaying the sampler's choices in training mends that
(arXiv 2510.11370). Here both run the same kernels, so that a sampled token and its training see the
same routing bit for bit, and there is nothing to mend unless a difference is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..capacity import Capacity
from ..layer import MoELayer
from ..routers import Router
from ..routing import Routing
from .model import LanguageModel


@dataclass(frozen=True, eq=False)
class Replay(Capacity):
    """Sends every token to given experts, as a capacity that reroutes does when they are full.

    The layer's own router weighs them by its own scores, so that its gradient stays exact, and what
    it would have chosen is still in the routing (`asked_A`).

    Parameters
    ----------
    expert_NK
        The experts of each token.
    """

    expert_NK: np.ndarray | None = None

    def check(self, router: Router | None, n_experts: int) -> None:
        """Raise ValueError if the router cannot weigh experts that it did not choose."""
        if router is None or not router.reroutable:
            given = f"router {router.name!r}" if router else "no router"
            raise ValueError(
                f"expert_NK: got choices with {given}, allowed are they with a router that weighs "
                "any experts (`reroutable`)"
            )

    def apply(
        self,
        routing: Routing,
        rng: np.random.Generator | None = None,
        router: Router | None = None,
    ) -> Routing:
        """Return the routing to the given experts.

        Raises
        ------
        ValueError
            If they are not as many as the router's choices.
        """
        self.check(router, routing.n_experts)
        assert self.expert_NK is not None and router is not None
        expert_A = np.ascontiguousarray(self.expert_NK, np.int32).reshape(-1)
        if expert_A.shape != routing.expert_A.shape:
            raise ValueError(
                f"expert_NK: got {expert_A.size} choices, allowed are {routing.expert_A.size}, "
                "those of the batch"
            )
        sent = replace(routing, expert_A=expert_A, asked_A=routing.expert_A)
        return replace(sent, weight_A=router.weigh(sent))


def replaying(model: LanguageModel, expert_LNK: Sequence[np.ndarray]) -> LanguageModel:
    """The same model, its arrays shared, whose next batch goes to given experts.

    Parameters
    ----------
    model
        Its routers must be able to weigh any experts.
    expert_LNK
        Of each layer with experts, those of every token, (N, K).
    """
    given = iter(expert_LNK)
    blocks = tuple(
        replace(block, ffn=replace(block.ffn, capacity=Replay(expert_NK=next(given))))
        if isinstance(block.ffn, MoELayer)
        else block
        for block in model.blocks
    )
    return replace(model, blocks=blocks)


def rounded_gates(model: LanguageModel, bits: int) -> LanguageModel:
    """The same model, its arrays shared, but for gates with fewer bits: a sampler that rounds.

    Parameters
    ----------
    model
        Any in float32.
    bits
        Explicit bits of the mantissa, to nearest, ties to even: 7 are those of bfloat16.
    """
    blocks = tuple(
        replace(block, ffn=replace(block.ffn, params=_rounded(block.ffn.params, bits)))
        if isinstance(block.ffn, MoELayer)
        else block
        for block in model.blocks
    )
    return replace(model, blocks=blocks)


def _rounded(params: dict[str, np.ndarray], bits: int) -> dict[str, np.ndarray]:
    gate_DE = params["gate_DE"]
    mantissa_DE, exponent_DE = np.frexp(gate_DE)
    steps_DE = np.ldexp(mantissa_DE, bits + 1)  # frexp's mantissa is below 1
    rounded_DE = np.ldexp(np.rint(steps_DE), exponent_DE - bits - 1).astype(gate_DE.dtype)
    return params | {"gate_DE": np.ascontiguousarray(rounded_DE)}
