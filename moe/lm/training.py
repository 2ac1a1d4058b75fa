"""Training a language model as a generator of records, one for each step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from .. import metrics
from ..balance import Balancer, Sum
from ..routing import Routing
from .data import Windows, make_windows
from .model import LanguageModel
from .optimizers import make_optimizer, set_rates
from .schedule import falling, rate_share
from .settings import LMTrainSettings

LOOK = 128  # windows of a look at held-out text during a run, spread over all of them
ROWS = 8192  # tokens that are judged at once


@dataclass(frozen=True)
class LMRecord:
    """What one step shows.

    Attributes
    ----------
    step
        From 0.
    loss
        Cross-entropy of this step's batch, in nats a token.
    balance_loss
        What the balancer adds over all layers.
    held_out
        Bits per byte of held-out text after this step, if it was looked at.
    max_vio
        Of the load of each layer with experts: see `moe.metrics.max_vio`.
    dead
        Experts, over all layers, that no token of the batch chose.
    seconds
        Of all steps so far, by the clock, without the looks at held-out text.
    tokens
        Trained on so far.
    """

    step: int
    loss: float
    balance_loss: float
    held_out: float | None
    max_vio: tuple[float, ...]
    dead: int
    seconds: float
    tokens: int

    @property
    def done(self) -> int:
        """Steps so far."""
        return self.step + 1

    def words(self, bits: float | None = None) -> str:
        """The step in a line, with the bits per byte of the last look at held-out text."""
        parts = [f"step {self.done}", f"loss {self.loss:.3f} nats"]
        if bits is not None:
            parts.append(f"held out {bits:.3f} bits a byte")
        if self.max_vio:
            parts.append(f"MaxVio {' '.join(f'{vio:.2f}' for vio in self.max_vio)}")
        return ", ".join([*parts, f"{self.tokens / self.seconds:,.0f} tokens/s"])

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True)
class Evaluation:
    """How well a model foretells held-out text.

    Attributes
    ----------
    bits_per_byte
        Mean of minus the binary logarithm of each byte's chance.
    domains
        The same for each domain that has held-out windows, by name.
    tokens
        Bytes foretold.
    """

    bits_per_byte: float
    domains: Mapping[str, float]
    tokens: int

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, ready for `json.dumps`."""
        return {**asdict(self), "domains": dict(self.domains)}


def evaluate(model: LanguageModel, windows: Windows, at_most: int | None = None) -> Evaluation:
    """Judge a model by the held-out windows, or by so many of them, spread evenly.

    Raises
    ------
    ValueError
        If the model knows fewer tokens than the windows have.
    """
    window_MT, label_M = windows.held_out
    if at_most is not None and at_most < len(window_MT):
        chosen = np.linspace(0, len(window_MT) - 1, at_most).round().astype(int)
        window_MT, label_M = window_MT[chosen], label_M[chosen]
    size = max(1, ROWS // (window_MT.shape[1] - 1))
    bits_M = np.concatenate(
        [
            model.token_losses(part_BT[:, :-1], part_BT[:, 1:]).mean(axis=1, dtype=np.float64)
            for part_BT in (window_MT[low : low + size] for low in range(0, len(window_MT), size))
        ]
    ) / math.log(2)
    domains = {
        name: float(bits_M[label_M == label].mean())
        for label, name in enumerate(windows.names)
        if (label_M == label).any()
    }
    return Evaluation(float(bits_M.mean()), domains, window_MT[:, 1:].size)


class LMTrainer:
    """A language model in training; `run` yields records, and it can be looked at in between.

    Parameters
    ----------
    settings
        The run.
    windows
        What to learn instead of the text that the settings name.
    model
        A model to go on with instead of a fresh one; it is changed in place.

    Attributes
    ----------
    settings, windows, model, optimizer
    step_number
        Of the step that comes next, from 0.
    seconds
        Of the steps so far.

    Raises
    ------
    ValueError
        If the text cannot be used.
    """

    def __init__(
        self,
        settings: LMTrainSettings,
        windows: Windows | None = None,
        model: LanguageModel | None = None,
    ) -> None:
        self.settings = settings
        self.windows = windows or make_windows(settings.corpus, settings.context, settings.text)
        self.model = model or LanguageModel.init(settings.model, settings.seed)
        self._balancer = settings.make_balancer()
        self.model.balance_by(self._balancer)
        self.optimizer = make_optimizer(settings, self.model.arrays())
        # Separate streams: the batches stay the same whatever noise a router draws.
        seeds = np.random.SeedSequence(settings.seed).spawn(2)
        self.data_rng, self.noise_rng = (np.random.default_rng(seed) for seed in seeds)
        self.step_number, self.seconds = 0, 0.0

    def run(self) -> Iterator[LMRecord]:
        """Yield a record per step until all are done; the last one looks at all held-out text."""
        while self.step_number < self.settings.steps:
            yield self.step()

    def step(self) -> LMRecord:
        """Do one training step, and look at held-out text if it is time."""
        start = perf_counter()
        window_BT = self.windows.draw(self.data_rng, self.settings.batch)
        found = self.model.gradients(window_BT[:, :-1], window_BT[:, 1:], rng=self.noise_rng)
        self.update(found.arrays, found.routings)
        self.seconds += perf_counter() - start
        load_LE = [routing.proposed_load for routing in found.routings]
        return LMRecord(
            step=self.step_number - 1,
            loss=found.loss,
            balance_loss=found.balance_loss,
            held_out=self._look(),
            max_vio=tuple(metrics.max_vio(load_E) for load_E in load_LE),
            dead=sum(metrics.dead_experts(load_E) for load_E in load_LE),
            seconds=self.seconds,
            tokens=self.step_number * self.settings.tokens_per_step,
        )

    def update(self, grads: Mapping[str, np.ndarray], routings: list[Routing]) -> None:
        """Step parameters and balance by the gradients of any loss; `step` does this itself.

        Parameters
        ----------
        grads
            By the names of `model.arrays()`.
        routings
            Of the batch.
        """
        settings, step = self.settings, self.step_number
        share = rate_share(step, settings.steps, settings.warm_up, settings.decay)
        set_rates(self.optimizer, settings, share)
        self.optimizer.step(self.model.arrays(), grads)
        if settings.balance_decay:
            falls = falling(step, settings.steps, settings.decay)
            self.model.balancer = slowed(self._balancer, falls)
        self.model.steer(routings)
        self.step_number += 1

    def evaluate(self, at_most: int | None = None) -> Evaluation:
        """Judge the model as it is now; see `evaluate`."""
        return evaluate(self.model, self.windows, at_most)

    def _look(self) -> float | None:
        every = self.settings.eval_every
        if self.step_number == self.settings.steps:
            return self.evaluate().bits_per_byte
        if every and self.step_number % every == 0:
            return self.evaluate(LOOK).bits_per_byte
        return None


def slowed(balancer: Balancer, share: float) -> Balancer:
    """A balancer whose steps of a bias are a share as long; losses stay as they are."""
    if isinstance(balancer, Sum):
        return Sum(tuple(slowed(part, share) for part in balancer.parts))
    if balancer.rate_name != "rate":
        return balancer
    slower: dict[str, Any] = {"rate": balancer.options()["rate"] * share}
    return replace(balancer, **slower)
