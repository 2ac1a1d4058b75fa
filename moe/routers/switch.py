"""Switch: one expert per token, weighted by its raw probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..settings import option
from .fixed_k import FixedK


@dataclass(frozen=True)
class Switch(FixedK):
    """Top-1 routing of Switch Transformers: y = p_e(x) f_e(x), p not renormalised.

    Renormalised, the weight of one choice is always 1 and the gate gets no gradient.

    Parameters
    ----------
    jitter
        While training (with an rng), the gate's input is multiplied by U(1 - jitter, 1 + jitter).

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("switch").choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2], [0.5])
    """

    name: ClassVar[str] = "switch"
    title: ClassVar[str] = "Switch (top-1)"
    source: ClassVar[str] = "Switch Transformers, arXiv 2101.03961, section 2.1"
    reroutable: ClassVar[bool] = True
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}\big((x \odot \epsilon) W\big) \\"
        r"\epsilon &\sim U(1 - j, 1 + j) \\"
        r"w_e &= p_e, \quad e = \operatorname{arg\,max} p"
        r"\end{aligned}"
    )
    buffers: ClassVar[tuple[str, ...]] = ("select_bias_E",)

    jitter: float = option(1e-2, low=0, high=0.5)

    def perturb(self, x_ND: np.ndarray, rng: np.random.Generator | None) -> np.ndarray | None:
        """Jitter factors for the gate's input, (N, D), or None without an rng."""
        if rng is None or self.jitter == 0:
            return None
        factor_ND = rng.uniform(1 - self.jitter, 1 + self.jitter, x_ND.shape)
        return factor_ND.astype(x_ND.dtype)
