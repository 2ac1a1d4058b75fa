"""Files that the page on your own model opens: which, how large, how much is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np

from ...errors import CheckpointError
from ...routers import make_router
from ...traces import Trace, load_trace, read_logits_csv
from ...traces.myths import MythCheck, check_myths
from ...traces.samples import SAMPLES

MAX_MB = 20  # of an uploaded file
MAX_BYTES = 120 * 2**20  # of what it unpacks to
MAX_VALUES = 2_500_000  # rows times columns of ratings
MOST = {"experts": 1024, "layers": 200, "domains": 1000, "sequences": 50_000}
# What is analysed of a larger file takes less than two seconds.
MAX_CHOICES = 300_000  # tokens times (layers times k, and what a token costs apart from them)
MYTH_CHOICES, MYTH_LAYERS = 80_000, 8  # for the beliefs, which are measured some hundred times
TOKEN_COST = 8
# Of a cache of experts: places looked at in a fifth of a second, what a choice costs beside them,
# and each kind of text in a layer; and how many kinds.
MAX_LOOKS, CHOICE_LOOKS, TASK_LOOKS, MOST_TASKS = 60_000_000, 20, 150_000, 64
MAX_CELLS = 1 << 22  # tokens times experts: a table of one layer
TRACE_KINDS = (".npz", ".parquet", ".csv")
CHECKPOINT_KINDS = (".zip", ".safetensors")
TRACE_COMMAND = "moe trace --model ./my-model --text my-text.txt --out trace.npz"
TITLES = {sample.title: sample for sample in SAMPLES}
EARLIER = {"balanced": "early"}  # samples of the same model and text


def earlier_of(title: str) -> str | None:
    """Title of the sample of the same model at an earlier step, if there is one."""
    name = EARLIER.get(TITLES[title].name)
    return next((title for title, sample in TITLES.items() if sample.name == name), None)


def is_checkpoint(name: str) -> bool:
    """Whether a file of that name would hold weights, not routing."""
    return PurePath(name).suffix.lower() in CHECKPOINT_KINDS


def is_ratings(name: str) -> bool:
    """Whether a file of that name would hold ratings, by which a router has to choose."""
    return PurePath(name).suffix.lower() == ".csv"


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
    if is_ratings(name):
        router, model = make_router("topk", k=k), PurePath(name).stem[:80]
        trace = read_logits_csv(raw, router, model, MAX_BYTES, MAX_VALUES, MOST["experts"])
    else:
        trace = load_trace(raw, MAX_BYTES)
    _check_sizes(trace)
    return trace


def _check_sizes(trace: Trace) -> None:
    """Refuse what would take too long to look at, before any of it is looked at."""
    sizes = {
        "experts": trace.n_experts,
        "layers": trace.n_layers,
        "domains": len(trace.domains),
        "sequences": len(trace.start_S),
    }
    for what, most in MOST.items():
        if sizes[what] > most:
            raise CheckpointError(f"file: got {sizes[what]:,} {what}, allowed are {most:,}")


def shortened(trace: Trace, most: int = MAX_CHOICES) -> Trace:
    """Return the trace, of every sequence only the first part if it has more than `most` choices.

    Raises
    ------
    CheckpointError
        If it has no token, or too many choices for each.
    """
    per_token = trace.n_layers * trace.k
    tokens = min(most // (per_token + TOKEN_COST), MAX_CELLS // trace.n_experts)
    if not trace.n_tokens or not tokens:
        raise CheckpointError(
            f"file: got {trace.n_tokens} tokens with {per_token} choices each, allowed are one or "
            f"more tokens with at most {most:,}"
        )
    if trace.n_tokens <= tokens:
        return trace
    length_S = np.diff([*trace.start_S, trace.n_tokens])
    place_N = np.arange(trace.n_tokens) - np.repeat(trace.start_S, length_S)
    kept_N = place_N * trace.n_tokens < np.repeat(length_S, length_S) * tokens
    return trace.part(np.flatnonzero(kept_N)[:tokens])


def beliefs(trace: Trace) -> tuple[MythCheck, ...]:
    """Hold both beliefs against the trace, or as much of it as does not take too long."""
    part = for_beliefs(trace)
    checks = check_myths(part)
    if part is trace:
        return tuple(checks)
    scope = f"Measured on {part.n_tokens:,} tokens in {part.n_layers} of the layers."
    return tuple(replace(check, note=f"{check.note} {scope}".strip()) for check in checks)


def for_beliefs(trace: Trace) -> Trace:
    """Return the trace of some layers, evenly apart, if all of them would take too long."""
    per_layer = max(trace.n_tokens * (trace.k + TOKEN_COST), 1)
    n_layers = max(1, min(trace.n_layers, MYTH_LAYERS, MYTH_CHOICES // per_layer))
    return shortened(_some_layers(trace, n_layers), MYTH_CHOICES)


def for_cache(trace: Trace, slots: Sequence[int]) -> Trace:
    """Return as much of the trace as caches of these sizes are replayed on soon enough.

    Of very many kinds of text that is the first ones, then some layers, evenly apart, and of one
    layer that still takes too long the first part of every document.
    """
    if trace.domain_N is not None and len(trace.domains) > MOST_TASKS:
        trace = trace.part(np.flatnonzero(trace.domain_N < MOST_TASKS))
    each = sum(slots) + CHOICE_LOOKS
    apart = TASK_LOOKS * min(max(len(trace.domains), 1), MOST_TASKS)
    n_layers = MAX_LOOKS // (trace.n_tokens * trace.k * each + apart)
    if n_layers:
        return _some_layers(trace, min(trace.n_layers, n_layers))
    one = _some_layers(trace, 1)
    n_tokens = max((MAX_LOOKS - apart) // (trace.k * each), 1)
    return shortened(one, n_tokens * (one.k + TOKEN_COST))


def _some_layers(trace: Trace, n_layers: int) -> Trace:
    """So many layers of a trace, evenly apart."""
    if n_layers == trace.n_layers:
        return trace
    # The middle ones of as many parts: no two of them round to one.
    at_l = (2 * np.arange(n_layers) + 1) * trace.n_layers // (2 * n_layers)
    return replace(
        trace,
        layers=tuple(trace.layers[at] for at in at_l.tolist()),
        expert_LNK=trace.expert_LNK[at_l],
        weight_LNK=trace.weight_LNK[at_l],
        logits_LNE=None,
    )
