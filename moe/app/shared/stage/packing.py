"""Records of a live run, packed for the browser; `stage.js` unpacks them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ....pictures.experts import EXPERT_COLOURS, expert_name, letter_ink
from ....pictures.palette import CROWDED, FAIR, IDLE, TWICE
from ....training import LiveRecord
from ....training.live import Sample

RANKS = 65_535  # shares are sent as whole numbers of this
WEIGHTS = 255
EVERY = 4  # steps between two samples that are sent, unless asked for otherwise


def pack(
    records: Sequence[LiveRecord], words: Iterable[tuple[int, str]] = (), every: int = EVERY
) -> dict[str, Any]:
    """Return neighbouring records as plain JSON with arrays in base64, little-endian.

    Samples are sent of the first record, and of each whose step is a multiple of `every`.

    Keys: `from` and `n` (steps), `experts`; `share` (n, E) uint16 of `RANKS`; `loss`, `mean`,
    `vio` and `dropped` (n,) float32; `idle` (n,) uint8; `samples`, the tokens of some steps; and
    `words`, pairs of a step and the sentence that holds from it on.
    """
    return {
        "from": records[0].step,
        "n": len(records),
        "experts": records[0].share_E.size,
        "share": _packed([np.round(r.share_E * RANKS) for r in records], "<u2"),
        "loss": _packed([r.loss for r in records], "<f4"),
        "mean": _packed([r.mean_loss for r in records], "<f4"),
        "vio": _packed([r.max_vio for r in records], "<f4"),
        "dropped": _packed([r.dropped for r in records], "<f4"),
        "idle": _packed([r.idle for r in records], "<u1"),
        "samples": [
            _sample(r.step, r.sample)
            for i, r in enumerate(records)
            if i == 0 or r.step % every == 0
        ],
        "words": [list(pair) for pair in words],
    }


def experts_for_stage(n_experts: int) -> dict[str, Any]:
    """Names and colours of the experts, and the colours of loads from idle to crowded."""
    own = EXPERT_COLOURS if n_experts <= len(EXPERT_COLOURS) else ()
    return {
        "names": [expert_name(e) for e in range(n_experts)],
        "colours": list(own[:n_experts]),
        "inks": [letter_ink(colour) for colour in own[:n_experts]],
        "loads": [IDLE, FAIR, TWICE, CROWDED],
    }


def _sample(step: int, sample: Sample) -> dict[str, Any]:
    inputs = sample.inputs
    kind = "<u1" if inputs.dtype == np.uint8 else "<f4"
    return {
        "at": step,
        "inputs": _packed(inputs, kind),
        "token": _packed(sample.token_A, "<u1"),
        "expert": _packed(sample.expert_A, "<u1"),
        "weight": _packed(np.round(np.clip(sample.weight_A, 0, 1) * WEIGHTS), "<u1"),
        "kept": _packed(sample.kept_A, "<u1"),
    }


def _packed(numbers: Any, kind: str) -> str:
    return b64encode(np.ascontiguousarray(numbers, kind).tobytes()).decode()
