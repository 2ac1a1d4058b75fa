"""What the page on your own model shows of a trace: pieces small enough to be drawn, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np

from .. import metrics
from ..errors import CheckpointError, check_int
from ..routing import Routing
from ..traces import Trace, load_trace
from .logits_csv import read_logits_csv

MAX_MB = 20  # of an uploaded file
MAX_BYTES = 120 * 2**20  # of what it unpacks to
MAX_MARKS = 4000  # of a picture; a browser paints no more smoothly
MAX_BARS = 512
MAX_PAIRED = 48  # experts in the picture of pairs
WINDOW = 240  # tokens of text shown at once
TRACE_KINDS = (".npz", ".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A table of numbers to draw: rows by experts (or devices), and what it says in words."""

    rows: tuple[str, ...]
    experts: tuple[int | str, ...]
    value_RE: np.ndarray
    words: str


@dataclass(frozen=True, eq=False)
class Line:
    """A measure of every layer, and what chance alone would give."""

    title: str
    layers: tuple[int, ...]
    value_L: list[float]
    chance_L: list[float]

    def words(self, percent: bool = True) -> str:
        """Say its mean beside that of chance."""
        form = ".1%" if percent else ".2f"
        chance = f", by chance {np.mean(self.chance_L):{form}}" if self.chance_L else ""
        return f"{self.title}: {np.mean(self.value_L):{form}} on average{chance}."


def read_trace(name: str, raw: bytes, k: int) -> Trace:
    """Read an uploaded trace, or ratings as CSV, by the ending of its name.

    Parameters
    ----------
    k
        Experts per token, for ratings.

    Raises
    ------
    CheckpointError
        If it is too large, of another kind, or not what its name says.
    """
    ending = PurePath(name).suffix.lower()
    if ending not in TRACE_KINDS:
        raise CheckpointError(
            f"file: got {name[-60:]!r}, allowed is a name that ends in {', '.join(TRACE_KINDS)}"
        )
    if ending == ".csv":
        return read_logits_csv(raw, k, PurePath(name).stem[:80])
    trace = load_trace(raw, MAX_BYTES)
    if not trace.n_tokens:
        raise CheckpointError("file: got a trace without tokens, allowed is one or more")
    return trace


@dataclass(frozen=True, eq=False)
class YourModel:
    """A trace, and the layer that is looked at (counted among those recorded, from 0)."""

    trace: Trace
    at: int

    @cached_property
    def routing(self) -> Routing:
        """Routing of the chosen layer."""
        return self.trace.routing(self.at)

    @property
    def layer_name(self) -> str:
        """The chosen layer in words."""
        return f"layer {self.trace.layers[self.at]}"

    @cached_property
    def load_LE(self) -> np.ndarray:
        """Choices of every expert in every layer, (L, E)."""
        trace = self.trace
        return np.stack([trace.routing(i).proposed_load for i in range(trace.n_layers)])

    def loads(self) -> Drawn:
        """Fair shares of the layer's experts; of very many, the busiest."""
        ratio_E = metrics.utilisation(self.load_LE[self.at])
        shown = np.sort(np.argsort(-ratio_E, kind="stable")[:MAX_BARS])
        cut = f" Shown are the busiest {len(shown)}." if len(shown) < ratio_E.size else ""
        return Drawn(
            (self.layer_name,),
            tuple(shown.tolist()),
            ratio_E[None, shown],
            f"{self.load_words()}{cut}",
        )

    def load_words(self) -> str:
        """How even the chosen layer is, in a sentence."""
        load_E = self.load_LE[self.at]
        idle = metrics.dead_experts(load_E)
        return (
            f"Expert {load_E.argmax()} is the busiest, with {1 + metrics.max_vio(load_E):.2f} "
            f"times its fair share; {idle} of {load_E.size} experts "
            f"{'gets' if idle == 1 else 'get'} nothing."
        )

    def all_loads(self) -> Drawn:
        """Fair shares in every layer, the busiest expert first: numbers mean nothing across."""
        load_LE = -np.sort(-self.load_LE, axis=1)
        ratio_LE = load_LE / np.maximum(load_LE.mean(axis=1, keepdims=True), 1e-12)
        n_layers, n_experts = ratio_LE.shape
        columns = min(n_experts, max(1, MAX_MARKS // n_layers), 100)
        groups = np.array_split(np.arange(n_experts), columns)
        value_RE = np.stack([ratio_LE[:, group].mean(axis=1) for group in groups], axis=1)
        worst = int(ratio_LE[:, 0].argmax())
        return Drawn(
            tuple(str(layer) for layer in self.trace.layers),
            tuple(_from_to(group) for group in groups),
            value_RE,
            f"The most uneven is layer {self.trace.layers[worst]}, where one expert has "
            f"{ratio_LE[worst, 0]:.1f} times its fair share.",
        )


def _from_to(group: np.ndarray) -> str:
    """Places of a group of experts in the order of their loads."""
    low, high = int(group[0]) + 1, int(group[-1]) + 1
    return f"place {low}" if low == high else f"places {low} to {high}"
