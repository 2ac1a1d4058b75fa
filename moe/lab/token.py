"""What an MoE layer does to one token: a tiny model, a sentence, real numbers step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import kernels, metrics
from ..balance import make_balancer
from ..data import token_text, windows
from ..errors import check_int
from ..training import Trainer, TrainSettings

MAX_SENTENCE = 400


@dataclass(frozen=True)
class TokenStory:
    """One token's way through the layer.

    Attributes
    ----------
    token, context
        The character that the model has just read, and the characters before it.
    logits_E, scores_E
        The gate's result, and the softmax of it.
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
    expert_K: np.ndarray
    weight_K: np.ndarray
    output_KD: np.ndarray
    combined_D: np.ndarray
    norm_K: np.ndarray
    share_K: np.ndarray
    executed_flops: int
    all_flops: int
    guesses: list[tuple[str, float]]


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


def first_model(n_experts: int = 8, k: int = 2, steps: int = 80, seed: int = 0) -> Trainer:
    """Train the model of the first page: a second or less, without any balancing."""
    trainer = Trainer(TrainSettings(n_experts=n_experts, k=k, steps=steps, seed=seed))
    for _ in trainer.run():
        pass
    return trainer


def sentence_windows(trainer: Trainer, sentence: str) -> tuple[list[str], np.ndarray]:
    """Printable characters and token windows (N, C) of a sentence.

    Raises
    ------
    ValueError
        If the sentence is empty or longer than `MAX_SENTENCE` bytes.
    """
    raw = sentence.encode("utf-8", "replace")
    if not 0 < len(raw) <= MAX_SENTENCE:
        raise ValueError(
            f"sentence: got {len(raw)} bytes, allowed is 1..{MAX_SENTENCE}; shorten it a little"
        )
    return [token_text(byte) for byte in raw], windows(raw, trainer.settings.context)


def route_sentence(trainer: Trainer, sentence: str, bias_steps: int = 0) -> SentenceRouting:
    """Route each character, after `bias_steps` steps of the balancing bias.

    The bias is stepped on a fixed sample of the training text (see `settle_bias`), not on the
    sentence, as a real model's would be.
    """
    tokens, window_NC = sentence_windows(trainer, sentence)
    layer = trainer.layer
    bias_E = settle_bias(trainer, bias_steps)[-1]
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


def settle_bias(trainer: Trainer, steps: int, rate: float = 0.02, sample: int = 2048) -> np.ndarray:
    """Biases after 0..steps steps of sign control on frozen scores, (steps + 1, E).

    Loss-Free Balancing's rule (arXiv 2408.15664, algorithm 1) with the gate held fixed: only
    who is selected changes.
    """
    check_int("bias_steps", steps, 0, 1000)
    layer, control = trainer.layer, make_balancer("bias", rate=rate)
    inputs, _ = trainer.task.held_out(np.random.default_rng(0), sample)
    logits_NE = kernels.matmul(trainer.embed(inputs), layer.params["gate_DE"])
    bias_SE = np.zeros((steps + 1, layer.n_experts), layer.dtype)
    for before_E, after_E in zip(bias_SE, bias_SE[1:], strict=False):
        after_E[:] = before_E
        routing = layer.router.choose(logits_NE, select_bias_E=before_E)
        control.update({"select_bias_E": after_E}, routing)
    return bias_SE


def explain_token(trainer: Trainer, sentence: str, position: int) -> TokenStory:
    """Follow one character of a sentence through the layer.

    Parameters
    ----------
    position
        Index of the byte in the sentence, from 0.

    Raises
    ------
    ValueError
        If the sentence or the position is not allowed.
    """
    tokens, window_NC = sentence_windows(trainer, sentence)
    check_int("position", position, 0, len(tokens) - 1)
    x_ND = trainer.embed(window_NC[position : position + 1])
    y_ND, ctx = trainer.layer.forward(x_ND)
    routing = ctx.routing
    ran_K, output_KD = trainer.layer.expert_outputs(ctx, 0)
    best_first = [int(np.flatnonzero(ran_K == e)[0]) for e in routing.expert_A]
    output_KD = output_KD[best_first]
    norm_K = np.linalg.norm(output_KD, axis=1) * routing.weight_A
    probs_V = kernels.softmax(kernels.matmul(x_ND + y_ND, trainer.params["out_DV"]))[0]
    assert routing.logits_NE is not None and routing.scores_NE is not None
    per_expert = (ctx.executed_flops - 2 * x_ND.size * routing.n_experts) // len(ran_K)
    return TokenStory(
        token=tokens[position],
        context="".join(tokens[max(0, position - trainer.settings.context + 1) : position]),
        logits_E=routing.logits_NE[0],
        scores_E=routing.scores_NE[0],
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
