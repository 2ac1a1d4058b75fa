"""Parameters of a model by part, beside what its files hold, as records for the command line."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

from ..checkpoints.local_cache import cached_folder
from ..checkpoints.stored import Stored, stored_numbers
from ..numbers import gigabytes, short
from .memory import WEIGHT_BYTES, weight_bytes
from .model import ModelConfig
from .models import MODELS
from .params import CONVENTIONS, mtp_params
from .rows import find_model

CLOSE = 0.001  # of the count: what a file's own buffers may add
TITLES = {
    "attention": "attention", "routed_experts": "routed experts",
    "shared_experts": "shared experts", "dense": "dense feed-forward", "router": "router",
    "norms": "norms", "embedding": "embedding", "output_head": "output head",
}  # fmt: skip
ACTIVE = {
    "active_with_input": "active, with both tables",
    "active_head_only": "active, with the output head only",
    "active_neither": "active, with neither table",
}


def parameters_of(text: str) -> dict[str, Any]:
    """Return a model's parameters by part, its memory, and what its files say.

    Parameters
    ----------
    text
        A folder, a config.json, the name of a published model or of one in the local cache.

    Raises
    ------
    ValueError
        If it is none of them, or its configuration cannot be read.
    """
    model = find_model(text)
    folder = None
    if text.lower() not in MODELS:
        folder = Path(text) if os.path.isdir(text) else cached_folder(text)
    stored = stored_numbers(folder) if folder else None
    return parameters_row(model) | {"files": stored and compared(model, stored)}


def parameters_row(model: ModelConfig) -> dict[str, Any]:
    """Return total, active parameters in every convention, parts and memory of a model.

    A part is (all parameters, those that one token uses). Multi-token prediction is a part of no
    total; a tied output head has no parameters of its own.
    """
    params = model.params
    used = {name: model.active(name) for name in CONVENTIONS}
    parts = {
        "attention": (params.attention, params.attention),
        "routed_experts": (params.experts, params.active_experts),
        "shared_experts": (params.shared, params.shared),
        "dense": (params.dense, params.dense),
        "router": (params.router, params.router),
        "norms": (params.norms, params.norms),
        "embedding": (params.embedding, params.embedding),
        "output_head": (params.head, params.head),
        "mtp": (model.mtp_params, mtp_params(model, active=True)),
    }
    return {
        "name": model.name,
        "model_type": model.model_type,
        "total_params": model.total_params,
        **{f"active_{name}": value for name, value in used.items()},
        "parts": {name: {"all": both[0], "active": both[1]} for name, both in parts.items()},
        "tied": params.tied,
        "weight_bytes": {name: weight_bytes(model, name) for name in WEIGHT_BYTES},
        "source": model.source,
        "notes": list(model.notes),
    }


def compared(model: ModelConfig, stored: Stored) -> dict[str, Any]:
    """Say whether files hold as many numbers as the configuration has parameters.

    Files may hold more than the total: the modules of multi-token prediction, copies of both
    tables for them, and the output matrix of a tied model. What fits best is named.
    """
    numbers = stored.numbers
    if numbers is None:
        words = f"The files could not be counted: {stored.reason}."
        return {"numbers": None, "with": [], "expected": None, "agrees": None, "words": words}
    table = model.params.embedding
    extras = {
        "multi-token prediction": model.mtp_params,
        "its copies of both tables": 2 * model.mtp_layers * table,
        "the tied output matrix once more": table if model.tied else 0,
    }
    present = [name for name, size in extras.items() if size]
    sums = {
        names: model.total_params + sum(extras[name] for name in names)
        for n in range(len(present) + 1)
        for names in combinations(present, n)
    }
    best, expected = min(sums.items(), key=lambda one: abs(numbers - one[1]))
    off = numbers - expected
    agrees = abs(off) <= CLOSE * expected
    what = f"{' and '.join(['the total', *best])} by config.json"
    said = f"exactly {what}"
    if off:
        said = f"{abs(off):,} {'more' if off > 0 else 'fewer'} ({off / expected:+.2%}) than {what}"
    return {
        "numbers": numbers,
        "with": list(best),
        "expected": expected,
        "agrees": agrees,
        "words": f"The files hold {numbers:,} numbers, {said}"
        + ("." if agrees else ": the two do not agree."),
    }


def part_lines(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a table of a row's parts that are there, and below them the sums."""
    parts = row["parts"]
    return [
        *({"part": title, **parts[name]} for name, title in TITLES.items() if parts[name]["all"]),
        {"part": "total", "all": row["total_params"], "active": None},
        *({"part": title, "all": None, "active": row[name]} for name, title in ACTIVE.items()),
    ]


def part_words(row: dict[str, Any]) -> list[str]:
    """Return what a row says beside its table: what stands outside of it, memory, files, notes."""
    words = []
    module = row["parts"]["mtp"]
    if module["all"]:
        words.append(
            f"multi-token prediction: {short(module['all'])} more, of which a token uses "
            f"{short(module['active'])}"
        )
    if row["tied"]:
        words.append("the output head is the table of embeddings (tied): stored and counted once")
    sizes = (f"{_memory(size)} in {name}" for name, size in row["weight_bytes"].items())
    words.append(f"weights: {', '.join(sizes)}")
    if row["files"]:
        words.append(row["files"]["words"])
    return words + row["notes"]


def _memory(n_bytes: float) -> str:
    return gigabytes(n_bytes / 1e9) if n_bytes >= 1e8 else f"{short(n_bytes)} bytes"
