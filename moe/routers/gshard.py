"""GShard: top-2, the second expert taken at random in proportion to its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .two_choices import TwoChoices


@dataclass(frozen=True)
class GShard(TwoChoices):
    """First choice always; second if 2 g2 > U(0, 1), g2 its share of both probabilities.

    Without an rng the second choice is always taken. First choices fill experts before second
    ones do: use `Capacity(drop="rank")`.

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

    def takes_second(self, weight_N: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Draw one number a token."""
        if rng is None:
            return np.ones(weight_N.shape, bool)
        return np.asarray(2 * weight_N > rng.random(weight_N.shape))
