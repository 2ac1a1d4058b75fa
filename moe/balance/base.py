"""What every balancer is: a loss with its gradients, and a step of the buffers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import check_lengths, check_mask
from ..routing import Routing
from ..scores import logits_backward, shares, shares_backward
from ..settings import Settings

if TYPE_CHECKING:
    from ..routers import Router

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class BalanceLoss:
    """Value of a balance loss and its gradients.

    Attributes
    ----------
    value
        To add to the training loss.
    dlogits_NE
        Gradient at the logits, (N, E), or None.
    extra
        Gradients elsewhere, by name: 'weight_A' at the assignments' weights, '<name>_NE' at
        another of the router's projections. `MoELayer.backward` takes both.
    """

    value: float
    dlogits_NE: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def spread(self, routing: Routing, mask_N: np.ndarray) -> BalanceLoss:
        """The loss of `routing.only(mask_N)` with gradients of the whole routing's shapes."""
        places = {"A": mask_N[routing.token_A], "N": mask_N}

        def put(name: str, part: np.ndarray) -> np.ndarray:
            chosen = places[name.rpartition("_")[2][0]]
            whole = np.zeros((len(chosen), *part.shape[1:]), part.dtype)
            whole[chosen] = part
            return whole

        dlogits_NE = self.dlogits_NE
        return BalanceLoss(
            self.value,
            None if dlogits_NE is None else put("logits_NE", dlogits_NE),
            {name: put(name, part) for name, part in self.extra.items()},
        )


@dataclass(frozen=True)
class Balancer(Settings):
    """Options of a balancing method.

    Class attributes
    ----------------
    name, title, source, formula
        Registry name, readable name, publication, and the method as LaTeX.
    rate_name
        The field that sets its strength ('' if it has none).
    short_run_rate
        Strength that shows its effect within a few hundred steps; published defaults are for
        runs a thousand times longer. Of balancers that aim at even experts it is chosen by one
        rule for all (`docs.generator.strengths`).
    needs
        Buffer that the router must have.
    needs_scores
        Whether it acts on the router's scores.
    needs_specials
        Whether it is about experts that compute nothing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    formula: ClassVar[str] = ""
    rate_name: ClassVar[str] = ""
    short_run_rate: ClassVar[float] = 0.0
    needs: ClassVar[str] = ""
    needs_scores: ClassVar[bool] = False
    needs_specials: ClassVar[bool] = False

    def fits(self, router: Router) -> bool:
        """Whether a router has what this method acts on."""
        return (
            (not self.needs or self.needs in router.buffers)
            and (router.scored or not self.needs_scores)
            and (bool(router.specials) or not self.needs_specials)
        )

    def init_state(self, n_experts: int) -> Arrays:
        """Named arrays that this method keeps between steps; they join the layer's buffers."""
        return {}

    @property
    def sequence_tokens(self) -> int | None:
        """Tokens of a sequence, 0 if the batch is one; None if it looks at no sequences."""
        length: int | None = getattr(self, "sequence_length", None)  # an option of some methods
        return length

    def loss(
        self,
        routing: Routing,
        state: Mapping[str, np.ndarray] | None = None,
        *,
        mask_N: np.ndarray | None = None,
        length_S: np.ndarray | None = None,
    ) -> BalanceLoss:
        """Loss to add to the training loss, with its gradients.

        Parameters
        ----------
        routing
            Of this batch.
        state
            The arrays of `init_state` as `update` left them, and the layer's buffers; without it,
            their first values.
        mask_N
            True for the tokens that count, (N,) bool: padding counts nowhere, and gets no
            gradient.
        length_S
            Tokens of each sequence, padding included, (S,) integers, in place of the option
            `sequence_length`; for methods that look at sequences.

        Raises
        ------
        ValueError
            If mask or lengths are not of this batch, or the routing lacks what the method needs.
        """
        if length_S is not None:
            length_S = check_lengths(length_S, routing.n_tokens)
        per = self.sequence_tokens
        if length_S is None or per is None:
            length_S = equal_lengths(routing.n_tokens, per or 0)
        counted = routing
        if mask_N is not None:
            mask_N = check_mask(mask_N, routing.n_tokens)
            counted = routing.only(mask_N)
            ends_S1 = np.cumsum([0, *length_S])
            length_S = np.diff(np.cumsum([0, *mask_N])[ends_S1])
        if not counted.n_tokens:
            return BalanceLoss(0.0)
        loss = self._loss(counted, state, length_S[length_S > 0])
        return loss if mask_N is None else loss.spread(routing, mask_N)

    def _loss(
        self, routing: Routing, state: Mapping[str, np.ndarray] | None, length_S: np.ndarray
    ) -> BalanceLoss:
        """`loss` of one or more tokens that all count, in sequences of these lengths."""
        return BalanceLoss(0.0)

    def param_loss(self, params: Mapping[str, np.ndarray]) -> tuple[float, Arrays]:
        """Loss on the router's parameters themselves, and its gradients by name."""
        return 0.0, {}

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step the layer's buffers in place, once per training step.

        Of a step in several micro-batches that is `Routing.join` of their routings; where there
        is padding, `routing.only(mask_N)`.
        """

    def options(self) -> dict[str, Any]:
        """Option names and values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _kept(
        self, name: str, state: MutableMapping[str, np.ndarray] | None, n_experts: int
    ) -> np.ndarray:
        """Return a state array; a layer that lacks it gets its first value."""
        if state is None:
            return self.init_state(n_experts)[name]
        if name not in state:
            state[name] = self.init_state(n_experts)[name]
        return state[name]


def equal_lengths(n_tokens: int, length: int = 0) -> np.ndarray:
    """Tokens of each sequence of `length` tokens, (S,); 0: the batch is one sequence.

    The last sequence may be shorter.
    """
    start_S = np.arange(0, n_tokens, length or max(n_tokens, 1))
    return np.diff(np.append(start_S, n_tokens))


def scores_of(routing: Routing) -> np.ndarray:
    """The routing's scores, (N, E); ValueError if it has none."""
    if routing.scores_NE is None:
        raise ValueError("routing: got one without scores, allowed is a router that scores experts")
    return routing.scores_NE


def affinity(routing: Routing) -> np.ndarray:
    """Share of itself that each token offers each expert, (N, E), rows sum to one.

    Softmax of the logits, or sigmoid scores divided by their sum (DeepSeek-V3, equation 19).

    Raises
    ------
    ValueError
        If the routing has no scores.
    """
    scores_NE = scores_of(routing)
    return scores_NE if routing.score == "softmax" else shares(scores_NE)


def affinity_backward(routing: Routing, dp_NE: np.ndarray) -> np.ndarray:
    """Gradient at the logits, given the gradient at `affinity`."""
    if routing.score != "softmax":
        dp_NE = shares_backward(scores_of(routing), dp_NE)
    return logits_backward(routing, dp_NE)


def choices_per_token(routing: Routing) -> int:
    """k, of a router that gives every token the same number of choices."""
    return routing.n_assignments // max(routing.n_tokens, 1)
