"""What a trace says: every figure of every layer, each beside what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from ..checkpoints.header import read_limited
from ..checkpoints.strict_json import parse_json
from ..errors import CheckpointError, check_int
from ..routing import Routing
from ..traces import Trace

MIN_SEEN = 10  # of a token id, to count in the vocabulary: as in OLMoE's script
N_PAIRS = 5
N_SHUFFLES = 20
MAX_PLACEMENT_BYTES = 1 << 24
LEGEND = (
    "In brackets: by chance. MaxVio: busiest expert over the mean, less 1. pair: of the first "
    "one's tokens, those that also chose the second. domain: nats that experts tell of it. "
    "vocab.: share of a token's favourite expert. first, any: neighbours with the same first "
    "choice, with any in common. sat.: experts that the later trace kept. dev.: load of the "
    "busiest device over the mean."
)


@dataclass(frozen=True)
class Pair:
    """Two experts, and the share of the first one's tokens that also chose the second."""

    expert: int
    other: int
    share: float


@dataclass(frozen=True)
class LayerReport:
    """Figures of one layer; `chance_` fields are the baselines, None what cannot be said.

    Attributes
    ----------
    layer
        Its number in the model.
    load
        Assignments per expert, as asked for.
    max_vio, dead_share, effective_experts
        See `moe.metrics`; the share of experts without a token of this text.
    router_information
        `metrics.mutual_information` of the softmax of the logits, in nats.
    top_pairs, top_adjacent_pairs, chance_pair, chance_adjacent_pair
        Strongest co-activations, over all pairs of a token's choices and over neighbours in rank
        only; and their means for random choices.
    domain_share
        Share of each domain's assignments per expert, (domains, E), or None.
    domain_information, chance_domain_information
        `metrics.label_information` of the domains in nats, and with the tokens' experts shuffled.
    vocabulary, chance_vocabulary, vocabulary_ids
        Mean over token ids seen ten times or more of the share of their favourite first choice;
        with the experts shuffled among the tokens; and the number of such ids.
    repeat_first, chance_repeat_first, same_load_repeat_first
        Share of neighbours with the same first choice; 1 / E; and for random choices with this
        layer's load.
    repeat_any, chance_repeat_any
        Share of neighbours with any expert in common; 1 - C(E-k, k) / C(E, k).
    saturation, saturation_first
        Against the other trace: share of its experts that this one had already; of first choices.
    overload
        Load of the busiest device over the mean, with the given placement.
    """

    layer: int
    load: list[int]
    max_vio: float
    dead_share: float
    effective_experts: float
    router_information: float | None
    top_pairs: list[Pair]
    top_adjacent_pairs: list[Pair]
    chance_pair: float
    chance_adjacent_pair: float
    domain_share: list[list[float]] | None
    domain_information: float | None
    chance_domain_information: float | None
    vocabulary: float | None
    chance_vocabulary: float | None
    vocabulary_ids: int
    repeat_first: float
    chance_repeat_first: float
    same_load_repeat_first: float
    repeat_any: float
    chance_repeat_any: float
    saturation: float | None
    saturation_first: float | None
    overload: float | None


@dataclass(frozen=True)
class TraceReport:
    """Figures of a trace; `k` is the most experts that a token has."""

    model: str
    n_tokens: int
    n_experts: int
    k: int
    domains: tuple[str, ...]
    layers: tuple[LayerReport, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """One short row a layer, for people: `LEGEND` says of what; no column is empty."""
        rows = []
        for layer in self.layers:
            best = layer.top_pairs[0] if layer.top_pairs else None
            cells: dict[str, Any] = {
                "layer": layer.layer,
                "MaxVio": layer.max_vio,
                "idle": f"{layer.dead_share:.0%}",
                "pair": f"{best.expert}-{best.other} {best.share:.0%}" if best else "-",
                "domain": _beside(layer.domain_information, layer.chance_domain_information, ".2f"),
                "vocab.": _beside(layer.vocabulary, layer.chance_vocabulary, ".0%"),
                "first": _beside(layer.repeat_first, layer.chance_repeat_first, ".0%"),
                "any": _beside(layer.repeat_any, layer.chance_repeat_any, ".0%"),
                "sat.": None if layer.saturation is None else f"{layer.saturation:.0%}",
                "dev.": layer.overload,
            }
            rows.append(cells)
        said = [name for name in rows[0] if any(row[name] is not None for row in rows)]
        return [{name: "-" if row[name] is None else row[name] for name in said} for row in rows]


def analyse_trace(
    trace: Trace,
    against: Trace | None = None,
    device_LE: np.ndarray | None = None,
    seed: int = 0,
) -> TraceReport:
    """Compute every figure of every layer.

    Parameters
    ----------
    against
        A later trace of the same text and layers, for saturation: the final checkpoint's.
    device_LE
        Device of each expert in each layer, (L, E), as from `read_placement`.
    seed
        Of the shuffles behind the chance figures.

    Raises
    ------
    ValueError
        If the other trace is not of the same tokens, layers, k and experts, or the placement has
        another shape.
    """
    if against is not None:
        check_same_text(trace, against)
    if device_LE is not None and device_LE.shape != (trace.n_layers, trace.n_experts):
        raise ValueError(
            f"device_LE: got shape {device_LE.shape}, allowed is "
            f"({trace.n_layers}, {trace.n_experts})"
        )
    rng = np.random.default_rng(check_int("seed", seed, 0))
    layers = []
    for index in range(trace.n_layers):
        device_E = None if device_LE is None else device_LE[index]
        layers.append(_layer(trace, index, against, device_E, rng))
    return TraceReport(
        trace.model, trace.n_tokens, trace.n_experts, trace.k, trace.domains, tuple(layers)
    )


def _layer(
    trace: Trace,
    index: int,
    against: Trace | None,
    device_E: np.ndarray | None,
    rng: np.random.Generator,
) -> LayerReport:
    routing = trace.routing(index)
    shuffled = [_shuffled(trace, index, rng) for _ in range(N_SHUFFLES)]
    k, n_experts = trace.k, trace.n_experts
    per_expert = max(n_experts - 1, 1)
    first_E = np.bincount(routing.expert_A[routing.rank_A == 0], minlength=n_experts)
    first_share_E = first_E / max(first_E.sum(), 1)
    vocabulary, chance_vocabulary, n_ids = _vocabulary(routing, shuffled, trace.token_ids_N)
    domain_share = domain_information = chance_domain = None
    if trace.domain_N is not None and trace.domains:
        domain_share = metrics.specialisation(routing, trace.domain_N, len(trace.domains)).tolist()
        domain_information = metrics.label_information(routing, trace.domain_N)
        chance_domain = float(
            np.mean([metrics.label_information(other, trace.domain_N) for other in shuffled])
        )
    saturation = saturation_first = None
    if against is not None:
        mine, final = trace.expert_LNK[index], against.expert_LNK[index]
        saturation = metrics.saturation(mine, final)
        saturation_first = metrics.saturation(mine[:, :1], final[:, :1])
    return LayerReport(
        layer=trace.layers[index],
        load=routing.load.tolist(),
        max_vio=metrics.max_vio(routing.load),
        dead_share=metrics.dead_experts(routing.load) / n_experts,
        effective_experts=metrics.effective_experts(routing.load),
        router_information=_router_information(routing),
        top_pairs=top_pairs(metrics.coactivation(routing)),
        top_adjacent_pairs=top_pairs(metrics.adjacent_coactivation(routing)),
        chance_pair=(k - 1) / per_expert,
        chance_adjacent_pair=2 * (k - 1) / (k * per_expert),
        domain_share=domain_share,
        domain_information=domain_information,
        chance_domain_information=chance_domain,
        vocabulary=vocabulary,
        chance_vocabulary=chance_vocabulary,
        vocabulary_ids=n_ids,
        repeat_first=metrics.repetition(routing, 0, trace.sequence_N),
        chance_repeat_first=metrics.random_repetition(n_experts, 1),
        same_load_repeat_first=float((first_share_E**2).sum()),
        repeat_any=metrics.repetition(routing, None, trace.sequence_N),
        chance_repeat_any=metrics.random_repetition(n_experts, k),
        saturation=saturation,
        saturation_first=saturation_first,
        overload=None if device_E is None else metrics.overload_factor(routing.load, device_E),
    )


def top_pairs(share_EE: np.ndarray, n_pairs: int = N_PAIRS) -> list[Pair]:
    """Return the strongest pairs of different experts of a co-activation table, best first."""
    apart_EE = np.array(share_EE)
    np.fill_diagonal(apart_EE, 0)
    order = np.argsort(-apart_EE, axis=None, kind="stable")[:n_pairs]
    experts, others = np.unravel_index(order, apart_EE.shape)
    pairs = [
        Pair(int(e), int(o), float(apart_EE[e, o])) for e, o in zip(experts, others, strict=True)
    ]
    return [pair for pair in pairs if pair.share > 0]


def read_placement(text: str, trace: Trace) -> np.ndarray:
    """Return the device of each expert in each layer, (L, E) int64.

    Parameters
    ----------
    text
        A number of devices (experts in order, in equal blocks), or the path of a JSON file with a
        list of E device numbers, or one such list per layer.

    Raises
    ------
    CheckpointError
        If the file is not such a list.
    ValueError
        If the experts cannot be shared out evenly among that many devices.
    """
    n_layers, n_experts = trace.n_layers, trace.n_experts
    if text.isascii() and text.isdigit():
        n_devices = check_int("placement", int(text), 1, n_experts, "no device without an expert")
        if n_experts % n_devices:
            raise ValueError(f"placement: got {n_devices}, allowed is a divisor of {n_experts}")
        device_E = np.arange(n_experts) // (n_experts // n_devices)
        return np.tile(device_E, (n_layers, 1))
    what = "placement"
    value = parse_json(read_limited(Path(text), what, MAX_PLACEMENT_BYTES), what)
    try:
        table = np.array(value)
    except ValueError as error:
        raise CheckpointError(f"{what}: got lists of different lengths") from error
    fits = table.dtype.kind in "iu" and table.shape in ((n_experts,), (n_layers, n_experts))
    if not fits or table.min() < 0 or table.max() >= n_experts:
        raise CheckpointError(
            f"placement: got {table.dtype} of shape {table.shape}, allowed are device numbers from "
            f"0 below {n_experts}, ({n_experts},) or ({n_layers}, {n_experts})"
        )
    return np.broadcast_to(table, (n_layers, n_experts)).astype(np.int64)


def _shuffled(trace: Trace, index: int, rng: np.random.Generator) -> Routing:
    """The same choices at other tokens: the load stays, what it depends on is gone."""
    order_N = rng.permutation(trace.n_tokens)
    expert_NK = trace.expert_LNK[index][order_N]
    return Routing.from_choices(
        expert_NK, trace.weight_LNK[index][order_N], trace.n_experts, listed_NK=expert_NK >= 0
    )


def _vocabulary(
    routing: Routing, shuffled: Sequence[Routing], ids_N: np.ndarray
) -> tuple[float | None, float | None, int]:
    _, _, share_V = metrics.vocabulary_specialisation(routing, ids_N, MIN_SEEN)
    if not len(share_V):
        return None, None, 0
    chance = [metrics.vocabulary_specialisation(other, ids_N, MIN_SEEN)[2] for other in shuffled]
    means = [float(share.mean()) for share in chance if len(share)]
    return float(share_V.mean()), float(np.mean(means)) if means else None, len(share_V)


def _router_information(routing: Routing) -> float | None:
    if routing.logits_NE is None or not routing.n_tokens:
        return None
    logits_NE = routing.logits_NE.astype(np.float64)
    weight_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return metrics.mutual_information(weight_NE)


def check_same_text(trace: Trace, against: Trace) -> None:
    """Raise a ValueError unless both traces are of the same tokens, layers, k and experts."""
    for name, mine, other in (
        ("shape", trace.expert_LNK.shape, against.expert_LNK.shape),
        ("layers", trace.layers, against.layers),
        ("n_experts", trace.n_experts, against.n_experts),
        ("token_ids", trace.token_ids_N.tolist(), against.token_ids_N.tolist()),
    ):
        if mine != other:
            raise ValueError(
                f"against: got a trace with other {name}, allowed is one of the same text, "
                "layers and experts"
            )


def _beside(value: float | None, chance: float | None, form: str) -> str | None:
    if value is None or chance is None:
        return None
    return f"{value:{form}} ({chance:{form}})"
