"""No balancing: what happens when nothing is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Balancer


@dataclass(frozen=True)
class NoBalance(Balancer):
    """Neither a loss nor a bias: experts that win early are trained more and win again.

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
