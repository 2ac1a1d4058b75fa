"""What a trace says: every figure of every layer, each beside what chance would give."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from ..balance.device_map import contiguous_devices
from ..checkpoints.header import read_limited
from ..checkpoints.strict_json import parse_json
from ..contingency import pair_counts
from ..errors import CheckpointError, check_int
from ..routing import Routing
from . import Trace
from .chance import by_chance, mean_or_none, strongest_domain

MIN_SEEN = 10  # of a token id, to count in the vocabulary: as in OLMoE's script
N_PAIRS = 5
MAX_SHARES = 1 << 20  # of domains and experts in all layers, beyond which they are not listed
MAX_PLACEMENT_BYTES = 1 << 24
LEGEND = (
    "In brackets: by chance. MaxVio: busiest expert over the mean, less 1. pair: of the first "
    "one's tokens, those that also chose the second. domain: nats that experts tell of it. "
    "vocab.: share of a token's favourite expert. first, any: neighbours with the same first "
    "choice, with any in common. sat.: share of the later trace's experts that a token had "
    "already. dev.: load of the busiest device over the mean."
)


@dataclass(frozen=True)
class Pair:
    """Two experts, and the share of the first one's tokens that also chose the second."""

    expert: int
    other: int
    share: float


@dataclass(frozen=True)
class LayerReport:
    """Figures of one layer; fields `chance_...` are baselines, None is what cannot be computed.

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
        only; and what random choices give a pair on average, `metrics.random_coactivation`.
    domain_share
        Share of each domain's assignments per expert, (domains, E), or None: without domains, and
        where all layers together would list more than a million.
    domain_information, chance_domain_information
        `metrics.label_information` of the domains in nats, and with the tokens' experts shuffled.
    strongest_domain, chance_strongest_domain
        Highest share of a domain's assignments at one expert, times E; and with the tokens' experts
        shuffled.
    vocabulary, chance_vocabulary, vocabulary_ids
        Mean over token ids seen ten times or more of the share of their favourite first choice;
        with the experts shuffled among the tokens; and the number of such ids.
    repeat_first, chance_repeat_first, same_load_repeat_first
        Share of neighbours with the same first choice; 1 / E; and for this layer's first choices in
        random order. None if no neighbours have experts.
    repeat_any, chance_repeat_any
        Share of neighbours with any expert in common; and for random choices, as many for each
        token as it has, `metrics.chance_repetition`.
    saturation, saturation_first
        Against the other trace: share of its experts that this one had already; of first choices.
        None if it gives no token an expert.
    chance_saturation, chance_saturation_first
        The same for random choices, `metrics.random_saturation`.
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
    strongest_domain: float | None
    chance_strongest_domain: float | None
    vocabulary: float | None
    chance_vocabulary: float | None
    vocabulary_ids: int
    repeat_first: float | None
    chance_repeat_first: float | None
    same_load_repeat_first: float | None
    repeat_any: float | None
    chance_repeat_any: float | None
    saturation: float | None
    saturation_first: float | None
    chance_saturation: float | None
    chance_saturation_first: float | None
    overload: float | None


@dataclass(frozen=True)
class TraceReport:
    """Figures of a trace; `k` is the most experts that a token has, `mean_k` their mean."""

    model: str
    n_tokens: int
    n_experts: int
    k: int
    mean_k: float
    domains: tuple[str, ...]
    layers: tuple[LayerReport, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for `json.dumps`."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return one short row per layer for a table, without empty columns; see `LEGEND`."""
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
                "sat.": _beside(layer.saturation, layer.chance_saturation, ".0%"),
                "dev.": layer.overload,
            }
            rows.append(cells)
        filled = [name for name in rows[0] if any(row[name] is not None for row in rows)]
        return [{name: "-" if row[name] is None else row[name] for name in filled} for row in rows]


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
        If the other trace is not of the same tokens, layers and experts, the placement has another
        shape, or tokens have too many experts to count their pairs.
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
        trace.model, trace.n_tokens, trace.n_experts, trace.k, trace.mean_k, trace.domains,
        tuple(layers),
    )  # fmt: skip


def _layer(
    trace: Trace,
    index: int,
    against: Trace | None,
    device_E: np.ndarray | None,
    rng: np.random.Generator,
) -> LayerReport:
    routing = trace.routing(index)
    n_experts, domain_N, ids_N = trace.n_experts, trace.domain_N, trace.token_ids_N
    vocabulary, n_ids = _vocabulary(routing, ids_N)
    chance = by_chance(routing, domain_N, ids_N, MIN_SEEN, rng)
    domain_share = domain_information = strongest = None
    if domain_N is not None and routing.n_assignments:
        if trace.n_layers * len(trace.domains) * n_experts <= MAX_SHARES:
            domain_share = metrics.specialisation(routing, domain_N, len(trace.domains)).tolist()
        domain_information = metrics.label_information(routing, domain_N)
        strongest = strongest_domain(routing, domain_N)[2]
    repeat_first, repeat_any = (
        mean_or_none(metrics.repeats(routing, rank, trace.sequence_N)[1]) for rank in (0, None)
    )
    paired = repeat_first is not None  # some tokens have neighbours
    saturation: tuple[float | None, float | None] = None, None
    saturation_first = saturation
    if against is not None:
        mine, final = trace.expert_LNK[index], against.expert_LNK[index]
        saturation = _saturation(mine, final, n_experts)
        saturation_first = _saturation(mine[:, :1], final[:, :1], n_experts)
    return LayerReport(
        layer=trace.layers[index],
        load=routing.load.tolist(),
        max_vio=metrics.max_vio(routing.load),
        dead_share=metrics.dead_experts(routing.load) / n_experts,
        effective_experts=metrics.effective_experts(routing.load),
        router_information=_router_information(routing),
        top_pairs=top_pairs(routing),
        top_adjacent_pairs=top_pairs(routing, adjacent=True),
        chance_pair=metrics.random_coactivation(routing),
        chance_adjacent_pair=metrics.random_coactivation(routing, adjacent=True),
        domain_share=domain_share,
        domain_information=domain_information,
        chance_domain_information=chance.information,
        strongest_domain=strongest,
        chance_strongest_domain=chance.strongest,
        vocabulary=vocabulary,
        chance_vocabulary=chance.vocabulary,
        vocabulary_ids=n_ids,
        repeat_first=repeat_first,
        chance_repeat_first=metrics.random_repetition(n_experts, 1) if paired else None,
        same_load_repeat_first=_same_load(routing) if paired else None,
        repeat_any=repeat_any,
        chance_repeat_any=metrics.chance_repetition(routing, trace.sequence_N) if paired else None,
        saturation=saturation[0],
        saturation_first=saturation_first[0],
        chance_saturation=saturation[1],
        chance_saturation_first=saturation_first[1],
        overload=None if device_E is None else metrics.overload_factor(routing.load, device_E),
    )


def top_pairs(routing: Routing, adjacent: bool = False, n_pairs: int = N_PAIRS) -> list[Pair]:
    """Return the pairs of different experts with the strongest co-activation, best first."""
    low_P, high_P, count_P = pair_counts(routing, adjacent)
    load_E = np.bincount(routing.expert_A, minlength=routing.n_experts)
    expert_P, partner_P = np.concatenate([low_P, high_P]), np.concatenate([high_P, low_P])
    share_P = np.tile(count_P, 2) / load_E[expert_P]
    if len(share_P) > n_pairs:
        kept = share_P >= np.partition(share_P, -n_pairs)[-n_pairs]
        expert_P, partner_P, share_P = expert_P[kept], partner_P[kept], share_P[kept]
    best = np.lexsort((partner_P, expert_P, -share_P))[:n_pairs].tolist()
    return [Pair(int(expert_P[p]), int(partner_P[p]), float(share_P[p])) for p in best]


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
        return np.tile(contiguous_devices(n_experts, n_devices), (n_layers, 1))
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


def _same_load(routing: Routing) -> float:
    """Chance that two of the layer's tokens have the same first choice."""
    first_E = np.bincount(routing.expert_A[routing.rank_A == 0], minlength=routing.n_experts)
    n_first = int(first_E.sum())
    return float((first_E * (first_E - 1)).sum() / (n_first * (n_first - 1)))


def _saturation(
    mine_NK: np.ndarray, final_NK: np.ndarray, n_experts: int
) -> tuple[float | None, float | None]:
    if not (final_NK >= 0).any():
        return None, None
    return (
        metrics.saturation(mine_NK, final_NK),
        metrics.random_saturation(mine_NK, final_NK, n_experts),
    )


def _vocabulary(routing: Routing, ids_N: np.ndarray | None) -> tuple[float | None, int]:
    if ids_N is None:
        return None, 0
    share_V = metrics.vocabulary_specialisation(routing, ids_N, MIN_SEEN)[2]
    return mean_or_none(share_V), len(share_V)


def _router_information(routing: Routing) -> float | None:
    if routing.logits_NE is None or not routing.n_tokens:
        return None
    logits_NE = routing.logits_NE.astype(np.float64)
    weight_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    return metrics.mutual_information(weight_NE)


def check_same_text(trace: Trace, against: Trace) -> None:
    """Raise a ValueError unless both traces are of the same tokens, layers and experts."""
    mine_N, other_N = trace.token_ids_N, against.token_ids_N
    for name, same in (
        ("n_tokens", trace.n_tokens == against.n_tokens),
        ("layers", trace.layers == against.layers),
        ("n_experts", trace.n_experts == against.n_experts),
        ("token_ids", mine_N is None or other_N is None or np.array_equal(mine_N, other_N)),
    ):
        if not same:
            raise ValueError(
                f"against: got a trace with other {name}, allowed is one of the same text, "
                "layers and experts"
            )


def _beside(value: float | None, chance: float | None, form: str) -> str | None:
    if value is None or chance is None:
        return None
    return f"{value:{form}} ({chance:{form}})"
