"""All characters of a sentence on their way through the layer, also with an expert switched off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ... import kernels
from ...context import LayerContext
from ...pictures.experts import expert_name
from ...training import Trainer
from ..shared.first_model import FirstModel, sentence_windows
from .story import bonus

GUESSES = 5
# Added to an expert's score so that it is never chosen: scores end at 1, and bonuses are smaller.
NEVER = -10.0
TINY = 1e-12  # least sum that lengths are divided by


@dataclass(frozen=True)
class SentenceWalk:
    """What the layer does with each character of a sentence.

    O counts what is switched off: case 0 is the layer as it is, case 1 + e is without expert e.
    G are the most likely next characters.

    Attributes
    ----------
    tokens
        Printable characters.
    logits_NE, scores_NE
        The gate's results, and the softmax of them; whoever is switched off, they stay.
    bias_E
        The balancing bonus that counts.
    expert_ONK, weight_ONK, part_ONK
        Chosen experts, best first, their weights, and each one's part of the answer: the length
        of its weighted result, as a share of the sum.
    load_OE, so_far_ONE
        Characters that each expert gets, in all and up to each character.
    guess_ONG, probability_ONG
        Most likely next bytes, and how likely the model finds them.
    next_N
        The byte that does follow; -1 after the last one.
    executed_flops, all_flops
        Operations done for a character, and what running all experts would take.
    """

    tokens: list[str]
    logits_NE: np.ndarray
    scores_NE: np.ndarray
    bias_E: np.ndarray
    expert_ONK: np.ndarray
    weight_ONK: np.ndarray
    part_ONK: np.ndarray
    load_OE: np.ndarray
    so_far_ONE: np.ndarray
    guess_ONG: np.ndarray
    probability_ONG: np.ndarray
    next_N: np.ndarray
    executed_flops: int
    all_flops: int

    @property
    def right_ON(self) -> np.ndarray:
        """Whether the most likely character is the one that follows."""
        return np.asarray(self.guess_ONG[..., 0] == self.next_N)

    @property
    def start(self) -> int:
        """The character that is shown first: where the model guesses a letter most surely right.

        A space after a whole word is no surprise. Without a right letter it is the surest right
        guess, and without any the surest guess.
        """
        right_N, sure_N = self.right_ON[0], self.probability_ONG[0, :, 0]
        letter_N = np.array([chr(byte).isalnum() for byte in self.guess_ONG[0, :, 0]])
        return int(np.argmax(sure_N + right_N + (right_N & letter_N)))

    def words(self, case: int) -> str:
        """Return who takes over when an expert is switched off, and what it costs, in words."""
        n_next = len(self.tokens) - 1
        right_O = self.right_ON.sum(axis=1)
        if case == 0:
            if not n_next:
                return ""
            return f"The model guesses {right_O[0]} of {n_next} next characters right."
        name, before = expert_name(case - 1), int(self.load_OE[0, case - 1])
        if not before:
            return f"No character goes to {name}, so nothing changes without it."
        gained_E = self.load_OE[case] - self.load_OE[0]
        takers = [int(e) for e in np.argsort(-gained_E, kind="stable") if gained_E[e] > 0]
        taken = ", ".join(f"{expert_name(e)} takes {gained_E[e]}" for e in takers)
        whose = "its character goes" if before == 1 else f"its {before} characters go"
        words = f"Without {name}, {whose} to others: {taken}."
        if not n_next:
            return words
        return (
            f"{words} The model guesses {right_O[case]} of {n_next} next characters right; "
            f"with {name} it was {right_O[0]}."
        )

    def cost_words(self) -> str:
        """How much work is saved by running only the chosen experts, in words."""
        k, n_experts = self.expert_ONK.shape[-1], self.bias_E.size
        return (
            f"{k} of {n_experts} experts run: {self.executed_flops:,} operations for each "
            f"character instead of {self.all_flops:,}, "
            f"{self.all_flops / self.executed_flops:.1f} times fewer."
        )


def walk(model: FirstModel, sentence: str, percent: int = 0) -> SentenceWalk:
    """Take all characters of a sentence through the layer at once, for each case.

    Parameters
    ----------
    percent
        How much of the balancing bonus counts, as in `route`.

    Raises
    ------
    ValueError
        If the sentence or the percentage is not allowed.
    """
    trainer, bias_E = model.trainer, bonus(model, percent)
    tokens, window_NC = sentence_windows(trainer, sentence)
    x_ND = trainer.embed(window_NC)
    cases = []
    for case in range(1 + bias_E.size):
        case_bias_E = bias_E.copy()
        if case:
            case_bias_E[case - 1] = NEVER
        cases.append(_case(trainer, x_ND, case_bias_E))
    ctx = cases[0].ctx
    routing = ctx.routing
    assert routing.logits_NE is not None and routing.scores_NE is not None
    n_ran, n_experts = cases[0].expert_NK.size, bias_E.size
    all_ran = routing.n_tokens * n_experts
    gate = 2 * x_ND.size * n_experts
    per_expert = (ctx.executed_flops - gate) // n_ran
    chosen_ONKE = np.stack([one.expert_NK for one in cases])[..., None] == np.arange(n_experts)
    so_far_ONE = chosen_ONKE.sum(axis=2).cumsum(axis=1)
    return SentenceWalk(
        tokens=tokens,
        logits_NE=routing.logits_NE,
        scores_NE=routing.scores_NE,
        bias_E=bias_E,
        expert_ONK=np.stack([one.expert_NK for one in cases]),
        weight_ONK=np.stack([one.weight_NK for one in cases]),
        part_ONK=np.stack([one.part_NK for one in cases]),
        load_OE=np.stack([one.ctx.routing.load for one in cases]),
        so_far_ONE=so_far_ONE,
        guess_ONG=np.stack([one.guess_NG for one in cases]),
        probability_ONG=np.stack([one.probability_NG for one in cases]),
        next_N=np.append(window_NC[1:, -1].astype(int), -1),
        executed_flops=ctx.executed_flops // routing.n_tokens,
        all_flops=(gate + per_expert * all_ran) // routing.n_tokens,
    )


@dataclass(frozen=True)
class _Case:
    """One pass through the layer; the attributes are those of `SentenceWalk`."""

    ctx: LayerContext
    expert_NK: np.ndarray
    weight_NK: np.ndarray
    part_NK: np.ndarray
    guess_NG: np.ndarray
    probability_NG: np.ndarray


def _case(trainer: Trainer, x_ND: np.ndarray, bias_E: np.ndarray) -> _Case:
    layer = trainer.layer
    layer = replace(layer, buffers=layer.buffers | {"select_bias_E": bias_E})
    y_ND, ctx = layer.forward(x_ND)
    routing = ctx.routing
    shape = routing.n_tokens, routing.n_assignments // routing.n_tokens
    length_A = np.empty(routing.n_assignments)
    length_A[ctx.plan.assignment_S] = np.linalg.norm(ctx.y_SD, axis=1)
    length_NK = (length_A * routing.weight_A).reshape(shape)
    probs_NV = kernels.softmax(kernels.matmul(x_ND + y_ND, trainer.params["out_DV"]))
    guess_NG = kernels.topk(probs_NV, GUESSES)
    return _Case(
        ctx,
        routing.expert_A.reshape(shape),
        routing.weight_A.reshape(shape),
        length_NK / np.maximum(length_NK.sum(axis=1, keepdims=True), TINY),
        guess_NG,
        np.take_along_axis(probs_NV, guess_NG, axis=1),
    )


@lru_cache(maxsize=64)
def first_looked_at(model: FirstModel, sentence: str) -> int:
    """Return `SentenceWalk.start` without balancing."""
    return walk(model, sentence).start
