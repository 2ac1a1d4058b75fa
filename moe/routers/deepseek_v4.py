"""DeepSeek-V4: square root of softplus as score; early layers take experts from a token table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..settings import option
from .fixed_k import broken_rows
from .grouped import GroupLimited
from .hash import look_up, token_table


@dataclass(frozen=True)
class DeepSeekV4(GroupLimited):
    """Scores sqrt(softplus(l)), bias for selection only, weights renormalised and scaled.

    Parameters
    ----------
    k
        Experts per token (V4-Flash: 6 of 256).
    n_group, topk_group
        No limit by default.
    renormalize, scale
        Weights are divided by their sum and multiplied by 1.5. With k = 1 the renormalised weight
        is always `scale` and the gate gets no gradient from the task.
    by_token
        Select by a table of the token id, as the first three layers do; the weights still come
        from the learned gate. Without `token_ids`, a token's position stands for its id.
    n_vocab, table_seed
        Size and seed of that table.

    Examples
    --------
    >>> import numpy as np, moe
    >>> logits_NE = np.log(np.expm1([[1.0, 4.0, 9.0, 1.0]]))  # softplus gives 1, 4, 9, 1
    >>> r = moe.make_router("deepseek_v4", k=2, scale=1.0).choose(logits_NE)
    >>> r.expert_A.tolist(), r.weight_A.round(4).tolist()
    ([2, 1], [0.6, 0.4])
    """

    name: ClassVar[str] = "deepseek_v4"
    title: ClassVar[str] = "DeepSeek-V4"
    source: ClassVar[str] = "DeepSeek-V4 report, section 2.1; transformers modeling_deepseek_v4.py"
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"s &= \sqrt{\operatorname{softplus}(x W)} \\"
        r"T &= \operatorname{top}_k(s + b) \ \text{ or } \ \operatorname{table}[\text{token id}] \\"
        r"w_e &= \gamma \, s_e \Big/ \sum_{j \in T} s_j, \quad e \in T"
        r"\end{aligned}"
    )
    score = "sqrt_softplus"
    group_score_of = 2

    scale: float = 1.5
    by_token: bool = False
    n_vocab: int = option(256, low=1)
    table_seed: int = option(0, low=0)

    def select(self, logits_NE: np.ndarray, scores_NE: np.ndarray, **given: Any) -> np.ndarray:
        """Experts of the token table, if asked for; else the best scores."""
        if not self.by_token:
            return super().select(logits_NE, scores_NE, **given)
        n_tokens, n_experts = scores_NE.shape
        table_VK = token_table(self.n_vocab, n_experts, self.k, self.table_seed)
        return look_up(table_VK, given.get("token_ids"), n_tokens)

    def weights(
        self, logits_NE: np.ndarray, scores_NE: np.ndarray, expert_NK: np.ndarray
    ) -> np.ndarray:
        """Weights of these experts, (N, K); see `FixedK.weights`."""
        weight_NK = super().weights(logits_NE, scores_NE, expert_NK)
        if self.by_token:  # a table does not look at the scores, so NaN has to be handed on
            weight_NK[broken_rows(scores_NE)] = np.nan
        return weight_NK
