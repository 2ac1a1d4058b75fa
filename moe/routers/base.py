"""What every router is: frozen options, `choose`, and `backward`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ..errors import check_array, check_choice, check_int
from ..routing import Routing


@dataclass(frozen=True)
class Router(ABC):
    """Options of a routing method; the layer owns parameters and buffers.

    Class attributes
    ----------------
    name, title, source
        Registry name, readable name, publication.
    causal
        False if a future token can change an earlier token's routing.
    projections
        Names of the maps of x into E columns that the layer keeps as parameters
        `<name>_DE`: always 'gate', whose result are the logits; others reach `choose` as
        `<name>_NE`.
    buffers
        Names of (E,) arrays without gradient that a balancer may step; they reach `choose`
        under their names.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    causal: ClassVar[bool] = True
    projections: ClassVar[tuple[str, ...]] = ("gate",)
    buffers: ClassVar[tuple[str, ...]] = ()

    def check(self, n_experts: int) -> None:
        """Raise ValueError if these options don't fit that many experts."""
        check_int("n_experts", n_experts, 1)

    def gate_bias(self) -> bool:
        """Say whether the gate adds a learned bias to the logits (`gate_bias_E`)."""
        return False

    def perturb(self, x_ND: np.ndarray, rng: np.random.Generator | None) -> np.ndarray | None:
        """Factors (N, D) on the gate's input, or None; only with an rng."""
        return None

    @abstractmethod
    def choose(
        self,
        logits_NE: np.ndarray,
        *,
        rng: np.random.Generator | None = None,
        token_ids: np.ndarray | None = None,
        **state: np.ndarray,
    ) -> Routing:
        """Route N tokens: who wants to go where, with what weight.

        Parameters
        ----------
        logits_NE
            Gate logits, (N, E), float32 or float64.
        rng
            Source of noise; without it there is none.
        token_ids
            (N,) integers, for methods that route by identity.
        **state
            Further projections `<name>_NE` and buffers `<name>_E`, if the router has any.

        Raises
        ------
        ValueError
            If logits are not (N, E) floats, or the options don't fit E.
        """

    @abstractmethod
    def backward(self, routing: Routing, dweight_A: np.ndarray) -> np.ndarray:
        """Gradient at the logits, (N, E), given the gradient at the weights, (A,)."""

    def backward_projections(
        self, routing: Routing, dlogits_NE: np.ndarray
    ) -> Mapping[str, np.ndarray]:
        """Gradient at each projection's result, (N, E), given the one at the logits."""
        return {"gate": dlogits_NE}

    def options(self) -> dict[str, Any]:
        """Option names and values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _check_logits(self, logits_NE: Any) -> np.ndarray:
        # NaN stays in its row; the layer refuses it at the edge, in x.
        logits_NE = check_array("logits_NE", logits_NE, (None, None), finite=False)
        self.check(logits_NE.shape[1])
        return logits_NE


def check_k(k: int, n_experts: int) -> None:
    """Raise ValueError unless 1 <= k <= n_experts."""
    check_int("k", k, 1, n_experts, f"n_experts is {n_experts}")


def check_score(score: str) -> None:
    """Raise ValueError unless the score function exists."""
    check_choice("score", score, ("softmax", "sigmoid"))
