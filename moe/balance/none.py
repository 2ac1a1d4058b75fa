"""No balancing: what happens when nothing is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Balancer


@dataclass(frozen=True)
class NoBalance(Balancer):
    """Neither a loss nor a bias: experts that win early are trained more and win again."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "No balancing"
    source: ClassVar[str] = "the collapse is described in arXiv 1701.06538, section 4"
