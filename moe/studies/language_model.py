"""A language model as it is watched while it learns: what it foretells, writes, and sends where.

L layers with experts       T letters of the passage       E experts
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import metrics
from ..data import token_text
from ..errors import CheckpointError
from ..lm.data import Windows
from ..lm.model import LanguageModel
from ..lm.sampling import sample
from ..lm.settings import LMTrainSettings
from ..lm.training import LMTrainer

# Models of the comparison, by what `LMTrainSettings.dense` is called.
KINDS = {"none": "MoE", "active": "Dense, equal active", "total": "Dense, equal total"}
LOOKS = 20  # of a run
BEGINNINGS = ("The ", "def ", "<tr>")
TEMPERATURE, DRAWS = 0.7, 0
PASSAGES, LOADED = 2, 32  # held-out windows that are shown, and whose load is counted


@dataclass(frozen=True)
class Step:
    """A step of training: its number from 1, bits per byte of its batch, and seconds so far."""

    step: int
    bits: float
    seconds: float


@dataclass(frozen=True)
class Look:
    """A model after so many steps.

    Attributes
    ----------
    step, seconds
        Of training so far.
    bits
        Per byte of held-out text.
    samples
        What it writes after each of `BEGINNINGS`.
    expert_LT
        The expert that each letter of the passage chose first, in each layer.
    load_LE
        How often each expert was chosen for held-out text.
    """

    step: int
    seconds: float
    bits: float
    samples: tuple[str, ...] = ()
    expert_LT: tuple[tuple[int, ...], ...] = ()
    load_LE: tuple[tuple[int, ...], ...] = ()

    @property
    def max_vio(self) -> tuple[float, ...]:
        """Of each layer's load: see `moe.metrics.max_vio`."""
        return tuple(metrics.max_vio(np.array(load_E)) for load_E in self.load_LE)


@dataclass(frozen=True)
class Learned:
    """A run as it was watched.

    Attributes
    ----------
    kind, seed
        A key of `KINDS`, and the seed.
    n_params
        Numbers in all parameters.
    passage
        The held-out letters whose experts are shown.
    looks
        In the order of their steps.
    """

    kind: str
    seed: int
    n_params: int
    passage: tuple[str, ...]
    looks: tuple[Look, ...]

    @property
    def end(self) -> Look:
        """The last look."""
        return self.looks[-1]

    def as_json(self, shown: bool = True) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`; samples and choices only if they are shown."""
        bare = tuple(replace(one, samples=(), expert_LT=(), load_LE=()) for one in self.looks)
        return asdict(self if shown else replace(self, looks=bare, passage=()))

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Learned:
        """Read what `as_json` gave.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        try:
            looks = tuple(
                Look(
                    int(one["step"]), float(one["seconds"]), float(one["bits"]),
                    tuple(map(str, one["samples"])), _rows(one["expert_LT"]),
                    _rows(one["load_LE"]),
                )
                for one in given["looks"]
            )  # fmt: skip
            passage = tuple(map(str, given["passage"]))
            run = cls(
                str(given["kind"]), int(given["seed"]), int(given["n_params"]), passage, looks
            )
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"run: got other parts than a run has ({error})") from error
        widths = {len(row) for look in looks for row in look.expert_LT}
        if run.kind not in KINDS or not looks or not widths <= {len(passage)}:
            raise CheckpointError("run: got parts that do not belong together")
        return run


def _rows(given: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in given)


def settings_of(kind: str = "none", seed: int = 0, steps: int | None = None) -> LMTrainSettings:
    """Return the default run of a kind of model."""
    settings = LMTrainSettings(dense=kind, seed=seed)
    steps = settings.steps if steps is None else steps
    return replace(settings, steps=steps, eval_every=max(1, steps // LOOKS))


def watch(trainer: LMTrainer) -> Iterator[Step | Look]:
    """Train, and yield each step, and a look whenever held-out text was looked at."""
    for record in trainer.run():
        yield Step(record.step + 1, record.loss / math.log(2), record.seconds)
        if record.held_out is not None:
            yield look_at(trainer, record.step + 1, record.seconds, record.held_out)


def look_at(trainer: LMTrainer, step: int, seconds: float, bits: float) -> Look:
    """Look at a model as it is now."""
    model, windows = trainer.model, trainer.windows
    expert_LT, load_LE = choices(model, windows)
    return Look(step, seconds, bits, samples(model), expert_LT, load_LE)


def samples(model: LanguageModel) -> tuple[str, ...]:
    """What a model writes after each beginning, as far as its context reaches."""
    prompt_BT = np.array([list(text.encode()) for text in BEGINNINGS])
    n_new = model.config.context - prompt_BT.shape[1]
    rng = np.random.default_rng(DRAWS)
    new = [one.token_B for one in sample(model, prompt_BT, n_new, rng, TEMPERATURE)]
    written_BT = np.concatenate([prompt_BT, np.stack(new, axis=1)], axis=1)
    return tuple(bytes(row.astype(np.uint8)).decode("utf-8", "replace") for row in written_BT)


def choices(
    model: LanguageModel, windows: Windows
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """First choices for the passage, and loads over more held-out text, layer by layer."""
    routings = model.forward(held_out(windows, LOADED)[:, :-1]).routings
    n_letters = PASSAGES * model.config.context
    chosen = []
    for routing in routings:
        first_A = routing.rank_A == 0
        order_N = np.argsort(routing.token_A[first_A], kind="stable")
        chosen.append(tuple(routing.expert_A[first_A][order_N][:n_letters].tolist()))
    return tuple(chosen), tuple(tuple(one.proposed_load.tolist()) for one in routings)


def held_out(windows: Windows, n: int) -> np.ndarray:
    """So many held-out windows, (n, T + 1): the first ones are neighbours, the others spread."""
    window_MT = windows.held_out[0]
    spread = np.linspace(PASSAGES, len(window_MT) - 1, max(n - PASSAGES, 0)).astype(int)
    return np.asarray(window_MT[[*range(PASSAGES), *spread]])


def passage_of(windows: Windows) -> tuple[str, ...]:
    """Letters of the passage, each in its printable form."""
    return tuple(token_text(int(byte)) for byte in held_out(windows, PASSAGES)[:, :-1].reshape(-1))


def finished(kind: str, seed: int, steps: int | None = None) -> Learned:
    """Do a whole run."""
    trainer = LMTrainer(settings_of(kind, seed, steps))
    looks = tuple(one for one in watch(trainer) if isinstance(one, Look))
    return Learned(kind, seed, trainer.model.n_params, passage_of(trainer.windows), looks)
