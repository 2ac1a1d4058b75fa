"""What a language model loses if a batch may read fewer experts, when it writes byte by byte.

Sixteen texts are read at once, one byte of each in a step, so that a step's batch is 16 tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import check_int
from ..lm.data import make_windows
from ..lm.logits import log_chances
from ..lm.model import LanguageModel
from ..lm.sampling import new_caches
from ..lm.settings import LMTrainSettings
from ..opportunistic import Opportunistic
from ..settings import option
from .pruning import check_mixture, trained

TEXTS = 128  # held-out windows at most, of all kinds


@dataclass(frozen=True)
class OpportunisticRun(LMTrainSettings):
    """A training run of a language model, and how it chooses experts afterwards."""

    k0: int = option(1, "Choices of each token that always stay.", low=1, high="k")
    piggyback: bool = option(True, "Whether the others stay where the batch reads their experts.")
    texts: int = option(16, "Texts that are read at once.", low=1, high=TEXTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mixture(self)
        Opportunistic(self.make_router(), self.k0)  # which says what routers it is for


@dataclass(frozen=True)
class OpportunisticFigures:
    """What a step reads, and how well the next byte is foretold.

    Attributes
    ----------
    bits
        Per byte of held-out text.
    experts
        Different experts that a layer reads in a step, on average over layers and steps.
    choices
        Experts that a token goes to.
    """

    bits: float
    experts: float
    choices: float


def opportunistic(settings: OpportunisticRun) -> OpportunisticFigures:
    """Train, change how experts are chosen, and read held-out text step by step.

    Raises
    ------
    ValueError
        If there are fewer held-out texts than are read at once.
    """
    window_MT, _ = make_windows(settings.corpus, settings.context, settings.text).held_out
    n_texts = min(TEXTS, len(window_MT))
    check_int("texts", settings.texts, 1, n_texts, f"{n_texts} are held out")
    model, _ = trained(settings.training)
    # In an order of its own, so that texts which are read at once are of all kinds; what fills no
    # whole batch is left out, since a smaller one reads fewer experts.
    order = np.random.default_rng(settings.seed).permutation(len(window_MT))
    n_batches = n_texts // settings.texts
    groups = order[: n_batches * settings.texts].reshape(n_batches, settings.texts)
    reading = with_fewer(model, settings.k0, settings.piggyback)
    found = [read_together(reading, window_MT[group]) for group in groups]
    bits, experts, choices = np.mean(found, axis=0)
    return OpportunisticFigures(float(bits), float(experts), float(choices))


def with_fewer(model: LanguageModel, k0: int, more: bool) -> LanguageModel:
    """The model whose tokens keep k0 choices, and with `more` those that the batch reads."""
    layers = []
    for layer in model.moe_layers:
        few: dict[str, Any] = {"k": k0}
        router = Opportunistic(layer.router, k0) if more else replace(layer.router, **few)
        layers.append(replace(layer, router=router))
    return model.with_layers(layers)


def read_together(model: LanguageModel, window_BT: np.ndarray) -> tuple[float, float, float]:
    """Bits per byte, experts that a layer reads in a step, and choices of a token."""
    length = window_BT.shape[1] - 1
    caches = new_caches(model, len(window_BT), length)
    nats, experts, choices = 0.0, 0, 0
    for at in range(length):
        logits_BV, routings = model.step(window_BT[:, at].astype(np.int64), caches, at)
        shares_BV = log_chances(logits_BV.astype(np.float64))
        nats -= float(shares_BV[np.arange(len(window_BT)), window_BT[:, at + 1]].sum())
        experts += sum(len(np.unique(routing.expert_A)) for routing in routings)
        choices += sum(routing.n_assignments for routing in routings)
    steps = length * len(model.moe_layers)
    tokens = length * len(window_BT)
    return nats / tokens / math.log(2), experts / steps, choices / (steps * len(window_BT))
