"""DynMoE: each expert has its own threshold; a token takes every expert that it passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Router


@dataclass(frozen=True)
class DynMoE(Router):
    """Expert e runs where sigmoid(cos(x, w_e)) > sigmoid(theta_e); equal weights 1 / number.

    A token that passes no threshold takes its best expert. The step that selects is not
    differentiable; its gradient is passed straight through to score and threshold.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("dynmoe").choose(np.array([[0.5, -0.1, 0.2, -0.9]]))
    >>> r.expert_A.tolist(), r.weight_A.tolist()
    ([0, 2], [0.5, 0.5])
    """

    name: ClassVar[str] = "dynmoe"
    title: ClassVar[str] = "DynMoE (top-any)"
    source: ClassVar[str] = "DynMoE, arXiv 2405.14297, section 3.1"
    choice_params: ClassVar[tuple[str, ...]] = ("threshold_E",)
