"""What a policy writes on problems, what it gets for it, and how it was routed while writing.

B   written answers        P   signs of a prompt       S   signs that may be written
T   positions that a pass over both reads, P + S - 1   L   layers with experts
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import metrics
from ..routing import Routing
from .model import LanguageModel
from .sampling import sample
from .tasks import END, FILL, Problems, Task, decode, lengths


@dataclass(frozen=True)
class Written:
    """Answers to problems, by a teacher or by a model, and how a pass of the model reads them.

    Attributes
    ----------
    problems
        The problem of each answer.
    written_BS
        What was written, filled behind the end sign.
    """

    problems: Problems
    written_BS: np.ndarray

    @cached_property
    def length_B(self) -> np.ndarray:
        """Signs in front of the end sign of each answer."""
        return lengths(self.written_BS)

    @cached_property
    def counts_BS(self) -> np.ndarray:
        """Which signs count: those up to and including the end sign."""
        return np.asarray(np.arange(self.written_BS.shape[1]) <= self.length_B[:, None])

    @property
    def tokens_BT(self) -> np.ndarray:
        """What a pass reads: prompts, and all that was written but the last sign."""
        return np.concatenate([self.problems.prompt_BP, self.written_BS[:, :-1]], axis=1)

    @property
    def target_BT(self) -> np.ndarray:
        """What it predicts: the sign behind each that it reads."""
        return np.concatenate([self.problems.prompt_BP[:, 1:], self.written_BS], axis=1)

    @property
    def reads_BT(self) -> np.ndarray:
        """Which positions belong to a prompt, or to what was written before its end sign."""
        n_prompt = self.problems.prompt_BP.shape[1]
        return np.pad(self.counts_BS[:, 1:], ((0, 0), (n_prompt, 0)), constant_values=True)

    def weights(self, factor_B: np.ndarray) -> np.ndarray:
        """Weights (B, T) of what a pass predicts: an answer's factor over the signs that count.

        They are zero in the prompt and behind the end sign.
        """
        n_before = self.problems.prompt_BP.shape[1] - 1
        weight_BS = self.counts_BS * factor_B[:, None] / max(self.counts_BS.sum(), 1)
        return np.pad(weight_BS, ((0, 0), (n_before, 0)))

    def select(self, index_B: np.ndarray) -> Written:
        """Some of the answers, by a mask or by their places."""
        return Written(self.problems.select(index_B), self.written_BS[index_B])


@dataclass(frozen=True)
class Rollouts(Written):
    """What a policy wrote, each problem answered `times` times, one after the other.

    Attributes
    ----------
    times
        Answers to each problem.
    reward_B, scratch_B
        Of each answer its reward, and its signs in front of `>`.
    loss_BS
        Minus the logarithm of the chance that the sampler gave each sign, in nats; 0 behind the
        end sign.
    entropy
        Mean entropy of what counts, in nats.
    expert_LBTK
        Experts of each position, the prompt's included, as the sampler chose them.
    """

    times: int
    reward_B: np.ndarray
    scratch_B: np.ndarray
    loss_BS: np.ndarray
    entropy: float
    expert_LBTK: list[np.ndarray]

    @property
    def reward_GT(self) -> np.ndarray:
        """Rewards by problem and answer."""
        return self.reward_B.reshape(-1, self.times)

    def max_vio(self, n_experts: int) -> list[float]:
        """MaxVio of each layer's load, over all positions that were read."""
        reads_BT = self.reads_BT
        return [
            metrics.max_vio(np.bincount(expert_BTK[reads_BT].reshape(-1), minlength=n_experts))
            for expert_BTK in self.expert_LBTK
        ]

    def groups(self, mask_G: np.ndarray) -> Rollouts:
        """The answers to some of the problems, by a mask of these."""
        mask_B = np.repeat(mask_G, self.times)
        return replace(
            self, problems=self.problems.select(mask_B), written_BS=self.written_BS[mask_B],
            reward_B=self.reward_B[mask_B], scratch_B=self.scratch_B[mask_B],
            loss_BS=self.loss_BS[mask_B],
            expert_LBTK=[expert_BTK[mask_B] for expert_BTK in self.expert_LBTK],
        )  # fmt: skip

    def texts(self, n: int) -> list[str]:
        """The first answers to the first n problems, with a mark of whether they are right."""
        shown = slice(0, n * self.times, self.times)
        tokens_BT = np.concatenate([self.problems.prompt_BP, self.written_BS], axis=1)[shown]
        marks = ("wrong", "right")
        return [
            f"{decode(tokens_T)} {marks[int(reward)]}"
            for tokens_T, reward in zip(tokens_BT, self.reward_B[shown], strict=True)
        ]


def roll_out(
    model: LanguageModel,
    task: Task,
    problems: Problems,
    rng: np.random.Generator,
    times: int = 1,
    temperature: float = 1.0,
) -> Rollouts:
    """Let a model answer problems.

    Parameters
    ----------
    model
        Of the signs of `moe.lm.tasks`.
    task, problems
        What is answered.
    rng
        Source of the draws; same seed, same answers.
    times
        Answers to each problem.
    temperature
        0 takes the likeliest sign.
    """
    written, losses, entropies, routings = [], [], [], []
    steps = sample(
        model, problems.prompt_BP, task.n_new, rng, temperature, times, end=END, fill=FILL
    )
    for one in steps:
        loss_B, entropy_B = _surprise(one.logits_BV, one.token_B)
        written.append(one.token_B)
        losses.append(loss_B)
        entropies.append(entropy_B)
        routings.append(one.routings)
    answers = Written(problems.repeat(times), np.stack(written, axis=1))
    counts_BS = answers.counts_BS
    return Rollouts(
        answers.problems, answers.written_BS, times,
        reward_B=task.reward(answers.problems, answers.written_BS),
        scratch_B=task.scratch(answers.written_BS),
        loss_BS=np.stack(losses, axis=1) * counts_BS,
        entropy=float(np.stack(entropies, axis=1)[counts_BS].mean()),
        expert_LBTK=_experts(routings, len(answers.problems), times),
    )  # fmt: skip


def _surprise(logits_BV: np.ndarray, token_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the logarithm of each token's chance, and the entropy of each row, in nats."""
    shifted_BV = logits_BV.astype(np.float64)
    shifted_BV -= shifted_BV.max(axis=1, keepdims=True)
    chance_BV = np.exp(shifted_BV)
    sum_B = chance_BV.sum(axis=1)
    log_sum_B = np.log(sum_B)
    entropy_B = log_sum_B - (chance_BV * shifted_BV).sum(axis=1) / sum_B
    return log_sum_B - shifted_BV[np.arange(len(token_B)), token_B], entropy_B


def _experts(routings: list[list[Routing]], n_answers: int, times: int) -> list[np.ndarray]:
    """Experts by layer, answer and position, (B, T, K), of routings by step and layer."""
    found = []
    for prompt, *steps in zip(*routings, strict=True):
        k = prompt.n_assignments // prompt.n_tokens
        prompt_BTK = prompt.expert_A.reshape(n_answers // times, -1, k).repeat(times, axis=0)
        steps_BTK = [step.expert_A.reshape(n_answers, 1, k) for step in steps]
        found.append(np.concatenate([prompt_BTK, *steps_BTK], axis=1))
    return found
