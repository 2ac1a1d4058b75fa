"""What every balancer is: a loss with its gradient at the logits, and a step of the buffers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..routing import Routing
from ..scores import scores_backward, shares, shares_backward


class BalanceLoss(NamedTuple):
    """Value of a balance loss and its gradient at the logits, (N, E) or None."""

    value: float
    dlogits_NE: np.ndarray | None


@dataclass(frozen=True)
class Balancer:
    """Options of a balancing method.

    Class attributes
    ----------------
    name, title, source, formula
        Registry name, readable name, publication, and the method as LaTeX.
    rate_name
        The field that sets its strength ('' if it has none).
    short_run_rate
        Strength that shows its effect within a few hundred steps; published defaults are for
        runs a thousand times longer.
    needs
        Buffer that the router must have.
    needs_scores
        Whether its loss acts on the router's scores.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str] = ""
    rate_name: ClassVar[str] = ""
    short_run_rate: ClassVar[float] = 0.0
    needs: ClassVar[str] = ""
    needs_scores: ClassVar[bool] = False

    def init_state(self, n_experts: int) -> dict[str, np.ndarray]:
        """Named arrays that this method keeps between steps; they join the layer's buffers."""
        return {}

    def loss(self, routing: Routing, state: Mapping[str, np.ndarray] | None = None) -> BalanceLoss:
        """Loss to add to the training loss, with its gradient at the logits.

        `state` is what `init_state` made and `update` stepped; without it, its first value.
        """
        return BalanceLoss(0.0, None)

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the layer's buffers in place, once per training step."""

    def options(self) -> dict[str, Any]:
        """Option names and values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def affinity(routing: Routing) -> np.ndarray:
    """Share of itself that each token offers each expert, (N, E), rows sum to one.

    Softmax of the logits, or sigmoid scores divided by their sum (DeepSeek-V3, equation 19).

    Raises
    ------
    ValueError
        If the routing has no scores.
    """
    if routing.scores_NE is None:
        raise ValueError("routing: got one without scores, allowed is a router that scores experts")
    return routing.scores_NE if routing.score == "softmax" else shares(routing.scores_NE)


def affinity_backward(routing: Routing, dp_NE: np.ndarray) -> np.ndarray:
    """Gradient at the logits, given the gradient at `affinity`."""
    assert routing.logits_NE is not None and routing.scores_NE is not None
    if routing.score != "softmax":
        dp_NE = shares_backward(routing.scores_NE, dp_NE)
    return scores_backward(routing.logits_NE, routing.scores_NE, dp_NE, routing.score)
