"""DeepSeek-V2: softmax scores, routing limited to a few devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..settings import option
from .grouped import GroupLimited


@dataclass(frozen=True)
class DeepSeekV2(GroupLimited):
    """Device-limited routing: a group scores by its best expert; weights not renormalised.

    Parameters
    ----------
    k
        Experts per token (DeepSeek-V2: 6 of 160).
    n_group, topk_group
        Devices, and how many a token may reach (DeepSeek-V2: 8 and 3).
    renormalize
        Divide the chosen probabilities by their sum.
    scale
        Factor on the weights: 1 in the paper and in V2-Lite, 16 in DeepSeek-V2's configuration.
    group_score_of
        A group's score is the sum of this many of its largest scores (Mistral 4: 2).

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("deepseek_v2", k=2, n_group=2, topk_group=1)
    >>> r = router.choose(np.log([[5.0, 1.0, 3.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([0, 1], [0.5, 0.1])
    """

    name: ClassVar[str] = "deepseek_v2"
    title: ClassVar[str] = "DeepSeek-V2"
    source: ClassVar[str] = "DeepSeek-V2, arXiv 2405.04434, section 2.2.2"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s &= \operatorname{softmax}(x W), \quad G_d = \max_{e \in d} s_e \\"
        r"T &= \operatorname{top}_k \{ s_e : e \in d,\ d \in \operatorname{top}_M(G) \} \\"
        r"w_e &= \gamma \, s_e, \quad e \in T"
        r"\end{aligned}"
    )
    score = "softmax"

    renormalize: bool = False
    scale: float = 1.0
    group_score_of: int = option(1, low=1)
