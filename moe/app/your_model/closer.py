"""What "Look closer" shows: layers, topics, words, neighbours, pairs, devices, a little memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import metrics
from ...cluster import homes
from ...contingency import pair_counts
from ...expert_cache.replay import replay
from ...routing import Routing
from ...traces.chance import strongest_domain
from ...traces.report import check_same_text
from .story import MAX_COLUMNS, MAX_MARKS, Drawn, Line, YourModel, busiest
from .upload import for_cache

MAX_PAIRED = 48  # experts in the picture of pairs
MAX_ROWS = 100  # kinds of text in a table
MIN_SEEN, LISTED = 10, 12  # of a token in the table of the vocabulary, and its rows
ROOM = 4, 2  # parts of the experts that a little memory keeps: a quarter, half


@dataclass(frozen=True)
class Listed:
    """Rows of a table, and what they say in words."""

    rows: list[dict[str, str]]
    words: str


def line(model: YourModel, title: str, figure: str) -> Line:
    """A figure of the report over those layers that have it, with its baseline if there is one."""
    layers = [layer for layer in model.report.layers if getattr(layer, figure) is not None]
    chance = [getattr(layer, f"chance_{figure}", None) for layer in layers]
    return Line(
        title,
        tuple(layer.layer for layer in layers),
        tuple(getattr(layer, figure) for layer in layers),
        tuple(value for value in chance if value is not None),
    )


def information_words(model: YourModel) -> str:
    """What the mutual information means."""
    return (
        "0 if every token rates the experts alike; "
        f"{np.log(model.trace.n_experts):.2f} if each is sure of one, and all are wanted alike."
    )


def domains(model: YourModel, at: int) -> Drawn | None:
    """Fair shares of every expert in each kind of text; None if the trace names no kinds."""
    trace, layer = model.trace, model.report.layers[at]
    if trace.domain_N is None or layer.strongest_domain is None:
        return None
    routing, domains = trace.routing(at), trace.domains[:MAX_MARKS]
    shown = busiest(model.load(at), min(MAX_COLUMNS, MAX_MARKS // len(domains)))
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


def vocabulary(model: YourModel, at: int) -> Listed:
    """Tokens that go nearly always to one expert."""
    trace, layer = model.trace, model.report.layers[at]
    if trace.token_ids_N is None:
        return Listed([], "The file does not say which tokens are the same: cannot tell.")
    if layer.vocabulary is None:
        return Listed([], "No token occurs ten times, so favourites cannot be measured.")
    routing = trace.routing(at)
    ids, expert_V, share_V = metrics.vocabulary_specialisation(routing, trace.token_ids_N, MIN_SEEN)
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
    return Listed(
        rows,
        f"The {layer.vocabulary_ids} tokens that occur ten times or more go to their favourite "
        f"expert {layer.vocabulary:.0%} of the time; with tokens shuffled it is {chance:.0%}. "
        f"The firmest {len(rows)} are these:",
    )


def repetition(model: YourModel) -> list[Line]:
    """How often the next token has the same expert, first choice and any, per layer.

    Layers without neighbours that have experts are left out; empty if there are no others.
    """
    first = line(model, "Same first choice", "repeat_first")
    both = line(model, "Any choice in common", "repeat_any")
    lines = [first] if model.trace.k == 1 else [first, both]
    return [measure for measure in lines if measure.layers]


def repetition_rows(model: YourModel) -> list[dict[str, str]]:
    """First choices that repeat, by kind of text and layer, as Mixtral's table 5."""
    trace, domain_N = model.trace, model.trace.domain_N
    if domain_N is None:
        return []
    shown = np.unique(np.linspace(0, trace.n_layers - 1, 3).astype(int)).tolist()
    rows = [{"Text": name} for name in trace.domains[:MAX_ROWS]]
    for i in shown:
        token_P, again_P = metrics.repeats(trace.routing(i), 0, trace.sequence_N)
        inside_P = domain_N[token_P] == domain_N[token_P + 1]
        label_P, again_P = domain_N[token_P[inside_P]], again_P[inside_P]
        n_D = np.bincount(label_P, minlength=len(trace.domains))
        again_D = np.bincount(label_P, again_P, len(trace.domains))
        for row, n, again in zip(rows, n_D.tolist(), again_D.tolist(), strict=False):
            row[f"Layer {trace.layers[i]}"] = f"{again / n:.1%}" if n else "-"
    return rows


def pairs(model: YourModel, at: int, adjacent: bool) -> Drawn:
    """Share of an expert's tokens that also go to another; of many, the busiest experts."""
    trace, layer = model.trace, model.report.layers[at]
    best = layer.top_adjacent_pairs if adjacent else layer.top_pairs
    chance = layer.chance_adjacent_pair if adjacent else layer.chance_pair
    shown = busiest(model.load(at), MAX_PAIRED)
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


def devices(model: YourModel, at: int, kind: str, n_devices: int, text: str = "") -> Drawn:
    """Load of each device in fair shares, measured on every second stretch of the tokens.

    Parameters
    ----------
    kind
        A name in `homes.PLACEMENTS`, or `homes.WRITTEN`.
    text
        Device of each expert as the visitor wrote it, for `homes.WRITTEN`.

    Raises
    ------
    ValueError
        If what is written is no placement.
    """
    trace = model.trace
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


def little_memory(model: YourModel) -> Listed:
    """How often an expert is there if a quarter or half of a layer's experts find room."""
    whole = model.trace
    slots = sorted({max(1, whole.n_experts // part) for part in ROOM})
    try:
        trace = for_cache(whole, slots)
        found = list(replay(trace, slots, ("lru", "pinned")))
    except ValueError:  # one token of each kind of text, say
        return Listed([], "The text is too short: its first half is the past, its second replayed.")
    rows = [
        {
            "Room for": f"{latest.slots} of {trace.n_experts} experts",
            "The latest used are there": f"{latest.hit_rate:.0%}",
            "The favourites of the first half": f"{favourites.hit_rate:.0%}",
            "Any so many": f"{latest.slots / trace.n_experts:.0%}",
        }
        for latest, favourites in zip(found[::2], found[1::2], strict=True)
    ]
    of = "each kind of text" if len(found[0].tasks) > 1 else "the text"
    n_layers = "every layer" if trace.n_layers == whole.n_layers else f"{trace.n_layers} layers"
    return Listed(
        rows,
        "If only some experts of a layer find room in fast memory, how often is a token's expert "
        f"there? The first half of {of} is the past, and the second half is replayed: "
        f"{int(found[0].tokens_T.sum()):,} tokens in {n_layers}. What other rules keep, and how "
        "fast it would write: `moe cache`.",
    )


def saturation(model: YourModel, earlier: YourModel) -> Line:
    """Share of each token's experts that it had in another trace already, per layer.

    Raises
    ------
    ValueError
        If the traces differ in tokens, layers or experts.
    """
    late, early = model.trace, earlier.trace
    check_same_text(early, late)
    layers = list(zip(early.expert_LNK, late.expert_LNK, strict=True))
    value_L = tuple(metrics.saturation(*choices) for choices in layers)
    chance_L = tuple(metrics.random_saturation(*choices, late.n_experts) for choices in layers)
    return Line("Already chosen", late.layers, value_L, chance_L)


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
    row_P, column_P = (np.searchsorted(shown, e_P[drawn_P]) for e_P in (expert_P, other_P))
    share_SS = np.zeros((len(shown), len(shown)))
    share_SS[row_P, column_P] = share_SS[column_P, row_P] = count_P[drawn_P]
    share_SS /= np.maximum(routing.load[shown], 1)[:, None]
    if not adjacent:
        np.fill_diagonal(share_SS, routing.load[shown] > 0)
    return share_SS
