"""The order of routers: published runs of whole language models, and ours beside it.

Clark et al., Unified scaling laws for routed language models (arXiv 2202.01169), trained dense
models of 15M to 1.3B parameters and three ways of routing them, 2 to 512 experts, k = 1. Their
losses are public (github.com/google-deepmind/scaling_laws_for_routing, commit 42da0c39, data under
CC-BY 4.0); what stands here was computed from the last step of each of these runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .study import Study


@dataclass(frozen=True)
class Published:
    """How often one family had the lower validation loss, and by how much on average, in nats."""

    better: str
    worse: str
    cells: int
    of: int
    mean: float


@dataclass(frozen=True)
class Family:
    """A published family and its counterpart here.

    Attributes
    ----------
    name, title
        As published, and in words.
    ours
        What tells its runs in the study.
    words
        What stands for it here.
    """

    name: str
    title: str
    ours: Mapping[str, Any]
    words: str


# Best first, as in 36 of the 51 cells (size and number of experts) that have all four.
FAMILIES = (
    Family("S-Base", "Sinkhorn-BASE", {"router": "sinkhorn"}, "`sinkhorn`, the same method"),
    Family(
        "RL-R", "a learned router, by reinforcement", {"router": "switch"},
        "`switch` with `aux`: learned too, but by gradient",
    ),
    Family("Hash", "a table by token", {"router": "hash"}, "`hash`, the same method"),
    Family("Dense", "no routing", {"n_experts": 1}, "one expert for all, of the same active size"),
)  # fmt: skip
PUBLISHED = (
    Published("S-Base", "Hash", 51, 51, 0.051),
    Published("RL-R", "Hash", 51, 51, 0.042),
    Published("S-Base", "RL-R", 42, 51, 0.009),
    Published("Hash", "Dense", 42, 51, 0.136),
)


def losses(study: Study, seed: int | None = None) -> list[float]:
    """Held-out loss of each of `FAMILIES`, of one seed or the mean over all."""
    chosen = {} if seed is None else {"seed": seed}
    return [study.spread("held_out_loss", **family.ours, **chosen).mean for family in FAMILIES]


def agreement(values: Sequence[float]) -> float:
    """Kendall's tau of values with the order in which they are listed: 1 if they rise, -1 if not.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"values: got {len(values)}, allowed are two or more")
    signs = [(b > a) - (b < a) for a, b in combinations(values, 2)]
    return sum(signs) / len(signs)
