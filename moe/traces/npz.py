"""Traces as .npz archives of plain arrays, without pickle."""

from __future__ import annotations

import io
import json
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
    texts = {"format": FORMAT, **_texts_of(trace)}
    arrays = _numbers_of(trace) | {name: np.array(text, np.str_) for name, text in texts.items()}
    with Path(path).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _numbers_of(trace: Trace) -> dict[str, np.ndarray]:
    numbers = {
        "layers": np.array(trace.layers, np.int32),
        "n_experts": np.array(trace.n_experts, np.int32),
        "experts": trace.expert_LNK,
        "weights": trace.weight_LNK,
        "logits": trace.logits_LNE,
        "token_ids": trace.token_ids_N,
        "sequences": trace.sequence_N,
        "domain": trace.domain_N,
    }
    if trace.context is not None:
        numbers["context"] = np.array(trace.context, np.int64)
    return {name: array for name, array in numbers.items() if array is not None}


def _texts_of(trace: Trace) -> dict[str, Any]:
    texts = {"model": trace.model, "tokens": trace.tokens}
    return texts if trace.domain_N is None else texts | {"domains": trace.domains}


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


def pack(arrays: dict[str, np.ndarray], document: Any) -> bytes:
    """Arrays and what JSON can hold, as the bytes that `unpack` takes apart.

    In the format for files every text takes the room of the longest, which a stranger chooses.
    """
    packed = io.BytesIO()
    text = np.frombuffer(json.dumps(document, ensure_ascii=False).encode(), np.uint8)
    np.savez(packed, allow_pickle=False, **arrays, document=text)
    return packed.getvalue()


def unpack(packed: bytes, max_bytes: int) -> tuple[dict[str, np.ndarray], Any]:
    """Take apart what `pack` made; nothing in it is run or trusted.

    Raises
    ------
    CheckpointError
        If it is anything else.
    """
    arrays = read_npz(packed, Limits(max_bytes, max_bytes))
    try:
        return arrays, json.loads(arrays.pop("document").tobytes())
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError("file: got an answer that cannot be read, allowed is one") from error


def pack_trace(trace: Trace, **notes: Any) -> bytes:
    """Pack a trace together with notes about it, which JSON can hold."""
    return pack(_numbers_of(trace), notes | _texts_of(trace))


def unpack_trace(packed: bytes, max_bytes: int) -> tuple[Trace, dict[str, Any]]:
    """Return the trace that `pack_trace` packed, and the notes packed with it.

    Raises
    ------
    CheckpointError
        If it is anything else.
    """
    arrays, document = unpack(packed, max_bytes)
    try:
        return _trace_of(arrays, document), document
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("file: got an answer that is no trace, allowed is one") from error


def _trace(arrays: dict[str, np.ndarray]) -> Trace:
    written = _scalar("format", arrays["format"], "U")
    if written != FORMAT:
        raise CheckpointError(f"format: got {written[:40]!r}, allowed is {FORMAT!r}")
    texts: dict[str, Any] = {
        name: _texts(name, arrays[name]) for name in ("tokens", "domains") if name in arrays
    }
    if "model" in arrays:
        texts["model"] = _scalar("model", arrays["model"], "U")
    return _trace_of(arrays, texts)


def _trace_of(arrays: dict[str, np.ndarray], texts: dict[str, Any]) -> Trace:
    layers = arrays.get("layers")
    if layers is not None and (layers.ndim != 1 or layers.dtype.kind not in "iu"):
        raise CheckpointError(f"layers: got {layers.dtype} of shape {layers.shape}, allowed: (L,)")
    return make_trace(
        arrays["experts"],
        arrays["weights"],
        _scalar("n_experts", arrays["n_experts"], "iu"),
        arrays.get("token_ids"),
        model=texts.get("model", ""),
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
