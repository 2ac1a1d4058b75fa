"""What the page shows of a trace: its report, its beliefs, and how busy every expert is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import metrics
from ...traces import Trace
from ...traces.myths import MythCheck
from ...traces.report import TraceReport, analyse_trace
from .upload import beliefs, shortened

MAX_MARKS = 3400  # of a heat map; a browser paints 4,000 smoothly, and some stand beside it
MAX_COLUMNS = 100
MAX_BARS = 512
HOT, UNEVEN = 2.0, 1.5  # times the fair share of the busiest expert


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
    value_L: tuple[float, ...]
    chance_L: tuple[float, ...] = ()

    def words(self, percent: bool = True) -> str:
        """The mean of the measure, and the mean that chance would give."""
        form = ".1%" if percent else ".2f"
        mean = " on average" if len(self.layers) > 1 else ""
        chance = f", by chance {np.mean(self.chance_L):{form}}" if self.chance_L else ""
        return f"{self.title}: {np.mean(self.value_L):{form}}{mean}{chance}."


def load_words(load_E: np.ndarray) -> str:
    """How even a layer is, in a sentence."""
    idle = metrics.dead_experts(load_E)
    nothing = (
        f"{idle} of {load_E.size} experts {'gets' if idle == 1 else 'get'} nothing"
        if idle
        else f"each of the {load_E.size} experts gets some work"
    )
    return (
        f"Expert {load_E.argmax()} is the busiest, with {1 + metrics.max_vio(load_E):.2f} "
        f"times its fair share; {nothing}."
    )


@dataclass(frozen=True)
class Verdict:
    """What a file comes to, and what to do about it.

    Attributes
    ----------
    words
        One sentence, on the most uneven layer.
    even
        Whether nothing needs mending.
    advice
        What may be done, in Markdown; of a file that is even, what to look at.
    """

    words: str
    even: bool
    advice: tuple[str, ...]


def busiest(load_E: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the busiest experts, at most so many, in order of number."""
    return np.sort(np.argsort(-load_E, kind="stable")[: max(most, 1)])


def loads_of(layer: str, load_E: np.ndarray) -> Drawn:
    """Fair shares of the experts of one layer; of very many experts, the busiest."""
    shown = busiest(load_E, MAX_BARS)
    cut = f" Shown are the busiest {len(shown)}." if len(shown) < load_E.size else ""
    ratio_E = metrics.utilisation(load_E)
    words = f"{load_words(load_E)}{cut}"
    return Drawn((layer,), tuple(shown.tolist()), ratio_E[None, shown], words)


@dataclass(frozen=True, eq=False)
class YourModel:
    """A trace with everything that takes long to find out; layers count from 0 among those in it.

    Attributes
    ----------
    trace
        What is analysed, which may be a part of the file.
    report, myths
        All figures of all layers; two common beliefs, measured.
    about
        The file in words, and what part of it the figures are of.
    is_part
        Whether the file holds more than what is analysed.
    """

    trace: Trace
    report: TraceReport
    myths: tuple[MythCheck, ...]
    about: str
    is_part: bool = False

    @classmethod
    def of(cls, whole: Trace) -> YourModel:
        """Analyse a trace, or as much of it as does not take too long.

        Raises
        ------
        CheckpointError
            If the trace cannot be analysed.
        """
        trace, about = shortened(whole), whole.describe()
        is_part = trace is not whole
        if is_part:
            about += (
                ". Of every document only the first part is looked at, "
                f"{trace.n_tokens:,} tokens in all."
            )
        return cls(trace, analyse_trace(trace), beliefs(trace), about, is_part)

    @property
    def first_shown(self) -> int:
        """Layer to begin with: the middle one."""
        return self.trace.n_layers // 2

    def layer_name(self, at: int) -> str:
        """A layer in words."""
        return f"layer {self.trace.layers[at]}"

    def load(self, at: int) -> np.ndarray:
        """Assignments of each expert of a layer, (E,)."""
        return np.asarray(self.report.layers[at].load)

    def ratio(self, at: int) -> np.ndarray:
        """Load of each expert of a layer in fair shares, (E,)."""
        return np.asarray(metrics.utilisation(self.load(at)))

    def figures(self, at: int) -> list[tuple[str, str, str]]:
        """Name, value and meaning of a layer's main figures."""
        layer, fair = self.report.layers[at], 1 / self.trace.n_experts
        return [
            (
                "MaxVio",
                f"{layer.max_vio:.2f}",
                "How far the busiest expert is above its fair share: 0 is even, 1 is twice.",
            ),
            (
                "Experts without work",
                f"{layer.dead_share:.0%}",
                "Experts that no token of this text chose.",
            ),
            (
                "Share of the busiest",
                f"{(1 + layer.max_vio) * fair:.1%}",
                f"The fair share is {fair:.1%}.",
            ),
            (
                "As even as",
                f"{layer.effective_experts:.1f} experts",
                "So many equally busy experts would be as uneven (exponential of the entropy).",
            ),
        ]

    def loads(self, at: int) -> Drawn:
        """Fair shares of a layer's experts."""
        return loads_of(self.layer_name(at), self.load(at))

    def load_words(self, at: int) -> str:
        """How even a layer is, in a sentence."""
        return load_words(self.load(at))

    def verdict(self) -> Verdict:
        """Judge the most uneven layer."""
        worst = max(range(self.trace.n_layers), key=lambda at: self.report.layers[at].max_vio)
        load_E, name = self.load(worst), self.layer_name(worst)
        hottest, times = int(load_E.argmax()), 1 + metrics.max_vio(load_E)
        idle = metrics.dead_experts(load_E)
        rest = f"{idle} of {load_E.size} idle" if idle else "none idle"
        settings = f"experts={min(max(load_E.size, 4), 64)}&k={min(self.trace.k, 8)}"
        if times < UNEVEN and not idle:
            return Verdict(
                f"The work is even: in {name}, the most uneven one, expert {hottest} has "
                f"{times:.1f}× its share.",
                True,
                ("Nothing to mend. Below: who works on what, and with whom.",),
            )
        kind = "is hot" if times >= HOT else "is busy"
        return Verdict(
            f"Expert {hottest} of {name} {kind}: {times:.1f}× its share; {rest}.",
            False,
            (
                f"Even the work out: [how hard to push back](/cure?{settings}).",
                "Check that your gate computes what you think: `moe check-gate`.",
                "See what it costs on several devices: *Look closer*, *Devices*, or "
                "[what moves between chips](/moving-data).",
            ),
        )

    def all_loads(self) -> Drawn:
        """Fair shares in every layer, the busiest expert first: numbers mean nothing across."""
        ratios = [metrics.utilisation(self.load(at)) for at in range(self.trace.n_layers)]
        ratio_LE = -np.sort(-np.stack(ratios), axis=1)
        n_layers, n_experts = ratio_LE.shape
        columns = min(n_experts, max(1, MAX_MARKS // n_layers), MAX_COLUMNS)
        groups = np.array_split(np.arange(n_experts), columns)
        worst = int(ratio_LE[:, 0].argmax())
        return Drawn(
            tuple(str(layer) for layer in self.trace.layers),
            tuple(_from_to(group) for group in groups),
            np.stack([ratio_LE[:, group].mean(axis=1) for group in groups], axis=1),
            f"The most uneven is layer {self.trace.layers[worst]}, where one expert has "
            f"{ratio_LE[worst, 0]:.1f} times its fair share.",
        )

    def as_json(self) -> dict[str, Any]:
        """All figures and both checks."""
        return {
            "report": self.report.as_json(),
            "myths": [check.as_json() for check in self.myths],
        }


def _from_to(group: np.ndarray) -> str:
    """Places of a group of experts in the order of their loads."""
    low, high = int(group[0]) + 1, int(group[-1]) + 1
    return f"place {low}" if low == high else f"places {low} to {high}"
