"""Where every character of a sentence goes, and how evenly that spreads the work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ... import kernels, metrics
from ...errors import check_int
from ..shared.first_model import FirstModel, sentence_windows

FULL = 100  # percent of the balancing bonus


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
    hottest_share, fair_share
        Share of the busiest expert, and 1 / E.
    idle
        Experts that no character chose.
    """

    tokens: list[str]
    expert_NK: np.ndarray
    weight_NK: np.ndarray
    load_E: np.ndarray
    share_E: np.ndarray
    hottest_share: float
    fair_share: float
    idle: int

    def words(self) -> str:
        """How evenly the experts share the work, in words."""
        n_experts = self.load_E.size
        idle = {0: "none is idle", 1: "1 is idle"}.get(self.idle, f"{self.idle} are idle")
        return (
            f"The busiest of {n_experts} experts does {self.hottest_share:.0%} of the work and "
            f"{idle}. Fair would be {100 * self.fair_share:.3g}%."
        )


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
    return routes(model, sentence, [percent])[0]


def routes(
    model: FirstModel, sentence: str, percents: Iterable[int] = range(FULL + 1)
) -> list[SentenceRouting]:
    """Route a sentence as `route` does, with each of these parts of the bonus."""
    trainer = model.trainer
    tokens, window_NC = sentence_windows(trainer, sentence)
    gate_DE = trainer.layer.params["gate_DE"]
    logits_NE = kernels.matmul(trainer.embed(window_NC), gate_DE)
    return [_routed(model, tokens, logits_NE, percent) for percent in percents]


@lru_cache(maxsize=16)
def every_route(model: FirstModel, sentence: str) -> tuple[SentenceRouting, ...]:
    """Return `routes` for all percents, kept while visitors move the slider of a sentence."""
    return tuple(routes(model, sentence))


def _routed(
    model: FirstModel, tokens: list[str], logits_NE: np.ndarray, percent: int
) -> SentenceRouting:
    router = model.trainer.layer.router
    routing = router.choose(logits_NE, select_bias_E=bonus(model, percent))
    k = routing.n_assignments // routing.n_tokens
    share_E = routing.load / routing.load.sum()
    return SentenceRouting(
        tokens=tokens,
        expert_NK=routing.expert_A.reshape(-1, k),
        weight_NK=routing.weight_A.reshape(-1, k),
        load_E=routing.load,
        share_E=share_E,
        hottest_share=metrics.hottest_share(routing.load),
        fair_share=1 / routing.n_experts,
        idle=metrics.dead_experts(routing.load),
    )


def bonus(model: FirstModel, percent: int) -> np.ndarray:
    """Return a part of each expert's balancing bonus, (E,), in whole percent up to `FULL`.

    Raises
    ------
    ValueError
        If the percentage is not allowed.
    """
    check_int("percent", percent, 0, FULL)
    return np.asarray(model.bias_E * np.float32(percent / FULL), model.bias_E.dtype)
