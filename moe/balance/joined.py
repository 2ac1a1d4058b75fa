"""Several balancers at once, and the words that name them: 'bias+aux(scope=sequence)'."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..named_options import option_value, parse_named_options
from ..routing import Routing
from .base import Arrays, BalanceLoss, Balancer

if TYPE_CHECKING:
    from ..routers import Router


@dataclass(frozen=True)
class Sum(Balancer):
    """Several balancers together: losses add up, and each steps its buffers, in order.

    DeepSeek-V3 joins a bias with a sequence loss, top-p an entropy with an auxiliary loss.

    Examples
    --------
    >>> import numpy as np, moe
    >>> both = moe.make_balancer("aux+z", coefficient=1.0)
    >>> routing = moe.make_router("topk", k=1).choose(np.zeros((1, 2)))
    >>> round(both.loss(routing).value, 4)  # aux 1, and (ln 2)^2
    1.4805
    """

    name: ClassVar[str] = "sum"
    title: ClassVar[str] = "Sum"
    source: ClassVar[str] = "its parts"

    parts: tuple[Balancer, ...] = ()

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"balance: got {'+'.join(names)!r}, allowed are different methods")

    def fits(self, router: Router) -> bool:
        """Whether every part fits."""
        return all(part.fits(router) for part in self.parts)

    def init_state(self, n_experts: int) -> Arrays:
        """The parts' state."""
        return {k: v for part in self.parts for k, v in part.init_state(n_experts).items()}

    def loss(
        self,
        routing: Routing,
        state: Mapping[str, np.ndarray] | None = None,
        **tokens: np.ndarray | None,
    ) -> BalanceLoss:
        """Sum of values and gradients; mask and lengths go to every part."""
        value, gradient = 0.0, Gradients()
        for part in self.parts:
            loss = part.loss(routing, state, **tokens)
            value += loss.value
            gradient.add(loss.extra)
            if loss.dlogits_NE is not None:
                gradient.add({"logits_NE": loss.dlogits_NE})
        dlogits_NE = gradient.pop("logits_NE", None)
        return BalanceLoss(value, dlogits_NE, gradient)

    def param_loss(self, params: Mapping[str, np.ndarray]) -> tuple[float, Arrays]:
        """Sum of values and gradients."""
        value, gradient = 0.0, Gradients()
        for part in self.parts:
            more, grads = part.param_loss(params)
            value += more
            gradient.add(grads)
        return value, gradient

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step each part, in order."""
        for part in self.parts:
            part.update(buffers, routing)

    def options(self) -> dict[str, Any]:
        """The parts' options, under 'part.option'."""
        return {
            f"{part.name}.{option}": value
            for part in self.parts
            for option, value in part.options().items()
        }


class Gradients(Arrays):
    """Gradients by name, added up."""

    def add(self, more: Mapping[str, np.ndarray]) -> None:
        """Add gradients; a name that is not there yet starts at zero."""
        for name, array in more.items():
            self[name] = self[name] + array if name in self else array


def parse(words: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and options of joined balancers, in order.

    Raises
    ------
    ValueError
        If the words are not names joined by '+', each with options in brackets or none.

    Examples
    --------
    >>> parse("bias(form=proportional, rate=1e-3)+z")
    [('bias', {'form': 'proportional', 'rate': 0.001}), ('z', {})]
    """
    parts = parse_named_options(words)
    texts = [text for _, options in parts or () for text in options.values()]
    if parts is None or any(text is None or "=" in text for text in texts):
        raise ValueError(
            f"balance: got {words!r}, allowed are names joined by '+', with options as in "
            "'bias(rate=0.01)+aux(scope=sequence)'"
        )
    return [
        (name, {option: option_value(str(text)) for option, text in options.items()})
        for name, options in parts
    ]
