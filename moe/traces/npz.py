"""Traces as .npz archives of plain arrays, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.archives import Limits
from ..checkpoints.npz import read_npz
from ..errors import CheckpointError
from .trace import MAX_TOKEN_TEXT, Trace, make_trace

FORMAT = "moescope-trace-1"
REQUIRED = ("format", "n_experts", "experts", "weights")
OPTIONAL = (
    "token_ids", "model", "layers", "logits", "tokens", "sequences", "domain", "domains", "context",
)  # fmt: skip
MAX_RATIO = 100  # of unpacked to packed bytes; choices of a collapsed router shrink a lot


def write_npz(trace: Trace, path: str | Path) -> None:
    """Write a trace as .npz; the same trace gives the same bytes."""
    with Path(path).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays_of(trace))


def arrays_of(trace: Trace) -> dict[str, Any]:
    """Arrays of a trace by the names that they have in a file."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "model": np.array(trace.model),
        "layers": np.array(trace.layers, np.int32),
        "n_experts": np.array(trace.n_experts, np.int32),
        "experts": trace.expert_LNK,
        "weights": trace.weight_LNK,
        "tokens": np.array(trace.tokens, np.str_),
        "sequences": trace.sequence_N,
    }
    if trace.token_ids_N is not None:
        arrays["token_ids"] = trace.token_ids_N
    if trace.context is not None:
        arrays["context"] = np.array(trace.context, np.int64)
    if trace.logits_LNE is not None:
        arrays["logits"] = trace.logits_LNE
    if trace.domain_N is not None:
        arrays |= {"domain": trace.domain_N, "domains": np.array(trace.domains, np.str_)}
    return arrays


def read_npz_trace(source: bytes | str | Path, max_bytes: int) -> Trace:
    """Read a trace from an .npz archive.

    Raises
    ------
    CheckpointError
        If it is no such archive, if it would unpack to more than `max_bytes`, or its arrays are
        not a trace.
    """
    limits = Limits(max_bytes, max_bytes, len(REQUIRED + OPTIONAL), MAX_RATIO)
    arrays = read_npz(source, limits)
    for name in arrays:
        if name not in REQUIRED + OPTIONAL:
            allowed = ", ".join(REQUIRED + OPTIONAL)
            raise CheckpointError(f"file: got array {name[:40]!r}, allowed are {allowed}")
    for name in REQUIRED:
        if name not in arrays:
            raise CheckpointError(
                f"file: got no array {name!r}, allowed is a trace: {', '.join(REQUIRED)}"
            )
    return _trace(arrays)


def _trace(arrays: dict[str, np.ndarray]) -> Trace:
    says = _scalar("format", arrays["format"], "U")
    if says != FORMAT:
        raise CheckpointError(f"format: got {says[:40]!r}, allowed is {FORMAT!r}")
    texts = {name: _texts(name, arrays[name]) for name in ("tokens", "domains") if name in arrays}
    layers = arrays.get("layers")
    if layers is not None and (layers.ndim != 1 or layers.dtype.kind not in "iu"):
        raise CheckpointError(f"layers: got {layers.dtype} of shape {layers.shape}, allowed: (L,)")
    return make_trace(
        arrays["experts"],
        arrays["weights"],
        _scalar("n_experts", arrays["n_experts"], "iu"),
        arrays.get("token_ids"),
        model=_scalar("model", arrays["model"], "U") if "model" in arrays else "",
        layers=None if layers is None else layers.tolist(),
        logits_LNE=arrays.get("logits"),
        tokens=texts.get("tokens"),
        sequence_N=arrays.get("sequences"),
        domain_N=arrays.get("domain"),
        domains=texts.get("domains", ()),
        context=_scalar("context", arrays["context"], "iu") if "context" in arrays else None,
    )


def _scalar(name: str, array: np.ndarray, kinds: str) -> Any:
    if array.size != 1 or array.dtype.kind not in kinds:
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is one "
            f"{'text' if kinds == 'U' else 'whole number'}"
        )
    return array.reshape(-1)[0].item()


def _texts(name: str, array: np.ndarray) -> list[str]:
    text = array.dtype.kind == "U" and array.dtype.itemsize <= 4 * MAX_TOKEN_TEXT
    if array.ndim != 1 or not text:
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is a row of short texts"
        )
    texts: list[str] = array.tolist()
    return texts
