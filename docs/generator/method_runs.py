"""One picture's worth of each method: a router on a common batch, a balancer in a short run."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from moe.capacity import Capacity
from moe.data import TextTask, from_bytes
from moe.layer import MoELayer
from moe.routers import ROUTERS
from moe.routing import Routing
from moe.training import Trainer, TrainSettings, suits
from moe.training.runs import Run

N_TOKENS, N_EXPERTS, D_MODEL, N_KINDS = 32, 8, 16, 6
SHORT = dict(
    n_experts=N_EXPERTS, d_model=32, d_expert=32, batch=512, context=4, steps=200
)  # half a second, and long enough to collapse


def common_batch() -> tuple[np.ndarray, np.ndarray]:
    """Tokens (N, D) and their ids (N,): a few kinds, common and rare ones, in order of kind."""
    rng = np.random.default_rng(0)
    centre_ID = rng.standard_normal((N_KINDS, D_MODEL))
    chance_I = 1 / np.arange(1, N_KINDS + 1)
    ids_N = np.sort(rng.choice(N_KINDS, N_TOKENS, p=chance_I / chance_I.sum()))
    x_ND = 1.2 * centre_ID[ids_N] + 0.6 * rng.standard_normal((N_TOKENS, D_MODEL))
    return x_ND.astype(np.float32), ids_N


def route_common(router: str, capacity: Capacity | None = None) -> Routing:
    """Route the common batch as in training, router noise included.

    Every router gets the same tokens, the same seed and, as far as it has such, the same gate.
    """
    x_ND, ids_N = common_batch()
    layer = MoELayer.init(D_MODEL, 1, N_EXPERTS, router=router, k=2, capacity=capacity)
    return layer.route(x_ND, ids_N, np.random.default_rng(0))


@cache
def synthetic_text() -> TextTask:
    """Made-up words, frequent and rare ones as in a language; the same in every Python."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    chance = 1 / np.arange(1, 401)
    spread = chance[: letters.size] / chance[: letters.size].sum()
    words = [bytes(rng.choice(letters, rng.integers(2, 8), p=spread)) for _ in chance]
    drawn = rng.choice(chance.size, 30_000, p=chance / chance.sum())
    return TextTask(from_bytes(b" ".join(words[i] for i in drawn)), int(SHORT["context"]))


def first_suited(balance: str) -> str:
    """First router of the registry on which a balancer can act."""
    return next(name for name in ROUTERS if suits(balance, name))


@cache
def short_run(router: str, balance: str, **options: Any) -> Run:
    """Train briefly on the synthetic text; the balancer has its strength for short runs."""
    settings = TrainSettings(router=router, balance=balance, **(SHORT | options))
    trainer = Trainer(settings, synthetic_text())
    return Run(settings, list(trainer.run()), trainer.evaluate())


def cap_common(drop: str) -> Routing:
    """Route the common batch by top-k with room for the fair share only, as four sequences."""
    return route_common("topk", Capacity(1.0, drop, sequence_length=N_TOKENS // 4))
