"""Opportunistic expert activation: further choices only from what the batch reads anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from .errors import check_int
from .routers import Router, check_router, make_router
from .routers.base import Arrays
from .routing import Routing


def piggyback(expert_NK: np.ndarray, k0: int, k: int | None = None) -> np.ndarray:
    """Which of a batch's choices stay, (N, K) bool: each token's first, and what others read.

    Parameters
    ----------
    expert_NK
        Each token's experts, best first, (N, K) integers; below 0 there is none.
    k0
        Choices of each token that always stay.
    k
        Most that a token keeps, by default K.

    Raises
    ------
    ValueError
        If a number is not allowed, or there is no table of integers.

    Notes
    -----
    arXiv 2511.02237, algorithm 1. Its list holds every expert; a shorter one is its `maxP`.

    Examples
    --------
    >>> piggyback(np.array([[0, 1, 2], [1, 3, 0]]), k0=1).tolist()
    [[True, True, False], [True, False, True]]
    """
    expert_NK = np.asarray(expert_NK)
    if expert_NK.ndim != 2 or expert_NK.dtype.kind not in "iu":
        raise ValueError(
            f"expert_NK: got {expert_NK.dtype} of shape {expert_NK.shape}, allowed are integers of "
            "shape (N, K)"
        )
    most = check_int("k", expert_NK.shape[1] if k is None else k, 1)
    check_int("k0", k0, 1, most, f"k is {most}")
    real_NK = expert_NK >= 0
    first = expert_NK[:, :k0][real_NK[:, :k0]]
    found_NK = real_NK & np.isin(expert_NK, first)
    return np.asarray(found_NK & (np.cumsum(found_NK, axis=1) <= most))


@dataclass(frozen=True)
class Opportunistic(Router):
    """A router at inference whose batch reads fewer experts: a token's best k0 choices stay.

    Its other choices, up to k, are the best of those that are among any token's k0, so that the
    batch reads no further expert. Weights are the router's own for the experts that are left. With
    a single token that is its best k0.

    Parameters
    ----------
    router
        One whose weights depend on the chosen experts' scores alone (`reroutable`), without groups.
    k0
        Choices of each token that always stay; with k of them nothing changes.

    Examples
    --------
    >>> import numpy as np, moe
    >>> few = moe.Opportunistic(moe.make_router("topk", k=2), k0=1)
    >>> few.choose(np.log([[4.0, 1.0, 2.0], [1.0, 4.0, 2.0]])).expert_A.tolist()
    [0, 1, 1, 0]
    """

    name: ClassVar[str] = "opportunistic"
    title: ClassVar[str] = "Opportunistic expert activation"
    source: ClassVar[str] = "arXiv 2511.02237, algorithm 1"
    causal: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False

    router: Router = field(default_factory=lambda: make_router("topk"))
    k0: int = 1

    def __post_init__(self) -> None:
        router = check_router(self.router)
        options: dict[str, Any] = router.options()
        grouped = options.get("n_group", 1) > 1 or options.get("by_token", False)
        alone = router.projections == ("gate",) and not router.choice_params
        if not (router.reroutable and alone and "k" in options) or grouped or router.specials:
            raise ValueError(
                f"router: got {router.name!r}, allowed is one whose weights depend on the "
                "chosen experts' scores alone, with k choices and without groups"
            )
        check_int("k0", self.k0, 1, options["k"], f"k is {options['k']}")

    @property
    def buffers(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the router."""
        return self.router.buffers

    @property
    def weigh_input(self) -> bool:  # type: ignore[override]
        """As in the router."""
        return self.router.weigh_input

    @property
    def gate_learns(self) -> bool:
        """As in the router."""
        return self.router.gate_learns

    def check(self, n_experts: int) -> None:
        """Raise ValueError if the router does not fit that many experts."""
        self.router.check(n_experts)

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Those of the router."""
        return self.router.init_params(d_model, n_experts, rng)

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """What the router computes."""
        return self.router.project(x_ND, params, n_experts)

    def project_backward(
        self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], dmade: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """As in the router."""
        return self.router.project_backward(x_ND, params, dmade)

    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Choose as the router does, then again from what the batch reads; see `Router.choose`."""
        logits_NE = self._check_logits(logits_NE)
        everything: dict[str, Any] = {"k": logits_NE.shape[1]}
        wide = replace(self.router, **everything).choose(
            logits_NE, rng=rng, token_ids=token_ids, **state
        )
        order_NE = wide.expert_A.reshape(wide.n_tokens, wide.n_experts)
        kept_NE = piggyback(order_NE, self.k0, self.router.options()["k"])
        # All lists are as long: of the experts that are read each token finds every one.
        n_kept = int(kept_NE.sum()) // max(1, wide.n_tokens)
        expert_NK = order_NE[kept_NE].reshape(wide.n_tokens, n_kept)
        routing = Routing.from_choices(
            expert_NK,
            np.zeros(expert_NK.shape, wide.weight_A.dtype),
            wide.n_experts,
            logits_NE=wide.logits_NE,
            scores_NE=wide.scores_NE,
            score=wide.score,
            saved=wide.saved,
        )
        return replace(routing, weight_A=self.router.weigh(routing))

    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits; see `Router.backward`."""
        return self.router.backward(routing, dweight_A)
