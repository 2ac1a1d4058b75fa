"""What every router is: frozen options, `choose`, and `backward`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..errors import check_array, check_int
from ..routing import Routing
from ..settings import Settings

Arrays = dict[str, np.ndarray]

# Experts of a kind. A file's options are read before its arrays, and could ask for any number.
MAX_SPECIALS = 4096


@dataclass(frozen=True)
class Router(Settings, ABC):
    """Options of a routing method; the layer owns parameters and buffers.

    Class attributes
    ----------------
    name, title, source, formula
        Registry name, readable name, publication, and the method as LaTeX.
    causal
        False if a future token can change an earlier token's routing.
    draws_noise
        True if, given an rng, it adds noise to the logits of the whole batch, so that ranks which
        share a batch have to draw it together.
    batch_invariant
        Whether a token's routing has the same bits whoever else is in the batch: then so have the
        layer's result and the gradient at x, unless a capacity limit or noise steps in.
    scored
        False if a routing has no score per token and expert for a balance loss to act on.
    reroutable
        True if `weigh` can weigh any experts that a token is sent to.
    straight_through
        True if its gradient is, by its paper, an estimate and not the derivative.
    projections
        Names of the linear maps of x that the layer keeps as parameters `<name>_DE`: 'gate'
        makes the logits; others reach `choose` as `<name>_NE`.
    choice_params
        Names of parameters that `choose` uses directly.
    buffers
        Names of (E,) arrays without gradient that a balancer may step; they reach `choose`
        under their names.
    weigh_input
        Whether weights multiply what experts get, f(w x), rather than their results, w f(x).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str] = ""
    causal: ClassVar[bool] = True
    draws_noise: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = True
    scored: ClassVar[bool] = True
    reroutable: ClassVar[bool] = False
    straight_through: ClassVar[bool] = False
    projections: ClassVar[tuple[str, ...]] = ("gate",)
    choice_params: ClassVar[tuple[str, ...]] = ()
    buffers: ClassVar[tuple[str, ...]] = ()
    weigh_input = False  # not a ClassVar, since a router may make it an option

    def check(self, n_experts: int) -> None:
        """Raise ValueError if these options don't fit that many experts."""
        n_special = len(self.specials)
        why = "one must compute" if n_special else ""
        check_int("n_experts", n_experts, n_special + 1, None, why)

    @property
    def gate_learns(self) -> bool:
        """Whether the task's loss reaches the gate: not if no weight depends on the logits.

        A single choice divided by itself always weighs 1.
        """
        return True

    @property
    def specials(self) -> tuple[str, ...]:
        """Kinds of the pool's last experts, which compute (nearly) nothing; see `moe.specials`."""
        return ()

    def init_params(self, d_model: int, n_experts: int, rng: np.random.Generator) -> Arrays:
        """Fresh router parameters in float64, by name; the layer casts and keeps them."""
        params = {}
        for name in self.projections:
            spread = 1 / np.sqrt(d_model) if name == "gate" else 0.0
            params[f"{name}_DE"] = spread * rng.standard_normal((d_model, n_experts))
        return params

    def n_logits(self, n_columns: int) -> int:
        """Logits that `project` makes of a gate with so many columns: one each."""
        return n_columns

    def project(self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], n_experts: int) -> Arrays:
        """What `choose` looks at: 'logits_NE', and whatever else this router computes from x."""
        outputs = {f"{n}_NE": kernels.matmul(x_ND, params[f"{n}_DE"]) for n in self.projections}
        logits_NE = outputs.pop("gate_NE")
        if "gate_bias_E" in params:  # where `init_params` has one, as gpt-oss does
            logits_NE = logits_NE + params["gate_bias_E"]
        return {"logits_NE": logits_NE} | outputs

    def project_backward(
        self, x_ND: np.ndarray, params: Mapping[str, np.ndarray], dmade: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """Gradients at x and at the router's parameters, given those at `project`'s results."""
        dx_ND, grads = None, {}
        for name in self.projections:
            dout_NE = dmade["logits_NE" if name == "gate" else f"{name}_NE"]
            grads[f"{name}_DE"] = kernels.matmul_tn(x_ND, dout_NE)
            dmore_ND = kernels.matmul_nt(dout_NE, params[f"{name}_DE"])
            dx_ND = dmore_ND if dx_ND is None else dx_ND + dmore_ND
        if "gate_bias_E" in params:
            grads["gate_bias_E"] = dmade["logits_NE"].sum(axis=0)
        return np.zeros_like(x_ND) if dx_ND is None else dx_ND, grads

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

    def weigh(self, routing: Routing) -> np.ndarray:
        """Weights, (A,), of the experts that assignments went to; for reroutable routers.

        Where they went to the experts that `choose` chose, these are its weights.
        """
        raise TypeError(f"router {self.name!r} does not do this")

    def backward_state(
        self, routing: Routing, dweight_A: np.ndarray, drouted_NE: np.ndarray, dtotal_NE: np.ndarray
    ) -> Arrays:
        """Gradients at the other arrays that `choose` took, by keyword; none by default.

        Every further projection `<name>_NE` and every name in `choice_params` needs one; an input
        of the layer, such as 'previous_NE', may have one.

        Parameters
        ----------
        dweight_A
            Gradient at the weights.
        drouted_NE
            What `backward` returned for it.
        dtotal_NE
            The same, with what reaches the logits from elsewhere, such as a balance loss.
        """
        return {}

    def options(self) -> dict[str, Any]:
        """Option names and values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _check_logits(self, logits_NE: Any) -> np.ndarray:
        # NaN stays in its row; the layer refuses it at the edge, in x.
        logits_NE = check_array("logits_NE", logits_NE, (None, None), finite=False)
        n_columns = logits_NE.shape[1]
        if self.__dict__.get("_fits") != n_columns:
            self.check(n_columns)
            # Options never change, so they are checked once for a number of experts.
            object.__setattr__(self, "_fits", n_columns)
        return logits_NE

    def _routing(
        self,
        logits_NE: np.ndarray,
        scores_NE: np.ndarray,
        score: str,
        expert_NK: np.ndarray,
        weight_NK: np.ndarray,
        **more: Any,
    ) -> Routing:
        """The routing of these choices by these scores; see `Routing.from_choices`."""
        return Routing.from_choices(
            expert_NK,
            weight_NK,
            logits_NE.shape[1],
            logits_NE=logits_NE,
            scores_NE=scores_NE,
            score=score,
            n_special=len(self.specials),
            **more,
        )


def check_k(k: int, n_experts: int) -> None:
    """Raise ValueError unless 1 <= k <= n_experts."""
    check_int("k", k, 1, n_experts, f"n_experts is {n_experts}")
