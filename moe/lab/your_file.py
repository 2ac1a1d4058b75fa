"""Files that the page on your own model opens: which, how large, how much is looked at."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np

from ..errors import CheckpointError
from ..routers import make_router
from ..traces import Trace, load_trace, read_logits_csv
from .samples import SAMPLES

MAX_MB = 20  # of an uploaded file
MAX_BYTES = 120 * 2**20  # of what it unpacks to
MAX_CHOICES = 1_000_000  # layers times tokens times k that are analysed: some seconds
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


def is_ratings(name: str) -> bool:
    """Say whether a file of that name would hold ratings, by which a router has to choose."""
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
        router = make_router("topk", k=k)
        return read_logits_csv(raw, router, PurePath(name).stem[:80], MAX_BYTES)
    return load_trace(raw, MAX_BYTES)


def shortened(trace: Trace, most: int = MAX_CHOICES) -> Trace:
    """Return the trace, of every sequence only the first part if it has more than `most` choices.

    Raises
    ------
    CheckpointError
        If it has no token, or too many choices for each.
    """
    per_token = trace.n_layers * max(trace.k, 1)
    tokens = most // per_token
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
