"""Files that the page on your own model opens: which, how large, how much is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import numpy as np

from ..errors import CheckpointError
from ..routers import make_router
from ..traces import Trace, load_trace, read_logits_csv
from .samples import SAMPLES

MAX_MB = 20  # of an uploaded file
MAX_BYTES = 120 * 2**20  # of what it unpacks to
MAX_VALUES = 2_500_000  # rows times columns of ratings
# What is analysed of a larger one takes a second or two.
MAX_CHOICES = 250_000  # layers times tokens times k
MAX_TOKENS = 50_000
MAX_CELLS = 1 << 22  # tokens times experts: a table of one layer
MAX_FIGURES = 1_000_000  # layers times experts, each once and once more for every kind of text
MOST = {"experts": 1024, "layers": 512, "domains": 100, "sequences": 500}
TRACE_KINDS = (".npz", ".parquet", ".csv")
CHECKPOINT_KINDS = (".zip", ".safetensors")
TITLES = {sample.title: sample for sample in SAMPLES}
EARLIER = {"balanced": "early"}  # samples of the same model and text


def earlier_of(title: str) -> str | None:
    """Title of the sample of the same model at an earlier step, if there is one."""
    name = EARLIER.get(TITLES[title].name)
    return next((title for title, sample in TITLES.items() if sample.name == name), None)


def is_checkpoint(name: str) -> bool:
    """Say whether a file of that name would hold weights, not routing."""
    return PurePath(name).suffix.lower() in CHECKPOINT_KINDS


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
        router, model = make_router("topk", k=k), PurePath(name).stem[:80]
        trace = read_logits_csv(raw, router, model, MAX_BYTES, MAX_VALUES, MOST["experts"])
    else:
        trace = load_trace(raw, MAX_BYTES)
    _check_sizes(trace)
    return trace


def _check_sizes(trace: Trace) -> None:
    """Refuse what would take too long to look at, before any of it is looked at."""
    n_domains = len(trace.domains)
    found = {
        "experts": trace.n_experts,
        "layers": trace.n_layers,
        "domains": n_domains,
        "sequences": len(trace.start_S),
    }
    for what, most in MOST.items():
        if found[what] > most:
            raise CheckpointError(f"file: got {found[what]:,} {what}, allowed are {most:,}")
    figures = trace.n_layers * trace.n_experts * (1 + n_domains)
    if figures > MAX_FIGURES:
        raise CheckpointError(
            f"file: got {trace.n_layers} layers of {trace.n_experts} experts and {n_domains} "
            f"domains, allowed are {MAX_FIGURES:,} figures of them, which would be {figures:,}"
        )


def shortened(trace: Trace, most: int = MAX_CHOICES) -> Trace:
    """Return the trace, of every sequence only the first part if it has more than `most` choices.

    Raises
    ------
    CheckpointError
        If it has no token, or too many choices for each.
    """
    per_token = trace.n_layers * trace.k
    tokens = min(most // per_token, MAX_CELLS // trace.n_experts, MAX_TOKENS)
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
    at_N = np.flatnonzero(kept_N)[:tokens]
    return replace(
        trace,
        expert_LNK=trace.expert_LNK[:, at_N],
        weight_LNK=trace.weight_LNK[:, at_N],
        logits_LNE=None if trace.logits_LNE is None else trace.logits_LNE[:, at_N],
        token_ids_N=trace.token_ids_N[at_N],
        tokens=tuple(trace.tokens[n] for n in at_N.tolist()),
        sequence_N=trace.sequence_N[at_N],
        domain_N=None if trace.domain_N is None else trace.domain_N[at_N],
    )
