"""What an MoE layer does to a sentence and to one of its characters, number by number."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ... import kernels, metrics
from ...data import token_text
from ...errors import check_int
from ..shared.first_model import FirstModel, sentence_windows

FULL, TENTH = 100, 10  # percent of the balancing bonus, and a step of the slider


@dataclass(frozen=True)
class TokenStory:
    """One token's way through the layer.

    Attributes
    ----------
    token, context
        The character that the model has just read, and the characters before it.
    logits_E, scores_E
        The gate's result, and the softmax of it.
    bias_E, selection_E
        What balancing adds, and the sum by which experts are chosen.
    expert_K, weight_K
        Chosen experts, best first, and their weights.
    output_KD, combined_D
        Each chosen expert's result, and their weighted sum: the layer's result.
    norm_K, share_K
        Length of each weighted result, and its share of their sum.
    executed_flops, all_flops
        Operations done for this token, and what running all experts would take.
    guesses
        Most likely next characters with their probabilities.
    """

    token: str
    context: str
    logits_E: np.ndarray
    scores_E: np.ndarray
    bias_E: np.ndarray
    selection_E: np.ndarray
    expert_K: np.ndarray
    weight_K: np.ndarray
    output_KD: np.ndarray
    combined_D: np.ndarray
    norm_K: np.ndarray
    share_K: np.ndarray
    executed_flops: int
    all_flops: int
    guesses: list[tuple[str, float]]

    def cost_words(self) -> str:
        """How much work is saved by running only the chosen experts, in words."""
        k, n_experts = self.expert_K.size, self.logits_E.size
        return (
            f"{k} of {n_experts} experts ran: {self.executed_flops:,} operations for this "
            f"character instead of {self.all_flops:,}, "
            f"{self.all_flops / self.executed_flops:.1f} times fewer."
        )

    def selection_words(self) -> str:
        """How the experts were chosen, with a note on the bonus if it counts."""
        ticks = "; a tick marks the score without the bonus" if self.bias_E.any() else ""
        return f"The highest win{ticks}."

    def expert_rows(self) -> list[dict[str, str]]:
        """Every expert's numbers, formatted, for a table."""
        rank = {int(e): place for place, e in enumerate(self.expert_K)}
        return [
            {
                "Expert": str(e),
                "1 · Logit": f"{self.logits_E[e]:+.3f}",
                "2 · Score": f"{self.scores_E[e]:.2%}",
                "3 · Balancing bonus": f"{self.bias_E[e]:+.2%}",
                "3 · Score with bonus": f"{self.selection_E[e]:.2%}",
                "4 · Weight": f"{self.weight_K[rank[e]]:.2%}" if e in rank else "not chosen",
                "5 · Part of the answer": f"{self.share_K[rank[e]]:.2%}"
                if e in rank
                else "did not run",
            }
            for e in range(self.logits_E.size)
        ]


@dataclass(frozen=True)
class SentenceRouting:
    """Where every character of a sentence goes.

    Attributes
    ----------
    tokens
        Printable characters.
    expert_NK, weight_NK
        Chosen experts and weights, best first.
    load_E, share_E
        Assignments per expert, and their share of all.
    hottest_share, top2_share, fair_share
        Share of the busiest expert, of the two busiest together, and 1 / E.
    idle
        Experts that no character chose.
    """

    tokens: list[str]
    expert_NK: np.ndarray
    weight_NK: np.ndarray
    load_E: np.ndarray
    share_E: np.ndarray
    hottest_share: float
    top2_share: float
    fair_share: float
    idle: int

    def words(self) -> str:
        """How evenly the experts share the work, in words."""
        n_experts = self.load_E.size
        idle = {0: "none is idle", 1: "1 is idle"}.get(self.idle, f"{self.idle} are idle")
        return (
            f"The two busiest of {n_experts} experts do {self.top2_share:.0%} of the work and "
            f"{idle}. Fair would be {2 * self.fair_share:.0%} for any two."
        )

    def position(self, character: int) -> int:
        """Index of the character that people count from 1, the last one if it is too large."""
        return min(max(character, 1), len(self.tokens)) - 1


def route(model: FirstModel, sentence: str, percent: int = 0) -> SentenceRouting:
    """Route each character of a sentence with a part of the balancing bonus.

    The bonus was found on a fixed sample of English (see `settle_bias`), not on the sentence, as
    a real model's would be. More of it never means more work for those whom it holds back: the
    best k of s + t b add up to a convex function of t, for any tokens, and its slope is the sum
    of the bonuses b of all who are chosen. Steps of the rule that finds the bonus do swing.

    Parameters
    ----------
    percent
        How much of the bonus counts, 0 to `FULL`.

    Raises
    ------
    ValueError
        If the sentence or the percentage is not allowed.
    """
    trainer, bias_E = model.trainer, bonus(model, percent)
    tokens, window_NC = sentence_windows(trainer, sentence)
    layer = trainer.layer
    logits_NE = kernels.matmul(trainer.embed(window_NC), layer.params["gate_DE"])
    routing = layer.router.choose(logits_NE, select_bias_E=bias_E)
    k = routing.n_assignments // routing.n_tokens
    share_E = routing.load / routing.load.sum()
    return SentenceRouting(
        tokens=tokens,
        expert_NK=routing.expert_A.reshape(-1, k),
        weight_NK=routing.weight_A.reshape(-1, k),
        load_E=routing.load,
        share_E=share_E,
        hottest_share=metrics.hottest_share(routing.load),
        top2_share=float(np.sort(share_E)[-2:].sum()),
        fair_share=1 / routing.n_experts,
        idle=metrics.dead_experts(routing.load),
    )


def explain(model: FirstModel, sentence: str, position: int, percent: int = 0) -> TokenStory:
    """Follow one character of a sentence through the layer.

    Parameters
    ----------
    position
        Index of the byte in the sentence, from 0.
    percent
        How much of the balancing bonus counts, as in `route`.

    Raises
    ------
    ValueError
        If the sentence, the position or the percentage is not allowed.
    """
    trainer, bias_E = model.trainer, bonus(model, percent)
    tokens, window_NC = sentence_windows(trainer, sentence)
    check_int("position", position, 0, len(tokens) - 1)
    x_ND = trainer.embed(window_NC[position : position + 1])
    layer = replace(trainer.layer, buffers=trainer.layer.buffers | {"select_bias_E": bias_E})
    y_ND, ctx = layer.forward(x_ND)
    routing = ctx.routing
    ran_K, output_KD = layer.expert_outputs(ctx, 0)
    best_first = [int(np.flatnonzero(ran_K == e)[0]) for e in routing.expert_A]
    output_KD = output_KD[best_first]
    norm_K = np.linalg.norm(output_KD, axis=1)
    if not layer.router.weigh_input:
        norm_K = norm_K * routing.weight_A
    probs_V = kernels.softmax(kernels.matmul(x_ND + y_ND, trainer.params["out_DV"]))[0]
    assert routing.logits_NE is not None and routing.scores_NE is not None
    per_expert = (ctx.executed_flops - 2 * x_ND.size * routing.n_experts) // len(ran_K)
    return TokenStory(
        token=tokens[position],
        context="".join(tokens[max(0, position - trainer.settings.context + 1) : position]),
        logits_E=routing.logits_NE[0],
        scores_E=routing.scores_NE[0],
        bias_E=bias_E,
        selection_E=routing.scores_NE[0] + bias_E,
        expert_K=routing.expert_A,
        weight_K=routing.weight_A,
        output_KD=output_KD,
        combined_D=y_ND[0],
        norm_K=norm_K,
        share_K=norm_K / max(float(norm_K.sum()), 1e-12),
        executed_flops=ctx.executed_flops,
        all_flops=ctx.executed_flops + (routing.n_experts - len(ran_K)) * per_expert,
        guesses=[(token_text(int(v)), float(probs_V[v])) for v in np.argsort(-probs_V)[:5]],
    )


def bonus(model: FirstModel, percent: int) -> np.ndarray:
    """A part of the balancing bonus of each expert, (E,); percent is a whole number, 0 to `FULL`."""
    check_int("percent", percent, 0, FULL)
    return np.asarray(model.bias_E * np.float32(percent / FULL), model.bias_E.dtype)
