"""DeepSeek-V3: sigmoid scores, a bias for selection only, a limit on groups, scaled weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .grouped import GroupLimited


@dataclass(frozen=True)
class DeepSeekV3(GroupLimited):
    """Sigmoid affinities, auxiliary-loss-free bias, node-limited routing.

    A group's score is the sum of its two largest biased affinities; experts outside the
    `topk_group` best groups are masked with -inf. The bias never enters the weights.

    Parameters
    ----------
    k
        Experts per token (DeepSeek-V3: 8 of 256).
    n_group, topk_group
        Groups of experts, and how many of them a token may reach (DeepSeek-V3: 8 and 4).
    renormalize
        Divide the chosen affinities by their sum. With k = 1 the weight is then always `scale` and
        the gate gets no gradient from the task.
    scale
        Factor on the weights (`routed_scaling_factor`; DeepSeek-V3: 2.5).

    Examples
    --------
    >>> import numpy as np, moe
    >>> router = moe.make_router("deepseek_v3", k=2, n_group=2, topk_group=1, scale=1.0)
    >>> r = router.choose(np.array([[3.0, -9.0, 2.0, 2.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 3], [0.5, 0.5])
    """

    name: ClassVar[str] = "deepseek_v3"
    title: ClassVar[str] = "DeepSeek-V3"
    source: ClassVar[str] = "DeepSeek-V3, arXiv 2412.19437, section 2.1.2"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s &= \sigma(x W), \quad \hat s = s + b \\"
        r"G_g &= \text{sum of the two largest } \hat s_e,\ e \in g \\"
        r"T &= \operatorname{top}_k \{ \hat s_e : e \in g,\ g \in \operatorname{top}_M(G) \} \\"
        r"w_e &= \gamma \, s_e \Big/ \sum_{j \in T} s_j, \quad e \in T"
        r"\end{aligned}"
    )
    score = "sigmoid"
    group_score_of = 2

    scale: float = 2.5
