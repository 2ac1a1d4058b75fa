"""The layer with its experts spread over ranks: `SpreadLayer`, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from ..experts import up_name
from ..latent_experts import (
    from_latent,
    from_latent_backward,
    has_latent,
    to_latent,
    to_latent_backward,
)
from ..layer import Arrays, MoELayer
from ..router_check import check_routing
from ..routers import Router
from ..routers.hash import Hash
from ..routers.soft import Soft
from ..routing import Routing
from .exchange import Hop, Listed, Wire

COPIES = ("expert", "gpu", "node")


def needs_whole_batch(router: Router) -> bool:
    """Whether a token's experts depend on other tokens, or on noise drawn for the whole batch."""
    return not router.causal or router.draws_noise


def check_router(router: Router) -> None:
    """Raise ValueError for routers that cannot be spread over ranks here."""
    reason = ""
    if isinstance(router, Soft):
        reason = "its slots mix all tokens, so there are no rows to send"
    elif isinstance(router, Hash):
        reason = "it routes by token ids, not by what the layer sees"
    elif router.specials:
        reason = "its zero-computation experts never leave a rank"
    elif router.choice_params or type(router).project is not Router.project:
        reason = "it chooses by parameters of its own beside the gate"
    if reason:
        raise ValueError(f"router: got {router.name!r}, allowed are routers with a gate ({reason})")


@dataclass(frozen=True)
class SpreadContext:
    """What a rank keeps between forward and backward."""

    x_ND: np.ndarray
    routing: Routing
    home_N: np.ndarray
    hops: tuple[Hop, ...]
    rows_MD: np.ndarray
    plan: kernels.Plan
    weight_S: np.ndarray
    h_SH: np.ndarray | None
    latent_sum_NL: np.ndarray | None


class SpreadLayer:
    """One rank's part of a layer: the router, and the experts that live here.

    Parameters
    ----------
    layer
        The whole layer; of its experts only this rank's are kept. Rows of latent experts are sent
        as short as the experts get them.
    device_E
        Rank of each expert.
    wire
        The ranks.
    ranks_per_node
        Ranks that share a node, for `copies='node'`.
    copies
        'expert': a token's row is sent once per chosen expert; 'gpu': once per rank; 'node': once
        per node, to the rank with the sender's place there, which passes it on.
    """

    def __init__(
        self, layer: MoELayer, device_E: np.ndarray, wire: Wire, ranks_per_node: int, copies: str
    ) -> None:
        layer.check()
        self.wire, self.device_E, self.copies = wire, device_E, copies
        self.ranks_per_node = ranks_per_node
        self.here_L = np.flatnonzero(device_E == wire.rank)
        self.local_E = np.full(len(device_E), -1)
        self.local_E[self.here_L] = np.arange(len(self.here_L))
        up = up_name(layer.activation)
        experts = {name: layer.params[name][self.here_L] for name in (up, "w_down_EFD")}
        self.layer = replace(layer, params=layer.params | experts)
        self.weights = experts[up], experts["w_down_EFD"]

    def forward(self, x_ND: np.ndarray, seed: int | None) -> tuple[np.ndarray, SpreadContext]:
        """Results of this rank's tokens, (N, D); with a seed the router's noise is drawn."""
        routing, home_N = self._route(x_ND, seed)
        here_A = home_N[routing.token_A] == self.wire.rank
        first = int(np.argmax(home_N == self.wire.rank)) if len(x_ND) else 0
        listed = Listed(
            routing.token_A[here_A] - first, routing.expert_A[here_A], routing.weight_A[here_A]
        )
        hops = self._hops(listed, len(x_ND))
        latent = has_latent(self.layer.params)
        rows_MD = to_latent(self.layer.params, x_ND) if latent else x_ND
        for hop in hops:
            rows_MD = hop.rows(rows_MD)
        arrived, activation = hops[-1].listed, self.layer.activation
        plan = kernels.dispatch_plan(
            arrived.row_A.astype(np.int32),
            self.local_E[arrived.expert_A].astype(np.int32),
            np.ones(len(arrived.row_A), bool),
            len(rows_MD),
            len(self.here_L),
        )
        y_SD, h_SH, _ = kernels.experts_forward(rows_MD, plan, *self.weights, activation, True)
        weight_S = arrived.weight_A[plan.assignment_S]
        y_ND = kernels.combine(y_SD, weight_S, plan)
        for hop in reversed(hops):
            y_ND = hop.sums(y_ND)
        sum_NL = None
        if latent:
            sum_NL, y_ND = y_ND, from_latent(self.layer.params, y_ND)
        context = SpreadContext(x_ND, routing, home_N, hops, rows_MD, plan, weight_S, h_SH, sum_NL)
        return y_ND, context

    def backward(self, dy_ND: np.ndarray, ctx: SpreadContext) -> tuple[np.ndarray, Arrays]:
        """Gradient at this rank's tokens; at its experts whole, at what all ranks have, a part.

        The router and the products around latent experts are on every rank: what comes back is
        the part that this rank's tokens have in their gradients.
        """
        layer, router = self.layer, self.layer.router
        dy_MD, up_grads = dy_ND, Arrays()
        if ctx.latent_sum_NL is not None:
            dy_MD, up_grads = from_latent_backward(layer.params, dy_ND, ctx.latent_sum_NL)
        for hop in ctx.hops:
            dy_MD = hop.rows(dy_MD)
        dx_SD, dweight_S, dup_EDH, ddown_EFD = kernels.experts_backward(
            dy_MD, ctx.rows_MD, ctx.h_SH, ctx.weight_S, ctx.plan, *self.weights, layer.activation
        )
        dx_ND = kernels.combine(dx_SD, np.ones_like(dweight_S), ctx.plan)
        dweight = np.empty_like(dweight_S)
        dweight[ctx.plan.assignment_S] = dweight_S
        for hop in reversed(ctx.hops):
            dx_ND, dweight = hop.sums(dx_ND), hop.numbers(dweight)
        grads: Arrays = {up_name(layer.activation): dup_EDH, "w_down_EFD": ddown_EFD}
        if up_grads:
            dx_ND, down_grads = to_latent_backward(layer.params, dx_ND, ctx.x_ND)
            grads |= up_grads | down_grads
        dmade = self._router_backward(ctx, dweight)
        dgate_ND, gate_grads = router.project_backward(ctx.x_ND, layer.params, dmade)
        return dx_ND + dgate_ND, grads | gate_grads

    def _route(self, x_ND: np.ndarray, seed: int | None) -> tuple[Routing, np.ndarray]:
        """A routing, and the home rank of each of its tokens.

        A router that looks at other tokens, or draws noise for the batch, chooses for the whole
        batch on every rank, from the logits of all ranks; others for this rank's tokens only.
        """
        layer, wire = self.layer, self.wire
        projected = layer.router.project(x_ND, layer.params, len(self.device_E))
        if needs_whole_batch(layer.router):
            projected = {name: wire.gather(array) for name, array in projected.items()}
            home_N = np.repeat(np.arange(wire.size), wire.comm.allgather(len(x_ND)))
        else:
            home_N = np.full(len(x_ND), wire.rank)
        rng = None if seed is None else np.random.default_rng(seed)
        routing = layer.router.choose(
            projected.pop("logits_NE"), rng=rng, **projected, **layer.buffers
        )
        by = f"router {layer.router.name!r}"
        size = len(home_N), len(self.device_E)
        return check_routing(routing, *size, layer.dtype, by), home_N

    def _router_backward(self, ctx: SpreadContext, dweight: np.ndarray) -> Arrays:
        """Gradients at the projections of this rank's tokens, given those at their weights."""
        router, routing = self.layer.router, ctx.routing
        home_A = ctx.home_N[routing.token_A]
        if needs_whole_batch(router):
            dweight = self.wire.gather(dweight)
        dweight_A = np.empty(routing.n_assignments, dweight.dtype)
        dweight_A[np.argsort(home_A, kind="stable")] = dweight
        dlogits_NE = router.backward(routing, dweight_A)
        dmade = {"logits_NE": dlogits_NE}
        dmade |= router.backward_state(routing, dweight_A, dlogits_NE, dlogits_NE)
        return {name: array[ctx.home_N == self.wire.rank] for name, array in dmade.items()}

    def _hops(self, listed: Listed, n_rows: int) -> tuple[Hop, ...]:
        device_A = self.device_E[listed.expert_A]
        if self.copies != "node":
            return (Hop(self.wire, listed, device_A, n_rows, self.copies == "gpu"),)
        per_node = self.ranks_per_node
        relay_A = device_A // per_node * per_node + self.wire.rank % per_node
        first = Hop(self.wire, listed, relay_A, n_rows, merge=True)
        passed = first.listed
        return first, Hop(
            self.wire, passed, self.device_E[passed.expert_A], first.n_rows, merge=True
        )
