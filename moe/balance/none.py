"""No balancing: what happens when nothing is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Balancer


@dataclass(frozen=True)
class NoBalance(Balancer):
    """Neither a loss nor a bias: the gate is free to send all tokens to the same few experts.

    The usual reason given is that an expert chosen early is trained more and so chosen again. In
    this project's small model the gate alone suffices: frozen experts collapse further. There the
    tokens come to share a direction, which to the gate is a bonus for the same experts; see the
    page on why experts collapse. An expert that no token chooses gets no gradient.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("topk").choose(np.log([[0.7, 0.1, 0.1, 0.1]]))
    >>> moe.make_balancer("none").loss(routing).value
    0.0
    """

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "No balancing"
    source: ClassVar[str] = "the collapse is described in arXiv 1701.06538, section 4"
    formula: ClassVar[str] = r"\mathcal L = 0"
