"""LongCat-Flash: identity experts in the pool let the gate spend less on easy tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..settings import option
from .base import MAX_SPECIALS
from .grouped import GroupLimited


@dataclass(frozen=True)
class LongCat(GroupLimited):
    """Top-k of softmax scores over computing and identity experts, with a selection bias.

    The last `n_identity` experts of the pool return x. The balancer `zero_computation` steps
    the bias so that a set share of the choices computes.

    Parameters
    ----------
    k
        Experts per token (LongCat-Flash: 12 of 512 computing and 256 identity ones).
    n_identity
        Identity experts.
    n_group, topk_group
        No limit by default.
    renormalize, scale
        Weights are used as they are, times `scale`.

    Examples
    --------
    >>> import numpy as np, moe
    >>> r = moe.make_router("longcat", k=2).choose(np.log([[1.0, 2.0, 4.0, 1.0]]))
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()  # 6 p; experts 2 and 3 return x
    ([2, 1], [3.0, 1.5])
    """

    name: ClassVar[str] = "longcat"
    title: ClassVar[str] = "LongCat (identity experts)"
    source: ClassVar[str] = "LongCat-Flash, arXiv 2509.01322, section 2.1"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s &= \operatorname{softmax}(x W), \quad T = \operatorname{top}_k(s + b) \\"
        r"w_e &= \gamma \, s_e, \quad e \in T \\"
        r"f_e(x) &= x \ \text{ for the last } Z \text{ experts}"
        r"\end{aligned}"
    )
    score = "softmax"
    group_score_of = 1

    renormalize: bool = False
    scale: float = 6.0
    n_identity: int = option(2, low=0, high=MAX_SPECIALS)

    @property
    def specials(self) -> tuple[str, ...]:
        """Identity experts, at the end of the pool."""
        return ("copy",) * self.n_identity
