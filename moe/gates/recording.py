"""Recorded routing: what a gate was given and what it answered, from a call or from a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.archives import Limits
from ..checkpoints.npz import read_npz
from ..checkpoints.strict_json import quoted
from ..errors import CheckpointError

MAX_BYTES = 64 * 2**20  # of a file, and unpacked
MAX_NUMBERS = 2**22  # of an array: 16,000 tokens of 256 experts
MAX_RATIO = 100  # of unpacked to packed bytes; experts of a collapsed gate shrink a lot
MAX_ERROR = 300  # characters of what a stranger's code says when it fails
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
    whole_batch
        Whether each layer's tokens are all that the gate saw at once.
    """

    logits_LNE: np.ndarray
    expert_LNK: np.ndarray
    weight_LNK: np.ndarray
    bias_LE: np.ndarray | None = None
    aux_loss: float | None = None
    groups: tuple[int, int] | None = None
    whole_batch: bool = True

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
        here = slice(place, place + 1)
        return replace(
            self,
            logits_LNE=self.logits_LNE[here],
            expert_LNK=self.expert_LNK[here],
            weight_LNK=self.weight_LNK[here],
            bias_LE=None if self.bias_LE is None else self.bias_LE[here],
            aux_loss=aux_loss,
        )


def as_array(name: str, value: Any) -> np.ndarray:
    """What a stranger's code returned as an array: a tensor leaves its gradient and its device.

    Raises
    ------
    ValueError
        If no array can be made of it.
    """
    try:
        for method in ("detach", "cpu"):
            if callable(change := getattr(value, method, None)):
                value = change()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # which numpy does not have
            value = value.float()
        if not hasattr(value, "__array__") and callable(numbers := getattr(value, "numpy", None)):
            value = numbers()
        return np.array(value)  # a copy: the next call may write into the same memory
    except Exception as error:  # it may be anything
        raise ValueError(
            f"{name}: got a {type(value).__name__} that numpy cannot read ({error_line(error)}), "
            "allowed is an array"
        ) from error


def error_line(error: BaseException) -> str:
    """A stranger's exception in one line that is not too long."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # making its text may fail, too
        text = type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(": ")
    return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}..."


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
    raw = as_array("experts", experts)
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
    array = as_array(name, value)
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
    """Recordings of a .npz file, and what it states of the gate: score, scale, n_group and so on.

    `aux_loss` is one number for all layers together, or one per layer.

    Raises
    ------
    CheckpointError
        If the file is not such an archive, or is too large.
    ValueError
        If its arrays don't fit together.
    """
    arrays = _read_arrays(path)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"{path}: got no array {missing[0]!r}, allowed is a file with {ARRAYS}")
    stated: dict[str, Any] = {
        name: _number(name, arrays[name]) for name in NUMBERS if name in arrays
    }
    if "score" in arrays:
        stated["score"] = _text("score", arrays["score"])
    whole = make_recording(
        arrays["logits"], arrays["experts"], arrays["weights"], arrays.get("bias")
    )
    whole = replace(whole, whole_batch=False)
    if "aux_loss" not in arrays:
        return [whole], stated
    loss, n_layers = _floats("aux_loss", arrays["aux_loss"]).reshape(-1), len(whole.logits_LNE)
    if loss.size == 1:
        return [replace(whole, aux_loss=float(loss[0]))], stated
    if loss.size != n_layers:
        raise ValueError(f"aux_loss: got {loss.size} numbers, allowed is 1 or {n_layers}")
    return [whole.layer(place, float(value)) for place, value in enumerate(loss)], stated


def _number(name: str, array: np.ndarray) -> Any:
    if array.size != 1 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"{name}: got {array.dtype} of shape {array.shape}, allowed is one number")
    value = array.reshape(-1)[0].item()
    if name != "renormalize":
        return value
    if value not in (0, 1):
        raise ValueError(f"{name}: got {value}, allowed is a truth value, or 0 or 1")
    return bool(value)


def _text(name: str, array: np.ndarray) -> str:
    if array.size != 1 or array.dtype.kind != "U":
        raise ValueError(f"{name}: got {array.dtype} of shape {array.shape}, allowed is one text")
    return str(array.reshape(-1)[0])


def _read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    limits = Limits(MAX_BYTES, MAX_BYTES, len(KNOWN), MAX_RATIO)
    where = quoted(Path(path).name)
    try:
        arrays = read_npz(Path(path), limits)
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from error
    for name, array in arrays.items():
        if name not in KNOWN:
            raise ValueError(f"{where}: got array {quoted(name)}, allowed are {', '.join(KNOWN)}")
        if array.size > MAX_NUMBERS:
            raise CheckpointError(
                f"{where}: {name}: got {array.size} numbers, allowed are {MAX_NUMBERS}"
            )
    return arrays
