"""DeepSeekMoE: many fine-grained experts, softmax scores used as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .topk import TopK


@dataclass(frozen=True)
class DeepSeekMoE(TopK):
    """Top-k of the softmax over all experts, weights not renormalised.

    Experts are cut to 1/m of their width and m times as many are chosen; shared experts
    (`n_shared` of the layer) are beside them. Published: 2B 63 routed and 1 shared, k = 7;
    16B 64 routed and 2 shared, k = 6.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("deepseek_moe", k=2).choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 1], [0.5, 0.25])
    """

    name: ClassVar[str] = "deepseek_moe"
    title: ClassVar[str] = "DeepSeekMoE"
    source: ClassVar[str] = "DeepSeekMoE, arXiv 2401.06066, equations 9-11"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s &= \operatorname{softmax}(x W) \\"
        r"w_e &= s_e, \quad e \in \operatorname{top}_k(s)"
        r"\end{aligned}"
    )

    renormalize: bool = False
