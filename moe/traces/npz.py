"""Traces as .npz archives: plain arrays without pickle, read as if the file were hostile."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import CheckpointError
from .trace import MAX_TOKEN_TEXT, Trace, make_trace

FORMAT = "moescope-trace-1"
REQUIRED = ("format", "n_experts", "experts", "weights", "token_ids")
OPTIONAL = ("model", "layers", "logits", "tokens", "sequences", "domain", "domains")
MAX_HEADER = 4096
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def write_npz(trace: Trace, path: str | Path) -> None:
    """Write a trace as .npz; the same trace gives the same bytes."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "model": np.array(trace.model),
        "layers": np.array(trace.layers, np.int32),
        "n_experts": np.array(trace.n_experts, np.int32),
        "experts": trace.expert_LNK,
        "weights": trace.weight_LNK,
        "token_ids": trace.token_ids_N,
        "tokens": np.array(trace.tokens, np.str_),
        "sequences": trace.sequence_N,
    }
    if trace.logits_LNE is not None:
        arrays["logits"] = trace.logits_LNE
    if trace.domain_N is not None:
        arrays |= {"domain": trace.domain_N, "domains": np.array(trace.domains, np.str_)}
    with Path(path).open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_npz_trace(raw: bytes, max_bytes: int) -> Trace:
    """Read a trace from the bytes of an .npz archive.

    Raises
    ------
    CheckpointError
        If it is no such archive, if it would unpack to more than `max_bytes`, or its arrays are
        not a trace.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            arrays = _read_arrays(archive, max_bytes)
    except CheckpointError:
        raise
    except Exception as error:  # a broken archive can fail in a dozen ways
        raise CheckpointError(
            f"file: got an archive that cannot be read ({type(error).__name__}: {error}), "
            "allowed is what numpy.savez writes"
        ) from error
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
        arrays["token_ids"],
        model=_scalar("model", arrays["model"], "U") if "model" in arrays else "",
        layers=None if layers is None else layers.tolist(),
        logits_LNE=arrays.get("logits"),
        tokens=texts.get("tokens"),
        sequence_N=arrays.get("sequences"),
        domain_N=arrays.get("domain"),
        domains=texts.get("domains", ()),
    )


def _scalar(name: str, array: np.ndarray, kinds: str) -> Any:
    if array.size != 1 or array.dtype.kind not in kinds:
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is one "
            f"{'text' if kinds == 'U' else 'whole number'}"
        )
    return array.reshape(-1)[0].item()


def _texts(name: str, array: np.ndarray) -> list[str]:
    if array.ndim != 1 or (array.dtype.kind != "U" and array.size):
        raise CheckpointError(
            f"{name}: got {array.dtype} of shape {array.shape}, allowed is a row of texts"
        )
    texts: list[str] = array.tolist()
    return texts


def _read_arrays(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, np.ndarray]:
    """All arrays; every header is checked before any memory is taken for an array."""
    entries = {}
    for entry in archive.infolist()[: len(REQUIRED + OPTIONAL) + 1]:
        name = entry.filename.removesuffix(".npy")
        if name not in REQUIRED + OPTIONAL or name in entries:
            allowed = ", ".join(REQUIRED + OPTIONAL)
            raise CheckpointError(f"file: got array {name[:40]!r}, allowed are {allowed}, once")
        entries[name] = entry
    for name in REQUIRED:
        if name not in entries:
            raise CheckpointError(
                f"file: got no array {name!r}, allowed is a trace: {', '.join(REQUIRED)}"
            )
    left = max_bytes
    for name, entry in entries.items():
        with archive.open(entry) as stream:
            shape, _, dtype = _header(name, stream)
        left -= math.prod(shape) * dtype.itemsize
        if left < 0:
            raise CheckpointError(
                f"{name}: got {dtype} of shape {shape}, allowed are {max_bytes} bytes in all"
            )
    arrays = {}
    for name, entry in entries.items():
        with archive.open(entry) as stream:
            arrays[name] = _array(name, stream)
    return arrays


def _header(name: str, stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise CheckpointError(f"{name}: got .npy version {version}, allowed are 1.0 and 2.0")
    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, column_major, dtype = read(stream, max_header_size=MAX_HEADER)
    if dtype.kind not in "fiuU" or (dtype.kind == "U" and dtype.itemsize > 4 * MAX_TOKEN_TEXT):
        raise CheckpointError(f"{name}: got dtype {dtype}, allowed are numbers and short text")
    if min(shape, default=0) < 0:
        raise CheckpointError(f"{name}: got shape {shape}, allowed are sizes from 0")
    return shape, column_major, dtype


def _array(name: str, stream: IO[bytes]) -> np.ndarray:
    shape, column_major, dtype = _header(name, stream)
    size = math.prod(shape) * dtype.itemsize
    data = stream.read(size)
    if len(data) != size or stream.read(1):
        raise CheckpointError(f"{name}: got {len(data)} bytes, allowed is what its shape says")
    if size == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
