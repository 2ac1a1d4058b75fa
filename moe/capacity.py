"""Which assignments get in: a limit per expert, and who is dropped when it is full."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from . import kernels
from .errors import check_float, exactly
from .routers import ROUTERS, Router
from .routing import Routing
from .settings import Settings, option

DROP_POLICIES = (
    "none", "order", "score", "rank", "batch_priority", "random", "reroute", "sequence",
)  # fmt: skip
CAUSAL_POLICIES = ("none", "order")


@dataclass(frozen=True)
class Capacity(Settings):
    """Limit of max(min_capacity, ceil(A / E * factor)) assignments per expert.

    The product is exact, by the factor as it is written: 50 * 1.1 is 55, where floating point makes
    55.00000000000001 of it, and other implementations, which round that up, 56. Weights stay as the
    router made them: what is dropped is missing from the token's sum.

    Parameters
    ----------
    factor
        Room per expert over the fair share of the A assignments; 1.0-2.0 in Switch
        Transformers (arXiv 2101.03961, equation 3).
    drop
        Who goes first when an expert is full; places are given in this order:

        - 'none': nobody is dropped.
        - 'order': earlier tokens first.
        - 'score': larger weights first (DeepSpeed's drop policy 'probs').
        - 'rank': all first choices, then all second ones, each by position (GShard,
          arXiv 2006.16668, algorithm 1; V-MoE without priority).
        - 'batch_priority': like 'rank', but tokens are sorted by the score of their first choice
          (V-MoE, arXiv 2106.05974, section 4; flaxformer `routing.py`).
        - 'random': with an rng a draw for each assignment (random token selection, DeepSpeed
          `sharded_moe.py`); without one by position.
        - 'reroute': by position; then what found no place tries its token's next best expert in
          rounds, all tokens one step at a time, and is dropped if none has room (No-Token-
          Left-Behind, arXiv 2101.03961, appendix B). Next best is by score, without selection
          bias or group limits; the weights are those of the experts that a token ended at.
        - 'sequence': the limit is per device; highest scores first, and tokens of protected
          sequences are never dropped, whatever the limit (DeepSeek-V2, arXiv 2405.04434,
          section 2.2.4, where factor is 1.0).
    min_capacity
        Least room per expert (DeepSpeed's gate: 8).
    n_devices
        For 'sequence': devices, each with E / n_devices neighbouring experts; 0 gives every
        expert a device of its own.
    sequence_length, protected
        For 'sequence': tokens per sequence, and the share of sequences that lose nothing (V2:
        about 0.1). The paper does not say which; here they are spread evenly over the batch.

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("switch")
    >>> routing = router.choose(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]))
    >>> for drop in ("order", "score", "reroute"):
    ...     capped = moe.Capacity(1.0, drop).apply(routing, router=router)
    ...     print(capped.expert_A.tolist(), capped.kept_A.tolist())
    [0, 0, 0, 1] [True, True, False, True]
    [0, 0, 0, 1] [False, True, True, True]
    [0, 0, 1, 1] [True, True, True, True]
    """

    factor: float = 1.25
    drop: str = option("order", among=DROP_POLICIES)
    min_capacity: int = option(0, low=0)
    n_devices: int = option(0, low=0)
    sequence_length: int = option(128, low=1)
    protected: float = option(0.1, low=0, high=1)

    def __post_init__(self) -> None:
        check_float("capacity_factor", self.factor, 0.0, open_low=True)
        super().__post_init__()

    @property
    def causal(self) -> bool:
        """False if a later token, by its content, can change what an earlier one gets.

        By position it cannot: a token stands only behind earlier ones ('random' without an rng
        is by position too). That holds for a given number of assignments: the limit follows
        their number, so it grows when tokens are appended, or when a router without a fixed k
        lists more experts for later tokens.
        """
        return self.drop in CAUSAL_POLICIES

    def check(self, router: Router | None, n_experts: int) -> None:
        """Raise ValueError if the policy does not fit the router or the number of experts."""
        self._n_queues(n_experts)
        if self.drop == "reroute" and not (router and router.reroutable):
            fit = ", ".join(name for name, kind in ROUTERS.items() if kind.reroutable)
            given = f"router {router.name!r}" if router else "no router"
            raise ValueError(
                f"drop: got 'reroute' with {given}, allowed is it with one of {fit}, "
                "whose weights depend on nothing but the chosen experts' scores"
            )

    def limit(self, routing: Routing) -> int:
        """Assignments that each expert, or with 'sequence' each device, accepts."""
        share = Fraction(routing.n_assignments, self._n_queues(routing.n_experts))
        return max(self.min_capacity, math.ceil(share * exactly(self.factor)))

    def apply(
        self,
        routing: Routing,
        rng: np.random.Generator | None = None,
        router: Router | None = None,
    ) -> Routing:
        """Return the routing with `kept_A` false for what found no place.

        Soft MoE's routing is returned as it is: its slots cannot overflow.

        Parameters
        ----------
        routing
            From `router.choose`.
        rng
            Source of the draws of 'random'.
        router
            The router that chose; 'reroute' needs it to weigh the experts that it sends to.

        Raises
        ------
        ValueError
            If the policy does not fit the router or the number of experts.
        """
        if self.drop == "none" or routing.dispatch_NS is not None:
            return routing
        self.check(router, routing.n_experts)
        queue_A, limit = routing.expert_A, self.limit(routing)
        if self.drop == "sequence":
            queue_A = queue_A // (routing.n_experts // self._n_queues(routing.n_experts))
        kept_A = _places(queue_A, *self._priority(routing, rng)) < limit
        if self.drop == "reroute" and router is not None:
            if routing.logits_NE is None:
                raise ValueError(
                    f"drop: got 'reroute' with router {router.name!r}, whose routing has no "
                    "logits; allowed is it with a router that keeps them"
                )
            expert_A, kept_A = kernels.reroute(
                routing.token_A, routing.rank_A, routing.expert_A, kept_A, routing.logits_NE, limit
            )
            sent = replace(routing, expert_A=expert_A, asked_A=routing.expert_A)
            weight_A = router.weigh(sent)
            # Sent away from a broken score, a token would look whole.
            weight_A[np.isin(routing.token_A, routing.broken_tokens)] = np.nan
            routing = replace(sent, weight_A=weight_A)
        elif self.drop == "sequence":
            kept_A |= self._protected(routing)
        return routing.with_kept(kept_A & routing.kept_A)

    def _n_queues(self, n_experts: int) -> int:
        """Queues with a limit of their own: experts, or devices."""
        if self.drop != "sequence" or self.n_devices == 0:
            return n_experts
        if n_experts % self.n_devices:
            raise ValueError(
                f"n_devices: got {self.n_devices}, allowed is 0 or a divisor of n_experts "
                f"({n_experts})"
            )
        return self.n_devices

    def _priority(
        self, routing: Routing, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, ...]:
        """Keys that sort a queue, the one that matters most last."""
        position = (routing.rank_A, routing.token_A)
        if self.drop == "score":
            return (*position, -routing.weight_A)
        if self.drop == "rank":
            return (*position, routing.rank_A)
        if self.drop == "batch_priority":
            first_A = routing.rank_A == 0
            best_N = np.zeros(routing.n_tokens, routing.weight_A.dtype)
            best_N[routing.token_A[first_A]] = _affinity(routing)[first_A]
            return (*position, -best_N[routing.token_A], routing.rank_A)
        if self.drop == "random" and rng is not None:
            return (rng.random(routing.n_assignments),)
        if self.drop == "sequence":
            return (*position, -_affinity(routing), ~self._protected(routing))
        return position

    def _protected(self, routing: Routing) -> np.ndarray:
        """Which assignments belong to a protected sequence, (A,) bool."""
        sequence_A = routing.token_A // self.sequence_length
        # Of n sequences round(n * share) are protected, one each time the running sum passes 1/2.
        return np.floor((sequence_A + 1) * self.protected + 0.5) > np.floor(
            sequence_A * self.protected + 0.5
        )


NO_LIMIT = Capacity(drop="none")


def _affinity(routing: Routing) -> np.ndarray:
    """Score of each assignment, not renormalised or scaled; its weight without scores."""
    if routing.scores_NE is None:
        return routing.weight_A
    return np.asarray(routing.scores_NE[routing.token_A, routing.expert_A])


def _places(queue_A: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """Place of each assignment in its queue, from 0, once sorted; the last key matters most."""
    order_A = np.lexsort((*keys, queue_A))
    sorted_A = queue_A[order_A]
    place_A = np.empty(order_A.size, np.int64)
    place_A[order_A] = np.arange(order_A.size) - np.searchsorted(sorted_A, sorted_A)
    return place_A
