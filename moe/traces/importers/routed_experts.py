"""Arrays of routed experts, [tokens, layers, k], as servers return them for router replay.

Both servers keep a row for every layer of the model, and leave zeros where a layer has no experts
or a token did not pass.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from ...checkpoints.archives import Limits
from ...checkpoints.header import read_limited
from ...checkpoints.npz import read_npy, read_npz
from ...checkpoints.strict_json import quoted
from ...errors import CheckpointError
from ...numbers import plural
from .base import IMPORT_BYTES, Imported, trace_of_choices

MAX_ARRAYS = 10_000
ARRAY_LIMITS = Limits(IMPORT_BYTES, IMPORT_BYTES, MAX_ARRAYS, 100)
# A field of a server's answer: inside a text its quotes would have backslashes before them.
_FIELD = re.compile(rb'"routed_experts"\s*:\s*"([A-Za-z0-9+/=\\]*)"')
# What some versions of a server wrote instead: lists of numbers, or the prompt apart.
_OTHER = re.compile(rb'"(?:routed_experts"\s*:\s*[\[{]|prompt_routed_experts"\s*:\s*["\[{])')


def read_arrays(path: Path) -> dict[str, np.ndarray] | list[bytes]:
    """Arrays of a .npy or .npz file by name, or the decoded fields of answers in JSON, in order.

    Raises
    ------
    CheckpointError
        If it is none of these.
    """
    raw = read_limited(path, "file", IMPORT_BYTES)
    if raw[:2] == b"PK":
        return read_npz(raw, ARRAY_LIMITS)
    if raw[:6] == b"\x93NUMPY":
        return {path.stem: read_npy(raw, ARRAY_LIMITS)}
    if other := _OTHER.search(raw):
        raise CheckpointError(
            f"file: got an answer with {quoted(other[0][:60].decode('latin-1'))}, allowed are all "
            "tokens of a request in one text routed_experts"
        )
    fields = [field[1] for field in islice(_FIELD.finditer(raw), MAX_ARRAYS + 1)]
    if len(fields) > MAX_ARRAYS:
        raise CheckpointError(f"file: got more than {MAX_ARRAYS} answers, allowed are fewer")
    if not fields:
        raise CheckpointError(
            f"file: got one that begins with {quoted(raw[:8].decode('latin-1'))}, allowed is .npy, "
            ".npz or a server's answer with a field routed_experts"
        )
    try:
        # JSON may escape the slash; nothing else of base64 needs it.
        return [b64decode(field.replace(b"\\/", b"/"), validate=True) for field in fields]
    except binascii.Error as error:
        raise CheckpointError(
            "routed_experts: got text that is no base64, allowed is a server's answer"
        ) from error


def trace_of_arrays(array_of: Mapping[str, np.ndarray], n_experts: int, model: str) -> Imported:
    """Make a trace of arrays (tokens, layers, k), each a document.

    Raises
    ------
    CheckpointError
        If they are no such arrays.
    """
    for name, array in array_of.items():
        if array.dtype.kind not in "iu" or array.ndim != 3:
            raise CheckpointError(
                f"{quoted(name)}: got {array.dtype} of shape {quoted(array.shape)}, allowed are "
                "whole numbers (tokens, layers, k)"
            )
    sizes = {array.shape[1:] for array in array_of.values()}
    if len(sizes) != 1:
        raise CheckpointError(
            f"file: got {len(sizes)} shapes of layers and k, allowed is one in all arrays"
        )
    length_S = [len(array) for array in array_of.values()]
    expert_NLK = np.concatenate(list(array_of.values()))
    sequence_N = np.repeat(np.arange(len(length_S)), length_S)
    layers = np.arange(expert_NLK.shape[1])
    notes = []
    if expert_NLK.shape[2] > 1:  # of one choice only, zeros may be expert 0
        zero_NL = (expert_NLK == 0).all(axis=2)
        passed_N = np.asarray(~zero_NL.all(axis=1))
        if not passed_N.all():
            notes.append(
                f"{plural(int((~passed_N).sum()), 'token')} with zeros in every layer left out: "
                "they did not pass"
            )
        routed_L = np.asarray(~zero_NL[passed_N].all(axis=0))
        if not routed_L.all():
            notes.append(
                f"{plural(int((~routed_L).sum()), 'layer')} with zeros for every token left out: "
                "without experts"
            )
        expert_NLK = expert_NLK[passed_N][:, routed_L]
        sequence_N, layers = sequence_N[passed_N], layers[routed_L]
    return trace_of_choices(
        np.ascontiguousarray(expert_NLK.transpose(1, 0, 2)),
        n_experts,
        notes,
        model=model,
        layers=layers.tolist(),
        sequence_N=sequence_N,
    )
