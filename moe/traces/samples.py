"""Recorded traces that come with the package: `python -m docs.generator.samples` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..training import TrainSettings
from . import Trace, load_trace

FOLDER = Path(__file__).resolve().parent.parent / "data" / "samples"
CSV = FOLDER / "router-logits.csv"


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
        "Tiny model, kept even",
        TrainSettings(balance="bias", balance_rate=0.01, steps=600),
    ),
    Sample(
        "early",
        "The same after 60 steps",
        TrainSettings(balance="bias", balance_rate=0.01, steps=60),
    ),
    Sample(
        "collapsed",
        "Tiny model, collapsed",
        TrainSettings(balance="none", steps=600),
    ),
)
