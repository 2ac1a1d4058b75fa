"""Recorded traces that come with the package: `python -m docs.generator.samples` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..training import Trainer, TrainSettings
from . import Trace, load_trace, save_trace, write_logits_csv
from .record import held_out_documents, record_trainer

FOLDER = Path(__file__).resolve().parent.parent / "data" / "samples"
CSV = FOLDER / "router-logits.csv"
CSV_TOKENS = 576
TEXTS_PER_DOMAIN, TEXT_BYTES = 4, 96


@dataclass(frozen=True)
class Sample:
    """A recorded trace: its name, what it shows, and how its model was trained."""

    name: str
    title: str
    settings: TrainSettings

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / f"{self.name}.npz"

    def load(self) -> Trace:
        """Read it."""
        return load_trace(self.path)


SAMPLES = (
    Sample(
        "balanced",
        "Tiny text model, load kept even by a bias, 600 steps",
        TrainSettings(balance="bias", balance_rate=0.01, steps=600),
    ),
    Sample(
        "early",
        "The same model after 60 of its 600 steps: for saturation",
        TrainSettings(balance="bias", balance_rate=0.01, steps=60),
    ),
    Sample(
        "collapsed",
        "Tiny text model that nothing keeps even, 600 steps",
        TrainSettings(balance="none", steps=600),
    ),
)


def record_sample(sample: Sample) -> Trace:
    """Train a sample's model and record it on held-out texts of every domain."""
    trainer = Trainer(sample.settings)
    for _ in trainer.run():
        pass
    documents = held_out_documents(trainer, TEXTS_PER_DOMAIN, TEXT_BYTES)
    return record_trainer(trainer, documents, model=f"tiny ({sample.name})")


def thinned(trace: Trace, n_tokens: int) -> Trace:
    """Return the trace of some whole sequences, evenly apart: about `n_tokens`."""
    step = max(trace.n_tokens // max(n_tokens, 1), 1)
    kept_N = np.isin(trace.sequence_N, np.unique(trace.sequence_N)[::step])
    return trace.part(np.flatnonzero(kept_N))


def write_samples() -> list[Path]:
    """Train, record and write all samples; return their paths."""
    FOLDER.mkdir(exist_ok=True)
    for sample in SAMPLES:
        save_trace(record_sample(sample), sample.path)
    write_logits_csv(thinned(SAMPLES[0].load(), CSV_TOKENS), CSV)
    return [*(sample.path for sample in SAMPLES), CSV]
