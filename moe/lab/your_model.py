"""What the page on your own model shows of a trace: pieces small enough to be drawn, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np

from .. import metrics
from ..errors import CheckpointError
from ..routers import make_router
from ..routing import Routing
from ..scores import make_scores
from ..traces import Trace, load_trace, read_logits_csv

MAX_MB = 20  # of an uploaded file
MAX_BYTES = 120 * 2**20  # of what it unpacks to
MAX_MARKS = 4000  # of a picture; a browser paints no more smoothly
MAX_BARS = 512
LISTED = 12  # tokens in the table of the vocabulary
MAX_PAIRED = 48  # experts in the picture of pairs
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


@dataclass(frozen=True)
class Vocabulary:
    """Rows of tokens and their experts, and what they say in words."""

    rows: list[dict[str, str]]
    words: str


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
        return read_logits_csv(raw, make_router("topk", k=k), PurePath(name).stem[:80], MAX_BYTES)
    trace = load_trace(raw, MAX_BYTES)
    if not trace.n_tokens:
        raise CheckpointError("file: got a trace without tokens, allowed is one or more")
    return trace


@dataclass(frozen=True, eq=False)
class YourModel:
    """A trace and what the page asks of it; layers are counted among those recorded, from 0."""

    trace: Trace

    @cached_property
    def load_LE(self) -> np.ndarray:
        """Choices of every expert in every layer, (L, E)."""
        trace = self.trace
        return np.stack([trace.routing(i).proposed_load for i in range(trace.n_layers)])

    @property
    def first_shown(self) -> int:
        """Layer to begin with: the middle one."""
        return self.trace.n_layers // 2

    def layer_name(self, at: int) -> str:
        """A layer in words."""
        return f"layer {self.trace.layers[at]}"

    def figures(self, at: int) -> list[tuple[str, str, str]]:
        """Name, value and meaning of a layer's main figures."""
        load_E = self.load_LE[at]
        return [
            (
                "MaxVio",
                f"{metrics.max_vio(load_E):.2f}",
                "How far the busiest expert is above its fair share: 0 is even, 1 is twice.",
            ),
            (
                "Experts without work",
                f"{metrics.dead_experts(load_E) / load_E.size:.0%}",
                "Experts that no token of this text chose.",
            ),
            (
                "Share of the busiest",
                f"{metrics.hottest_share(load_E):.1%}",
                f"The fair share is {1 / load_E.size:.1%}.",
            ),
            (
                "As even as",
                f"{metrics.effective_experts(load_E):.1f} experts",
                "So many equally busy experts would be as uneven (exponential of the entropy).",
            ),
        ]

    def loads(self, at: int) -> Drawn:
        """Fair shares of a layer's experts; of very many, the busiest."""
        ratio_E = metrics.utilisation(self.load_LE[at])
        shown = np.sort(np.argsort(-ratio_E, kind="stable")[:MAX_BARS])
        cut = f" Shown are the busiest {len(shown)}." if len(shown) < ratio_E.size else ""
        return Drawn(
            (self.layer_name(at),),
            tuple(shown.tolist()),
            ratio_E[None, shown],
            f"{self.load_words(at)}{cut}",
        )

    def load_words(self, at: int) -> str:
        """How even a layer is, in a sentence."""
        load_E = self.load_LE[at]
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


    def _line(self, title: str, value: Callable[[int], float], chance: float | None) -> Line:
        layers = self.trace.layers
        values = [value(i) for i in range(len(layers))]
        return Line(title, layers, values, [] if chance is None else [chance] * len(layers))

    def max_vio(self) -> list[Line]:
        """MaxVio of every layer."""
        return [self._line("MaxVio", lambda i: metrics.max_vio(self.load_LE[i]), None)]

    def dead(self) -> list[Line]:
        """Share of experts without work in every layer."""
        size = self.trace.n_experts
        return [
            self._line(
                "Experts without work",
                lambda i: metrics.dead_experts(self.load_LE[i]) / size,
                None,
            )
        ]

    def information(self) -> list[Line]:
        """Mutual information of token and expert by the router's ratings; empty without them."""
        if self.trace.logits_LNE is None:
            return []
        logits_LNE = self.trace.logits_LNE

        def of_layer(i: int) -> float:
            return metrics.mutual_information(make_scores(logits_LNE[i], "softmax"))

        return [self._line("Mutual information", of_layer, None)]

    def domains(self, at: int) -> Drawn | None:
        """Fair shares of every expert in each kind of text; None if the trace names no kinds."""
        trace = self.trace
        if trace.domain_N is None or len(trace.domains) < 2:
            return None
        share_DE = metrics.specialisation(trace.routing(at), trace.domain_N, len(trace.domains))
        ratio_DE = share_DE * trace.n_experts
        shown = self._busiest(at, MAX_MARKS // len(trace.domains))
        d, e = np.unravel_index(int(ratio_DE.argmax()), ratio_DE.shape)
        return Drawn(
            trace.domains,
            tuple(shown.tolist()),
            ratio_DE[:, shown],
            f"Strongest: expert {e} gets {ratio_DE[d, e]:.1f} times its fair share of "
            f"{trace.domains[int(d)]}.",
        )

    def vocabulary(self, at: int) -> Vocabulary:
        """Tokens that go nearly always to one expert."""
        trace = self.trace
        routing = trace.routing(at)
        ids, expert_V, share_V = metrics.vocabulary_specialisation(routing, trace.token_ids_N)
        if not ids.size:
            return Vocabulary([], "No token occurs ten times, so favourites cannot be measured.")
        chance = _vocabulary_by_chance(routing, trace.token_ids_N)
        text_of = dict(zip(trace.token_ids_N.tolist(), trace.tokens, strict=True))
        ids_N, count_N = np.unique(trace.token_ids_N, return_counts=True)
        count_of = dict(zip(ids_N.tolist(), count_N.tolist(), strict=True))
        best = np.argsort(-share_V, kind="stable")[:LISTED]
        rows = [
            {
                "Token": repr(text_of[int(ids[v])])[1:-1],
                "Seen": f"{count_of[int(ids[v])]:,} times",
                "Its expert": str(expert_V[v]),
                "Goes there": f"{share_V[v]:.0%}",
            }
            for v in best
        ]
        return Vocabulary(
            rows,
            f"The {len(ids)} tokens that occur ten times or more go to their favourite expert "
            f"{share_V.mean():.0%} of the time; with tokens shuffled it is {chance:.0%}. "
            f"The firmest {len(rows)} are these:",
        )

    def repetition(self) -> list[Line]:
        """How often the next token has the same expert, first choice and any, per layer."""
        trace = self.trace
        return [
            self._line(
                "same first choice",
                lambda i: metrics.repetition(trace.routing(i), 0, trace.sequence_N),
                metrics.random_repetition(trace.n_experts, 1),
            ),
            *(
                [
                    self._line(
                        "any choice in common",
                        lambda i: metrics.repetition(trace.routing(i), None, trace.sequence_N),
                        metrics.random_repetition(trace.n_experts, trace.k),
                    )
                ]
                if trace.k > 1
                else []
            ),
        ]

    def pairs(self, at: int, adjacent: bool) -> Drawn:
        """Share of an expert's tokens that also go to another; of many, the busiest experts."""
        trace = self.trace
        count = metrics.adjacent_coactivation if adjacent else metrics.coactivation
        share_EE = np.array(count(trace.routing(at)))
        np.fill_diagonal(share_EE, 0)
        shown = self._busiest(at, MAX_PAIRED)
        i, j = np.unravel_index(int(share_EE.argmax()), share_EE.shape)
        chance = (trace.k - 1) / max(trace.n_experts - 1, 1)
        cut = f" Shown are the {len(shown)} busiest." if len(shown) < trace.n_experts else ""
        return Drawn(
            tuple(str(e) for e in shown.tolist()),
            tuple(shown.tolist()),
            share_EE[np.ix_(shown, shown)],
            f"Closest: {share_EE[i, j]:.0%} of the tokens of expert {i} also go to expert {j}; "
            f"if experts were dealt at random, {chance:.1%} would.{cut}",
        )

    def devices(self, at: int, kind: str, n_devices: int, text: str = "") -> Drawn:
        """Load of each device in fair shares, measured on the second half of the tokens.

        Parameters
        ----------
        kind
            One of `placement.PLACEMENTS`.
        text
            Device of each expert as people write it, if they say so themselves.

        Raises
        ------
        ValueError
            If what is written is no placement.
        """
        trace = self.trace
        half = trace.n_tokens // 2
        first_E, second_E = (
            np.bincount(part[part >= 0], minlength=trace.n_experts)
            for part in (trace.expert_LNK[at, :half], trace.expert_LNK[at, half:])
        )
        place = placement.PLACEMENTS[kind]
        device_E = (
            placement.written(text, trace.n_experts) if place is None else place(first_E, n_devices)
        )
        load_D = np.bincount(device_E, weights=second_E)
        factor = metrics.overload_factor(second_E, device_E)
        return Drawn(
            ("load",),
            tuple(range(load_D.size)),
            metrics.utilisation(load_D)[None],
            f"Overload factor {factor:.2f}: the busiest device, number {load_D.argmax()}, has "
            f"{factor:.2f} times the mean load, and all others wait for it. Measured on the "
            "second half of the tokens.",
        )

    def saturation(self, earlier: YourModel) -> Line:
        """Share of each token's experts that it had in another trace already, per layer.

        Raises
        ------
        ValueError
            If the traces differ in tokens, experts or layers.
        """
        mine, other = self.trace, earlier.trace
        if mine.expert_LNK.shape != other.expert_LNK.shape or mine.n_experts != other.n_experts:
            raise ValueError(
                f"other trace: got {other.describe()}, allowed is one of the same size: "
                f"{mine.describe()}"
            )
        if (mine.token_ids_N != other.token_ids_N).any():
            raise ValueError("other trace: got other tokens, allowed is one of the same text")
        return self._line(
            "Saturation",
            lambda i: metrics.saturation(other.expert_LNK[i], mine.expert_LNK[i]),
            mine.k / mine.n_experts,
        )

    def _busiest(self, at: int, most: int) -> np.ndarray:
        """Numbers of the busiest experts of a layer, in order of number."""
        return np.sort(np.argsort(-self.load_LE[at], kind="stable")[: max(most, 1)])


def _vocabulary_by_chance(routing: Routing, token_ids_N: np.ndarray) -> float:
    """Mean share of the favourite expert when tokens are shuffled."""
    shuffled_N = np.random.default_rng(0).permutation(token_ids_N)
    return float(metrics.vocabulary_specialisation(routing, shuffled_N)[2].mean())


def _from_to(group: np.ndarray) -> str:
    """Places of a group of experts in the order of their loads."""
    low, high = int(group[0]) + 1, int(group[-1]) + 1
    return f"place {low}" if low == high else f"places {low} to {high}"
