"""`LayerContext`: what a forward pass keeps for backward, signed by the layer that ran it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import kernels
from .routing import Routing


@dataclass(frozen=True)
class LayerContext:
    """What one forward pass keeps for backward, for metrics and for whoever looks inside.

    Attributes
    ----------
    routing
        Which tokens went to which experts.
    executed_rows, executed_flops
        Expert rows multiplied, and the floating-point operations of all matrix products of the
        pass: of gate and router, of Soft MoE's mixing, of chosen, constant and shared experts.
        Both are counted where they happen, operations as 2 per multiply-add.
    y_SD
        Result of each kept assignment before weighting, sorted by expert (`plan`).
    rows_ND
        Array that experts take rows from: x itself; or one row for each slot, which is Soft
        MoE's mix of tokens, or a token times its weight.
    shared_weight_N
        Weights that the shared experts' gate gives their result, if there is such a gate.
    latent_NL, latent_sum_NL
        Of latent experts: what they get, and the weighted sums of what they give.
    owner
        The layer that ran forward, with its shapes; a copy with other contents has none.
    """

    routing: Routing
    plan: kernels.Plan
    executed_rows: int
    executed_flops: int
    x_ND: np.ndarray
    x_gate_ND: np.ndarray
    perturb_ND: np.ndarray | None
    rows_ND: np.ndarray
    weight_S: np.ndarray
    h_SH: np.ndarray | None
    y_SD: np.ndarray
    shared_h_NH: np.ndarray | None
    shared_weight_N: np.ndarray | None
    latent_NL: np.ndarray | None = None
    latent_sum_NL: np.ndarray | None = None
    owner: tuple[Any, ...] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def routed_x_ND(self) -> np.ndarray:
        """What goes to the routed experts: x, or where they are latent its (N, L)."""
        return self.x_ND if self.latent_NL is None else self.latent_NL


def sign(context: Any, owner: tuple[Any, ...]) -> None:
    """Write the layer that ran forward into its new context."""
    object.__setattr__(context, "owner", owner)


def check_context(context: object, kind: type, owner: tuple[Any, ...]) -> None:
    """Raise ValueError unless the context is from a forward pass of this layer as it is now."""
    if not isinstance(context, kind):
        raise ValueError(
            f"ctx: got a {type(context).__name__}, allowed is the {kind.__name__} that forward "
            "returned"
        )
    given = context.owner  # type: ignore[attr-defined]
    if given is owner or given == owner:
        return
    if given is None:
        what = "one that forward did not make"
    elif given[0] != owner[0]:
        what = "one from another layer"
    else:
        what = "one from before the layer's router, activation or shapes were changed"
    raise ValueError(f"ctx: got {what}, allowed is what this layer's forward returned")
