"""Top-p: as many experts as it takes to hold a share p of the probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..settings import option
from .fixed_k import ScoreRouter


@dataclass(frozen=True)
class TopP(ScoreRouter):
    """The smallest set of experts whose probabilities reach p; weights are the probabilities.

    Unsure tokens get more experts, sure ones fewer.

    Parameters
    ----------
    p
        Share of the probability to reach (published: 0.4).

    Examples
    --------
    >>> import numpy as np, moe
    >>> logits_NE = np.log([[0.7, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2]])
    >>> r = moe.make_router("top_p", p=0.5).choose(logits_NE)
    >>> r.token_A.tolist(), r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1, 1], [0, 0, 1], [0.7, 0.3, 0.3])
    """

    name: ClassVar[str] = "top_p"
    title: ClassVar[str] = "Top-p (dynamic number)"
    source: ClassVar[str] = "Harder tasks need more experts, arXiv 2403.07652, section 3.1"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"p &= \operatorname{softmax}(x W), \quad p_{(1)} \ge p_{(2)} \ge \dots \\"
        r"t &= \min \Big\{ t : \sum_{i \le t} p_{(i)} \ge P \Big\} \\"
        r"w_e &= p_e \ \text{ for the } t \text{ largest}"
        r"\end{aligned}"
    )

    p: float = option(0.4, low=0, high=1, open_low=True)

    def narrow(
        self, expert_NK: np.ndarray, weight_NK: np.ndarray, rng: np.random.Generator | None
    ) -> dict[str, Any]:
        """Experts while those before them hold less than p; the first one always."""
        listed_NK = np.ones(expert_NK.shape, bool)
        listed_NK[:, 1:] = np.cumsum(weight_NK, axis=1)[:, :-1] < self.p
        return {"listed_NK": listed_NK}
