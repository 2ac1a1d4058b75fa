"""Learning from rewards: a supervised cold start, and GRPO (arXiv 2402.03300) after it.

G   problems of a batch, each a group of answers        B   answers
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..optim import Optimizer
from ..routing import Routing
from .attention import Arrays
from .logits import entropy, log_chances, logits_backward
from .model import LanguageModel
from .replay import replaying
from .rollouts import Rollouts, Written


@dataclass(frozen=True)
class Difference:
    """How much a trainer differs from the sampler on what was sampled.

    Attributes
    ----------
    chance
        Mean absolute difference of the logarithms of the signs' chances, in nats.
    routing
        Share of positions, over all layers, for which they choose other experts.
    """

    chance: float
    routing: float


def advantages(reward_GT: np.ndarray) -> np.ndarray:
    """(r - mean) / standard deviation of each group, (G, T); zero in a group of equal rewards."""
    deviation_G1 = reward_GT.std(axis=1, keepdims=True)
    centred_GT = reward_GT - reward_GT.mean(axis=1, keepdims=True)
    return np.asarray(centred_GT / np.where(has_variance(reward_GT)[:, None], deviation_G1, 1))


def has_variance(reward_GT: np.ndarray) -> np.ndarray:
    """Which groups have different rewards, (G,) bool: the others teach nothing."""
    return np.asarray((reward_GT != reward_GT[:, :1]).any(axis=1))


def policy_gradients(
    model: LanguageModel, rolled: Rollouts, entropy_bonus: float = 0.0
) -> tuple[np.ndarray, Arrays, list[Routing]]:
    """Losses of what was written, gradients for one step on it, and the routings of the pass.

    The gradient of the expected reward is that of sum_b A_b log p(answer b), A_b being its
    advantage. As long as the policy is the one that sampled, GRPO's ratio of chances is 1 and
    nothing is clipped, so that this is exactly a cross-entropy with weights:
    `LanguageModel.gradients` with A_b over the number of signs that count, at every sign up to and
    including the end sign, and 0 elsewhere (the mean over signs, as in arXiv 2503.14476).

    Parameters
    ----------
    model
        The policy, or a copy of it that replays the sampler's routing.
    rolled
        Whole groups.
    entropy_bonus
        Factor of the signs' mean entropy, which is then made larger.
    """
    weight_BT = rolled.weights(advantages(rolled.reward_GT).reshape(-1))
    if entropy_bonus == 0:
        found = model.gradients(rolled.tokens_BT, rolled.target_BT, weight_BT)
        return found.loss_N.reshape(weight_BT.shape), found.arrays, found.routings
    ctx = model.forward(rolled.tokens_BT)
    logits_NV = model.output(ctx.h_ND)
    rows_N, target_N = np.arange(len(logits_NV)), rolled.target_BT.reshape(-1)
    dentropy_NV = entropy(logits_NV)[1]
    log_NV = log_chances(logits_NV)
    dlogits_NV = np.exp(log_NV)
    dlogits_NV[rows_N, target_N] -= 1
    dlogits_NV *= weight_BT.reshape(-1, 1)
    bonus_BT = rolled.weights(np.full(len(rolled.problems), entropy_bonus))
    dlogits_NV -= bonus_BT.reshape(-1, 1) * dentropy_NV
    _, arrays = logits_backward(model, dlogits_NV, ctx)
    return -log_NV[rows_N, target_N].reshape(weight_BT.shape), arrays, ctx.routings


def learn(
    model: LanguageModel,
    optimizer: Optimizer,
    rolled: Rollouts,
    entropy_bonus: float = 0.0,
    replay: bool = False,
) -> Difference:
    """One step of GRPO on whole groups of answers; with `replay` routed as the sampler did."""
    trainer = model
    if replay:
        trainer = replaying(
            model,
            [expert_BTK.reshape(-1, expert_BTK.shape[2]) for expert_BTK in rolled.expert_LBTK],
        )
    loss_BT, arrays, routings = policy_gradients(trainer, rolled, entropy_bonus)
    optimizer.step(model.arrays(), arrays)
    reads_N = rolled.reads_BT.reshape(-1)
    model.steer([routing.only(reads_N) for routing in routings])
    return _difference(rolled, loss_BT, routings)


def _difference(rolled: Rollouts, loss_BT: np.ndarray, routings: list[Routing]) -> Difference:
    counts_BS = rolled.counts_BS
    gap_BS = np.abs(loss_BT[:, -counts_BS.shape[1] :] - rolled.loss_BS)
    reads_BT = rolled.reads_BT
    others = []
    for routing, expert_BTK in zip(routings, rolled.expert_LBTK, strict=True):
        asked_A = routing.expert_A if routing.asked_A is None else routing.asked_A
        asked_BTK = np.sort(asked_A.reshape(expert_BTK.shape), axis=2)
        others.append((asked_BTK != np.sort(expert_BTK, axis=2)).any(axis=2)[reads_BT].mean())
    return Difference(float(gap_BS[counts_BS].mean()), float(np.mean(others)))


def imitate(model: LanguageModel, optimizer: Optimizer, shown: Written) -> float:
    """One supervised step on answers, prompts and fill left out; the loss per sign, in nats."""
    weight_BT = shown.weights(np.ones(len(shown.problems)))
    found = model.gradients(shown.tokens_BT, shown.target_BT, weight_BT)
    optimizer.step(model.arrays(), found.arrays)
    reads_N = shown.reads_BT.reshape(-1)
    model.steer([routing.only(reads_N) for routing in found.routings])
    return found.loss
