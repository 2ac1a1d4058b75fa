"""What the page on your own model shows of a trace: pieces small enough to be drawn, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ... import metrics
from ...cluster import homes
from ...counting import pair_counts
from ...routing import Routing
from ...traces import Trace
from ...traces.chance import strongest_domain
from ...traces.myths import MythCheck
from ...traces.report import LayerReport, TraceReport, analyse_trace, check_same_text
from .upload import Known, beliefs, shortened

MAX_MARKS = 3400  # of a heat map; a browser paints 4,000 smoothly, and some stand beside it
MAX_COLUMNS = 100
MAX_BARS = 512
MAX_PAIRED = 48  # experts in the picture of pairs
MAX_ROWS = 100  # kinds of text in a table
MIN_SEEN, LISTED = 10, 12  # of a token in the table of the vocabulary, and its rows


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
        """Say its mean beside that of chance."""
        form = ".1%" if percent else ".2f"
        mean = " on average" if len(self.layers) > 1 else ""
        chance = f", by chance {np.mean(self.chance_L):{form}}" if self.chance_L else ""
        return f"{self.title}: {np.mean(self.value_L):{form}}{mean}{chance}."


@dataclass(frozen=True)
class Vocabulary:
    """Rows of tokens and their experts, and what they say in words."""

    rows: list[dict[str, str]]
    words: str


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


@dataclass(frozen=True, eq=False)
class YourModel:
    """A trace and what the page asks of it; layers are counted among those recorded, from 0.

    Attributes
    ----------
    whole
        The trace as it was read; figures are of `trace`, which may be a part of it.
    known
        What need not be computed any more.
    """

    whole: Trace
    known: Known | None = None

    @cached_property
    def trace(self) -> Trace:
        """What is analysed."""
        return shortened(self.whole)

    @cached_property
    def report(self) -> TraceReport:
        """All figures of all layers."""
        return self.known.report if self.known else analyse_trace(self.trace)

    @cached_property
    def myths(self) -> tuple[MythCheck, ...]:
        """Two common beliefs, measured."""
        return self.known.myths if self.known else beliefs(self.trace)

    def ready(self) -> YourModel:
        """Do now what takes long, and return this.

        Raises
        ------
        CheckpointError
            If the trace cannot be analysed.
        """
        _ = self.report, self.myths
        return self

    @property
    def is_part(self) -> bool:
        """Whether the file holds more than what is analysed."""
        return self.known.is_part if self.known else self.trace is not self.whole

    def describe(self) -> str:
        """Describe the trace, and what part of it the figures are of."""
        if self.known:
            return self.known.about
        if not self.is_part:
            return self.whole.describe()
        return (
            f"{self.whole.describe()}. Of every document only the first part is looked at, "
            f"{self.trace.n_tokens:,} tokens in all."
        )

    @property
    def first_shown(self) -> int:
        """Layer to begin with: the middle one."""
        return self.trace.n_layers // 2

    def layer_name(self, at: int) -> str:
        """A layer in words."""
        return f"layer {self.trace.layers[at]}"

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
        """Fair shares of a layer's experts; of very many, the busiest."""
        ratio_E = metrics.utilisation(self._load(at))
        shown = self._busiest(at, MAX_BARS)
        cut = f" Shown are the busiest {len(shown)}." if len(shown) < ratio_E.size else ""
        return Drawn(
            (self.layer_name(at),),
            tuple(shown.tolist()),
            ratio_E[None, shown],
            f"{self.load_words(at)}{cut}",
        )

    def load_words(self, at: int) -> str:
        """How even a layer is, in a sentence."""
        return load_words(self._load(at))

    def all_loads(self) -> Drawn:
        """Fair shares in every layer, the busiest expert first: numbers mean nothing across."""
        load_LE = -np.sort([-self._load(i) for i in range(self.trace.n_layers)], axis=1)
        ratio_LE = load_LE / np.maximum(load_LE.mean(axis=1, keepdims=True), 1e-12)
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

    def max_vio(self) -> list[Line]:
        """MaxVio of every layer."""
        return [self._line("MaxVio", lambda layer: layer.max_vio)]

    def dead(self) -> list[Line]:
        """Share of experts without work in every layer."""
        return [self._line("Experts without work", lambda layer: layer.dead_share)]

    def information(self) -> list[Line]:
        """Mutual information of token and expert by the router's ratings; empty without them."""
        if self.report.layers[0].router_information is None:
            return []
        return [self._line("Mutual information", lambda layer: layer.router_information or 0.0)]

    def information_words(self) -> str:
        """What the mutual information means."""
        return (
            "0 if every token rates the experts alike; "
            f"{np.log(self.trace.n_experts):.2f} if each is sure of one, and all are wanted alike."
        )

    def domains(self, at: int) -> Drawn | None:
        """Fair shares of every expert in each kind of text; None if the trace names no kinds."""
        trace, layer = self.trace, self.report.layers[at]
        if trace.domain_N is None or layer.strongest_domain is None:
            return None
        routing, domains = trace.routing(at), trace.domains[:MAX_MARKS]
        shown = self._busiest(at, min(MAX_COLUMNS, MAX_MARKS // len(domains)))
        d, e, strongest = strongest_domain(routing, trace.domain_N)
        return Drawn(
            domains,
            tuple(shown.tolist()),
            _shares(routing, trace.domain_N, len(domains), shown) * trace.n_experts,
            f"Strongest: expert {e} gets {strongest:.1f} times its fair share of "
            f"“{trace.domains[d]}”; with tokens shuffled the strongest would have "
            f"{layer.chance_strongest_domain:.1f} times. Knowing the expert "
            f"tells {layer.domain_information:.3f} nats about the kind of text; with tokens "
            f"shuffled {layer.chance_domain_information:.3f}.",
        )

    def vocabulary(self, at: int) -> Vocabulary:
        """Tokens that go nearly always to one expert."""
        trace, layer = self.trace, self.report.layers[at]
        if trace.token_ids_N is None:
            return Vocabulary([], "The file does not say which tokens are the same: cannot tell.")
        if layer.vocabulary is None:
            return Vocabulary([], "No token occurs ten times, so favourites cannot be measured.")
        routing = trace.routing(at)
        ids, expert_V, share_V = metrics.vocabulary_specialisation(
            routing, trace.token_ids_N, MIN_SEEN
        )
        text_of = dict(zip(trace.token_ids_N.tolist(), trace.tokens, strict=True))
        served_N = metrics.first_choices(routing) >= 0
        every, count = np.unique(trace.token_ids_N[served_N], return_counts=True)
        seen_V = count[np.searchsorted(every, ids)]
        best = np.lexsort((-seen_V, -share_V))[:LISTED]
        rows = [
            {
                "Token": f"“{repr(text_of[int(ids[v])])[1:-1]}”",
                "Seen": f"{seen_V[v]:,} times",
                "Its expert": str(expert_V[v]),
                "Goes there": f"{share_V[v]:.0%}",
            }
            for v in best
        ]
        chance = layer.chance_vocabulary or 0.0
        return Vocabulary(
            rows,
            f"The {layer.vocabulary_ids} tokens that occur ten times or more go to their favourite "
            f"expert {layer.vocabulary:.0%} of the time; with tokens shuffled it is {chance:.0%}. "
            f"The firmest {len(rows)} are these:",
        )

    def repetition(self) -> list[Line]:
        """How often the next token has the same expert, first choice and any, per layer.

        Layers without neighbours that have experts are left out; empty if there are no others.
        """
        first = self._line(
            "Same first choice", lambda one: one.repeat_first, lambda one: one.chance_repeat_first
        )
        both = self._line(
            "Any choice in common", lambda one: one.repeat_any, lambda one: one.chance_repeat_any
        )
        lines = [first] if self.trace.k == 1 else [first, both]
        return [line for line in lines if line.layers]

    def repetition_rows(self) -> list[dict[str, str]]:
        """First choices that repeat, by kind of text and layer, as Mixtral's table 5."""
        trace, domain_N = self.trace, self.trace.domain_N
        if domain_N is None:
            return []
        shown = np.unique(np.linspace(0, trace.n_layers - 1, 3).astype(int)).tolist()
        rows = [{"Text": name} for name in trace.domains[:MAX_ROWS]]
        for i in shown:
            token_P, again_P = metrics.repeats(trace.routing(i), 0, trace.sequence_N)
            own_P = domain_N[token_P] == domain_N[token_P + 1]
            label_P, again_P = domain_N[token_P[own_P]], again_P[own_P]
            n_D = np.bincount(label_P, minlength=len(trace.domains))
            again_D = np.bincount(label_P, again_P, len(trace.domains))
            for row, n, again in zip(rows, n_D.tolist(), again_D.tolist(), strict=False):
                row[f"Layer {trace.layers[i]}"] = f"{again / n:.1%}" if n else "-"
        return rows

    def pairs(self, at: int, adjacent: bool) -> Drawn:
        """Share of an expert's tokens that also go to another; of many, the busiest experts."""
        trace, layer = self.trace, self.report.layers[at]
        best = layer.top_adjacent_pairs if adjacent else layer.top_pairs
        chance = layer.chance_adjacent_pair if adjacent else layer.chance_pair
        shown = self._busiest(at, MAX_PAIRED)
        cut = f" Shown are the {len(shown)} busiest." if len(shown) < trace.n_experts else ""
        closest = (
            f"Closest: {best[0].share:.0%} of the tokens of expert {best[0].expert} also go to "
            f"expert {best[0].other}; the mean pair, if" if best else "The mean pair, if"
        )  # fmt: skip
        return Drawn(
            tuple(str(e) for e in shown.tolist()),
            tuple(shown.tolist()),
            _together(trace.routing(at), adjacent, shown),
            f"{closest} experts were dealt at random, would have {chance:.1%}.{cut}",
        )

    def devices(self, at: int, kind: str, n_devices: int, text: str = "") -> Drawn:
        """Load of each device in fair shares, measured on every second stretch of the tokens.

        Parameters
        ----------
        kind
            A name in `homes.PLACEMENTS`, or `homes.WRITTEN`.
        text
            Device of each expert as people write it, for `homes.WRITTEN`.

        Raises
        ------
        ValueError
            If what is written is no placement.
        """
        trace = self.trace
        stretch = max(1, min(homes.STRETCH, trace.n_tokens // 2))
        seen_N = np.arange(trace.n_tokens) // stretch % 2 == 0
        expert_NK = trace.expert_LNK[at]
        first_E, second_E = (
            np.bincount(part[part >= 0], minlength=trace.n_experts)
            for part in (expert_NK[seen_N], expert_NK[~seen_N])
        )
        if kind == homes.WRITTEN:
            device_E = homes.read_devices(text, trace.n_experts)
        else:
            device_E = homes.PLACEMENTS[kind](first_E, n_devices)
        load_D = np.bincount(device_E, weights=second_E)
        factor = metrics.overload_factor(second_E, device_E)
        return Drawn(
            ("load",),
            tuple(range(load_D.size)),
            metrics.utilisation(load_D)[None],
            f"Overload factor {factor:.2f}: the busiest device, number {load_D.argmax()}, has "
            f"{factor:.2f} times the mean load, and all others wait for it. Measured on every "
            f"second stretch of {stretch} tokens; what is learnt, is learnt on the others.",
        )

    def saturation(self, earlier: YourModel) -> Line:
        """Share of each token's experts that it had in another trace already, per layer.

        Raises
        ------
        ValueError
            If the traces differ in tokens, layers or experts.
        """
        mine, other = self.trace, earlier.trace
        check_same_text(other, mine)
        value_L = tuple(
            metrics.saturation(other.expert_LNK[i], mine.expert_LNK[i])
            for i in range(mine.n_layers)
        )
        chance_L = tuple(
            metrics.random_saturation(other.expert_LNK[i], mine.expert_LNK[i], mine.n_experts)
            for i in range(mine.n_layers)
        )
        return Line("Already chosen", mine.layers, value_L, chance_L)

    def as_json(self) -> dict[str, Any]:
        """All figures and both checks."""
        return {
            "report": self.report.as_json(),
            "myths": [check.as_json() for check in self.myths],
        }

    def _line(
        self,
        title: str,
        value: Callable[[LayerReport], float | None],
        chance: Callable[[LayerReport], float | None] | None = None,
    ) -> Line:
        """Values of the layers of which there is one."""
        said = [(layer, v) for layer in self.report.layers if (v := value(layer)) is not None]
        return Line(
            title,
            tuple(layer.layer for layer, _ in said),
            tuple(v for _, v in said),
            tuple(c for layer, _ in said if (c := chance(layer)) is not None) if chance else (),
        )

    def _load(self, at: int) -> np.ndarray:
        return np.asarray(self.report.layers[at].load)

    def _busiest(self, at: int, most: int) -> np.ndarray:
        """Numbers of the busiest experts of a layer, in order of number."""
        return np.sort(np.argsort(-self._load(at), kind="stable")[: max(most, 1)])


def _shares(
    routing: Routing, domain_N: np.ndarray, n_domains: int, shown: np.ndarray
) -> np.ndarray:
    """Share of the first domains' assignments that some experts get, (domains, shown)."""
    label_A = domain_N[routing.token_A]
    column_E = np.full(routing.n_experts, -1)
    column_E[shown] = np.arange(len(shown))
    column_A = column_E[routing.expert_A]
    drawn_A = (label_A < n_domains) & (column_A >= 0)
    count_DE = np.zeros((n_domains, len(shown)))
    np.add.at(count_DE, (label_A[drawn_A], column_A[drawn_A]), 1)
    all_D = np.bincount(label_A, minlength=n_domains)[:n_domains]
    return np.asarray(count_DE / np.maximum(all_D[:, None], 1))


def _together(routing: Routing, adjacent: bool, shown: np.ndarray) -> np.ndarray:
    """Co-activation of some experts, (shown, shown); the diagonal is 1, or 0 by rank."""
    expert_P, other_P, count_P = pair_counts(routing, adjacent)
    drawn_P = np.isin(expert_P, shown) & np.isin(other_P, shown)
    one, other = (np.searchsorted(shown, pair[drawn_P]) for pair in (expert_P, other_P))
    share_SS = np.zeros((len(shown), len(shown)))
    share_SS[one, other] = share_SS[other, one] = count_P[drawn_P]
    share_SS /= np.maximum(routing.load[shown], 1)[:, None]
    if not adjacent:
        np.fill_diagonal(share_SS, routing.load[shown] > 0)
    return share_SS


def _from_to(group: np.ndarray) -> str:
    """Places of a group of experts in the order of their loads."""
    low, high = int(group[0]) + 1, int(group[-1]) + 1
    return f"place {low}" if low == high else f"places {low} to {high}"
