"""Causality probe: whether a change of future tokens changes where earlier tokens go.

A decoder writes one token after another. If a later token can change an earlier one's routing, then
training sees what generation cannot: the future leaks. The probe keeps a prefix, replaces what
comes after it, and compares the prefix's routings bit for bit.

It replaces future tokens and never changes their number. A capacity limit computed from the
number of tokens grows when tokens are appended, so that even by position a token that was dropped
may then get in; for a given number it is causal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..capacity import DROP_POLICIES, Capacity
from ..routers import ROUTERS, Router, make_router
from ..routing import Routing
from ..settings import Settings, option

ROOM = (0.5, 1.0)  # factors tight enough to drop: with 1.0 some experts still have room


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """How hard to look."""

    n_early: int = option(16, "Tokens that stay.")
    n_future: int = option(16, "Tokens that are replaced.")
    n_experts: int = option(8, "Experts, E.")
    trials: int = option(12, "Random prefixes; each meets five futures.")
    seed: int = option(0, "Of prefixes, futures and router noise.")


@dataclass(frozen=True)
class CausalityRow:
    """What the probe found for one method.

    Attributes
    ----------
    name, kind
        Registry name, and 'router' or 'drop policy'.
    claims, found
        Whether it says that it is causal, and whether no future changed an earlier token.
    changed
        Share of earlier tokens whose routing changed, mean over all exchanges of the future.
    """

    name: str
    kind: str
    claims: bool
    found: bool
    changed: float


Route = Callable[[np.ndarray, np.ndarray, int, float], Routing]


def futures(rng: np.random.Generator, early_NE: np.ndarray, n_future: int) -> Iterator[np.ndarray]:
    """Logits of future tokens, (F, E): one drawn like the prefix, and four that mean harm."""
    shape = (n_future, early_NE.shape[1])
    yield rng.standard_normal(shape)
    # The same tokens again, surer of the same experts: whoever sorts by score gives way to them.
    yield 3 * early_NE[np.arange(n_future) % len(early_NE)]
    # The reverse: nobody competes any more.
    yield -3 * early_NE[np.arange(n_future) % len(early_NE)]
    # All want the one expert that the prefix wants most; all want a random one.
    for favourite in (int(early_NE.sum(axis=0).argmax()), int(rng.integers(shape[1]))):
        crowd_NE = rng.standard_normal(shape)
        crowd_NE[:, favourite] += 9
        yield crowd_NE


def probe(
    name: str, kind: str, claims: bool, route: Route, settings: ProbeSettings
) -> CausalityRow:
    """Look for a future that changes an earlier token's routing.

    Parameters
    ----------
    route
        Makes a routing of logits (N, E), token ids (N,), a seed for noise, and a factor of room.
    """
    rng = np.random.default_rng(settings.seed)
    n_early, n_future, n_experts = settings.n_early, settings.n_future, settings.n_experts
    changed = []
    for trial in range(settings.trials):
        early_NE = rng.standard_normal((n_early, n_experts))
        # An uneven load, so that some experts overflow and others have room.
        early_NE += rng.standard_normal(n_experts)
        ids_N = rng.integers(0, 256, n_early)
        before = None
        for future_NE in futures(rng, early_NE, n_future):
            routing = route(
                np.concatenate([early_NE, future_NE]),
                np.concatenate([ids_N, rng.integers(0, 256, n_future)]),
                trial,
                ROOM[trial % len(ROOM)],
            )
            after = _fate(routing)[:n_early]
            if before is not None:
                changed.append((before != after).any(axis=1).mean())
            before = after
    share = float(np.mean(changed))
    return CausalityRow(name, kind, claims, share == 0, share)


def _fate(routing: Routing) -> np.ndarray:
    """One row per token of all that the routing says of it, (N, ...)."""
    kept_NE = np.zeros((routing.n_tokens, routing.n_experts))
    kept_NE[routing.token_A[routing.kept_A], routing.expert_A[routing.kept_A]] = 1
    parts = [routing.combine(), kept_NE]
    parts += [m for m in (routing.dispatch_NS, routing.combine_NS) if m is not None]
    return np.concatenate(parts, axis=1)


def probe_router(
    router: Router,
    settings: ProbeSettings = ProbeSettings(),
    buffers: Mapping[str, np.ndarray] | None = None,
) -> CausalityRow:
    """Probe a router without a capacity limit, with its noise if it has any.

    Parameters
    ----------
    buffers
        What a balancer has left of a layer's buffers; none by default.
    """
    steered = dict(buffers or {})

    def route(logits_NE: np.ndarray, ids_N: np.ndarray, seed: int, room: float) -> Routing:
        rng = np.random.default_rng(seed)
        return router.choose(logits_NE, rng=rng, token_ids=ids_N, **steered)

    return probe(router.name, "router", router.causal, route, settings)


def probe_capacity(capacity: Capacity, settings: ProbeSettings = ProbeSettings()) -> CausalityRow:
    """Probe a drop policy after top-2 routing, which is causal by itself; `factor` is replaced."""
    router = make_router("topk", k=2)

    def route(logits_NE: np.ndarray, ids_N: np.ndarray, seed: int, room: float) -> Routing:
        tight = replace(capacity, factor=room)
        return tight.apply(router.choose(logits_NE), np.random.default_rng(seed), router)

    return probe(capacity.drop, "drop policy", capacity.causal, route, settings)


def causality_rows(settings: ProbeSettings = ProbeSettings()) -> list[CausalityRow]:
    """Probe every router and every drop policy of the registries."""
    rows = [probe_router(make_router(name), settings) for name in ROUTERS]
    return rows + [probe_capacity(Capacity(drop=drop), settings) for drop in DROP_POLICIES]
