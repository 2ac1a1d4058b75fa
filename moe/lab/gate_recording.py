"""Recorded routing: what a gate was given and what it answered, from a call or from a file."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

MAX_BYTES = 64 * 2**20  # of a file, unpacked and as float64; 32,000 tokens of 256 experts
MAX_ARRAYS = 32
MAX_HEADER = 4096
MAX_TEXT = 256
ARRAYS = ("logits", "experts", "weights")
NUMBERS = ("n_group", "topk_group", "scale", "coefficient", "renormalize")
KNOWN = (*ARRAYS, "bias", "aux_loss", "score", *NUMBERS)


@dataclass(frozen=True, eq=False)
class Recording:
    """Routing of N tokens in L layers of one gate.

    Attributes
    ----------
    logits_LNE, expert_LNK, weight_LNK
        What the gate was given, which experts it took, and their weights.
    bias_LE
        Selection bias, or None.
    aux_loss
        Balance loss of all L layers together, or None.
    groups
        (n_group, topk_group) that the gate was asked to use here, or None.
    """

    logits_LNE: np.ndarray
    expert_LNK: np.ndarray
    weight_LNK: np.ndarray
    bias_LE: np.ndarray | None = None
    aux_loss: float | None = None
    groups: tuple[int, int] | None = None

    @property
    def logits_NE(self) -> np.ndarray:
        """Logits of all layers' tokens."""
        return self.logits_LNE.reshape(-1, self.logits_LNE.shape[2])

    @property
    def expert_NK(self) -> np.ndarray:
        """Experts of all layers' tokens."""
        return self.expert_LNK.reshape(-1, self.expert_LNK.shape[2])

    @property
    def weight_NK(self) -> np.ndarray:
        """Weights of all layers' tokens."""
        return self.weight_LNK.reshape(-1, self.weight_LNK.shape[2])

    @property
    def bias_NE(self) -> np.ndarray | None:
        """The bias that each token saw, or None."""
        if self.bias_LE is None:
            return None
        return np.repeat(self.bias_LE, self.logits_LNE.shape[1], axis=0)

    def layer(self, place: int, aux_loss: float) -> Recording:
        """One layer alone, with its loss."""
        one = slice(place, place + 1)
        return replace(
            self,
            logits_LNE=self.logits_LNE[one],
            expert_LNK=self.expert_LNK[one],
            weight_LNK=self.weight_LNK[one],
            bias_LE=None if self.bias_LE is None else self.bias_LE[one],
            aux_loss=aux_loss,
        )


def make_recording(
    logits: Any,
    experts: Any,
    weights: Any,
    bias: Any = None,
    aux_loss: float | None = None,
    groups: tuple[int, int] | None = None,
) -> Recording:
    """Check shapes and values; arrays of one layer may leave out the first axis.

    Raises
    ------
    ValueError
        If an array has the wrong shape, kind or values.
    """
    logits_LNE = _layers("logits", _floats("logits", logits))
    weight_LNK = _layers("weights", _floats("weights", weights))
    raw = np.asarray(experts)
    if raw.dtype.kind not in "iu":
        raise ValueError(f"experts: got dtype {raw.dtype}, allowed are whole numbers")
    expert_LNK = _layers("experts", raw)
    n_layers, n_tokens, n_experts = logits_LNE.shape
    k = expert_LNK.shape[2]
    if not (n_layers and n_tokens and n_experts > 1):
        raise ValueError(f"logits: got shape {logits_LNE.shape}, allowed is some tokens, 2 experts")
    if expert_LNK.shape[:2] != (n_layers, n_tokens) or not 1 <= k <= n_experts:
        raise ValueError(
            f"experts: got shape {expert_LNK.shape}, "
            f"allowed is ({n_layers}, {n_tokens}, 1..{n_experts}), as logits say"
        )
    if weight_LNK.shape != expert_LNK.shape:
        raise ValueError(
            f"weights: got shape {weight_LNK.shape}, allowed is {expert_LNK.shape}, as experts say"
        )
    if expert_LNK.min() < 0 or expert_LNK.max() >= n_experts:
        raise ValueError(f"experts: got numbers outside 0..{n_experts - 1}, allowed are those")
    expert_LNK = expert_LNK.astype(np.int64)
    if (np.diff(np.sort(expert_LNK, axis=2), axis=2) == 0).any():
        raise ValueError("experts: got one expert twice for a token, allowed is once")
    bias_LE = None
    if bias is not None:
        bias_LE = np.atleast_2d(_floats("bias", bias))
        if bias_LE.shape not in ((1, n_experts), (n_layers, n_experts)):
            raise ValueError(
                f"bias: got shape {bias_LE.shape}, allowed is ({n_experts},) "
                f"or ({n_layers}, {n_experts})"
            )
        bias_LE = np.broadcast_to(bias_LE, (n_layers, n_experts))
    return Recording(logits_LNE, expert_LNK, weight_LNK, bias_LE, aux_loss, groups)


def _floats(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise ValueError(f"{name}: got dtype {array.dtype}, allowed are real floating numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, allowed are finite numbers only")
    return array


def _layers(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{name}: got shape {array.shape}, allowed is (tokens, any) or (layers, tokens, any)"
        )
    return array[None] if array.ndim == 2 else array


def read_recordings(path: str | Path) -> tuple[list[Recording], dict[str, Any]]:
    """Recordings of a .npz file, and what it says of the gate: score, scale, n_group and so on.

    `aux_loss` is one number for all layers together, or one per layer.

    Raises
    ------
    ValueError
        If the file is not such an archive, is too large, or its arrays don't fit together.
    """
    arrays = _read_arrays(Path(path))
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"{path}: got no array {missing[0]!r}, allowed is a file with {ARRAYS}")
    says: dict[str, Any] = {name: _number(name, arrays[name]) for name in NUMBERS if name in arrays}
    if "score" in arrays:
        says["score"] = str(arrays["score"].reshape(-1)[0]) if arrays["score"].size == 1 else ""
    whole = make_recording(
        arrays["logits"], arrays["experts"], arrays["weights"], arrays.get("bias")
    )
    if "aux_loss" not in arrays:
        return [whole], says
    loss, n_layers = _floats("aux_loss", arrays["aux_loss"]).reshape(-1), len(whole.logits_LNE)
    if loss.size == 1:
        return [replace(whole, aux_loss=float(loss[0]))], says
    if loss.size != n_layers:
        raise ValueError(f"aux_loss: got {loss.size} numbers, allowed is 1 or {n_layers}")
    return [whole.layer(place, float(value)) for place, value in enumerate(loss)], says


def _number(name: str, array: np.ndarray) -> Any:
    if array.size != 1 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"{name}: got {array.dtype} of shape {array.shape}, allowed is one number")
    value = array.reshape(-1)[0].item()
    return bool(value) if name == "renormalize" else value


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ValueError(f"file: got {str(path)!r}, allowed is the path of a .npz file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: got a file of more than {MAX_BYTES} bytes, allowed are fewer")
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpack(path, archive)
    except ValueError:
        raise
    except Exception as error:  # a broken archive can fail in a dozen ways
        raise ValueError(
            f"{path}: got a file that cannot be read ({type(error).__name__}: {error}), "
            "allowed is what numpy.savez writes"
        ) from error


def _unpack(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    entries = archive.infolist()
    if len(entries) > MAX_ARRAYS:
        raise ValueError(f"{path}: got {len(entries)} arrays, allowed are {MAX_ARRAYS}")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ValueError(f"{path}: got more than {MAX_BYTES} bytes unpacked, allowed are fewer")
    arrays = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name not in KNOWN:
            raise ValueError(f"{path}: got array {name[:40]!r}, allowed are {', '.join(KNOWN)}")
        with archive.open(entry) as stream:
            arrays[name] = _read_array(name, stream)
    return arrays


def _read_array(name: str, stream: IO[bytes]) -> np.ndarray:
    """One .npy stream; its header is checked before any memory is taken for it."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name}: got .npy version {version}, allowed are 1.0 and 2.0")
    read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, column_major, dtype = read(stream, max_header_size=MAX_HEADER)
    if dtype.kind not in "fiubU" or (dtype.kind == "U" and dtype.itemsize > MAX_TEXT):
        raise ValueError(f"{name}: got dtype {dtype}, allowed are numbers and text")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * max(dtype.itemsize, 8) > MAX_BYTES:
        raise ValueError(f"{name}: got shape {shape}, allowed is at most {MAX_BYTES} bytes")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize or stream.read(1):
        raise ValueError(f"{name}: got {len(data)} bytes, allowed is what its header says: {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
