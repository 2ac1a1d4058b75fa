"""GShard: top-2, the second expert taken at random in proportion to its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from .two_choices import TwoChoices


@dataclass(frozen=True)
class GShard(TwoChoices):
    """First choice always; second if 2 g2 > U(0, 1), g2 its share of both probabilities.

    Without an rng the second choice is always taken. First choices fill experts before second
    ones do: use `Capacity(drop="rank")`.

    Parameters
    ----------
    gumbel
        With an rng, draw the second expert from the softmax over all but the first, and always
        take it, as DeepSpeed and Lingvo's `sampling` policy do.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("gshard").choose(np.log([[1.0, 2.0, 6.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 1], [0.75, 0.25])
    """

    name: ClassVar[str] = "gshard"
    title: ClassVar[str] = "GShard top-2"
    source: ClassVar[str] = "GShard, arXiv 2006.16668, algorithm 1"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}(x W), \quad (e_1, e_2) = \operatorname{top}_2(p) \\"
        r"w_{e_i} &= g_i = p_{e_i} / (p_{e_1} + p_{e_2}) \\"
        r"e_2 &\text{ only if } 2 g_2 > u, \quad u \sim U(0, 1)"
        r"\end{aligned}"
    )

    gumbel: bool = False

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Two best experts; or the best one and one drawn by the Gumbel trick."""
        rng = given.get("rng")
        if rng is None or not self.gumbel:
            return super().select(logits_NE, scores_NE)
        first_N1 = kernels.topk(logits_NE, 1)
        noisy_NE = logits_NE + rng.gumbel(size=logits_NE.shape).astype(logits_NE.dtype)
        np.put_along_axis(noisy_NE, first_N1.astype(np.intp), -np.inf, axis=1)
        return np.concatenate([first_N1, kernels.topk(noisy_NE, 1)], axis=1)

    def takes_second(self, weight_N: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Draw one number for each token; see `TwoChoices.takes_second`."""
        if rng is None or self.gumbel:
            return np.ones(weight_N.shape, bool)
        return np.asarray(2 * weight_N > rng.random(weight_N.shape))
