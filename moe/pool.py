"""The routed experts' part of a layer: a list of assignments or slots, as wide as x or latent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .context import LayerContext
from .latent_experts import (
    Arrays,
    from_latent,
    from_latent_backward,
    has_latent,
    to_latent,
    to_latent_backward,
)
from .routed import Routed, RoutedGradients, routed_backward, routed_forward
from .routers import Router
from .routers.soft import Soft
from .routing import Routing
from .slots import slots_backward, slots_forward


class Pooled(NamedTuple):
    """Result (N, D) and what `LayerContext` keeps; of latent experts also their inputs and sums."""

    routed: Routed
    latent_NL: np.ndarray | None = None
    latent_sum_NL: np.ndarray | None = None


def pool_forward(
    router: Router,
    activation: str,
    params: Mapping[str, np.ndarray],
    x_ND: np.ndarray,
    routing: Routing,
    keep: bool,
) -> Pooled:
    """What the routed experts give for x, of a layer whose routing is made and checked."""
    latent_NL = to_latent(params, x_ND) if has_latent(params) else None
    given_ND = x_ND if latent_NL is None else latent_NL
    if routing.dispatch_NS is not None:
        routed = slots_forward(activation, params, given_ND, routing, keep)
    else:
        routed = routed_forward(router, activation, params, given_ND, routing, keep)
    if latent_NL is None:
        return Pooled(routed)
    sum_NL = routed.y_ND
    return Pooled(routed._replace(y_ND=from_latent(params, sum_NL)), latent_NL, sum_NL)


def pool_backward(
    router: Router,
    activation: str,
    params: Mapping[str, np.ndarray],
    dy_ND: np.ndarray,
    ctx: LayerContext,
    added_weight_A: np.ndarray | None,
) -> RoutedGradients:
    """Gradients of `pool_forward`; `added_weight_A` reaches the weights from elsewhere."""
    sum_NL, grads = ctx.latent_sum_NL, Arrays()
    if sum_NL is not None:
        dy_ND, grads = from_latent_backward(params, dy_ND, sum_NL)
    if ctx.routing.dispatch_NS is not None:
        assert isinstance(router, Soft)  # `route` refuses slots from any other router
        back = slots_backward(router, activation, params, dy_ND, ctx)
    else:
        back = routed_backward(router, activation, params, dy_ND, ctx, added_weight_A)
    if sum_NL is None:
        return back
    dx_ND, down_grads = to_latent_backward(params, back.dx_ND, ctx.x_ND)
    return back._replace(dx_ND=dx_ND, grads=back.grads | grads | down_grads)
