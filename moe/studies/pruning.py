"""What is lost with experts that are taken away, by which they are, and by which text is asked.

A trained language model loses as many experts in every layer, and nothing is trained afterwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import check_choice, check_int
from ..lm.data import ByteWindows, make_windows
from ..lm.model import LanguageModel
from ..lm.pruning import expert_use, kept_experts, prune_model
from ..lm.settings import LMTrainSettings
from ..lm.training import Evaluation, LMTrainer
from ..lm.training import evaluate as judge
from ..pruning import CRITERIA
from ..settings import option

CALIBRATION = 128  # windows of training text


@dataclass(frozen=True)
class PruneRun(LMTrainSettings):
    """A training run of a language model, and what is taken away from it."""

    keep: int = option(8, "Experts that every layer keeps.", low=1)
    by: str = option("reap", "Which ones: reap, count or random.", among=CRITERIA)
    calibrate: str = option("", "Domain of the text that says so; by default all of them.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mixture(self)
        k = self.make_router().options().get("k", 1)
        check_int("keep", self.keep, k, self.n_experts, f"k is {k}, of {self.n_experts} experts")


def check_mixture(settings: LMTrainSettings) -> None:
    """Raise ValueError unless a layer of the run's model has experts."""
    if not settings.n_experts or settings.dense != "none" or settings.n_dense == settings.n_layers:
        raise ValueError("n_experts: got a dense model, allowed is one with experts in some layer")


@dataclass(frozen=True)
class PruneFigures:
    """Held-out bits per byte before and after, of all text and by domain.

    Attributes
    ----------
    before, after
        Of all held-out text.
    topic_before, topic_after
        Of the domain that the calibration text is from; of all text if that is.
    rest_before, rest_after
        Mean over the other domains; of all text if the calibration text is, or if there are none.
    """

    before: float
    after: float
    topic_before: float
    topic_after: float
    rest_before: float
    rest_after: float


@lru_cache(maxsize=8)
def trained(settings: LMTrainSettings) -> tuple[LanguageModel, Evaluation]:
    """A model at the end of its run, and how well it foretells held-out text; the last few stay."""
    trainer = LMTrainer(settings)
    deque(trainer.run(), 0)  # nothing but the end counts
    return trainer.model, trainer.evaluate()


def calibration(windows: ByteWindows, n: int, seed: int, domain: str = "") -> np.ndarray:
    """Training text, (n, T), of one domain or of all.

    Raises
    ------
    ValueError
        If there is no such domain.
    """
    if domain:
        check_choice("calibrate", domain, windows.names)
    rng, found = np.random.default_rng(seed), np.empty((0, windows.context), np.uint8)
    while len(found) < n:
        window_BT, label_B = windows.draw_with_domain(rng, n)
        if domain:
            window_BT = window_BT[label_B == windows.names.index(domain)]
        found = np.concatenate([found, window_BT[:, :-1]])
    return found[:n]


def pruned(settings: PruneRun) -> PruneFigures:
    """Train, ask some text, prune, and judge."""
    windows = make_windows(settings.corpus, settings.context, settings.text)
    text_BT = calibration(windows, CALIBRATION, settings.seed, settings.calibrate)
    model, before = trained(settings.training)
    uses = expert_use(model, [text_BT])
    kept = kept_experts(uses, settings.keep, settings.by, settings.seed)
    after = judge(prune_model(model, kept), windows)
    parts = (_topic_and_rest(one, settings.calibrate) for one in (before, after))
    (topic_before, rest_before), (topic_after, rest_after) = parts
    return PruneFigures(
        before.bits_per_byte, after.bits_per_byte, topic_before, topic_after, rest_before,
        rest_after,
    )  # fmt: skip


def _topic_and_rest(found: Evaluation, domain: str) -> tuple[float, float]:
    others = [bits for name, bits in found.domains.items() if name != domain]
    if not domain or not others:
        return found.bits_per_byte, found.bits_per_byte
    return found.domains[domain], float(np.mean(others))
