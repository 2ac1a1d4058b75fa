"""ST-MoE: top-2 with a threshold on the second expert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..settings import option
from .two_choices import TwoChoices


@dataclass(frozen=True)
class StMoE(TwoChoices):
    """First choice always; second with probability min(1, g2 / threshold).

    Without an rng the second choice is taken where g2 exceeds the threshold: the policy
    'threshold' of the authors' code, whose default is to draw at test time too.

    Parameters
    ----------
    threshold
        Share of both probabilities from which the second expert is always taken.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("st_moe").choose(np.log([[1.0, 1.0, 9.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2], [0.9])
    """

    name: ClassVar[str] = "st_moe"
    title: ClassVar[str] = "ST-MoE top-2"
    source: ClassVar[str] = "ST-MoE, arXiv 2202.08906; Mesh TensorFlow moe.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}(x W), \quad (e_1, e_2) = \operatorname{top}_2(p) \\"
        r"w_{e_i} &= g_i = p_{e_i} / (p_{e_1} + p_{e_2}) \\"
        r"e_2 &\text{ with probability } \min(1, g_2 / \theta)"
        r"\end{aligned}"
    )

    threshold: float = option(0.2, low=0, high=1)

    def takes_second(self, weight_N: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Draw one number for each token, or compare with the threshold."""
        if rng is None:
            return np.asarray(weight_N > self.threshold)
        return np.asarray(rng.random(weight_N.shape) * self.threshold < weight_N)
