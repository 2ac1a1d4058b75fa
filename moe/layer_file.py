"""A layer's file: a safetensors file with its arrays, and its options as text in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .capacity import Capacity
from .checkpoints.files import write_file
from .checkpoints.strict_json import parse_object, quoted
from .errors import CheckpointError
from .routers import ROUTERS, Router, make_router

KEY, FORMAT = "moescope", 1  # key of the description in the header, and the version of its form
STORED = {"float32": "F32", "float64": "F64"}


def write_layer(
    path: str | Path,
    router: Router,
    capacity: Capacity,
    activation: str,
    params: Mapping[str, np.ndarray],
    buffers: Mapping[str, np.ndarray],
) -> None:
    """Write the parts of a layer, which are already checked to fit; see `MoELayer.save`."""
    if ROUTERS.get(router.name) is not type(router):
        raise ValueError(
            f"router: got a {type(router).__name__} named {router.name!r}, which is not in "
            "moe.ROUTERS; allowed is one that moe.register_router has added, so that load finds it"
        )
    if type(capacity) is not Capacity:
        raise ValueError(f"capacity: got a {type(capacity).__name__}, allowed is a Capacity")
    description = {
        "format": FORMAT,
        "router": router.name,
        "options": _plain_options(router, "router"),
        "activation": activation,
        "capacity": _plain_options(capacity, "capacity"),
        "params": list(params),
        "buffers": list(buffers),
    }
    text = json.dumps(description)
    # Some values do not survive JSON, NaN for example. Reading the text back shows it.
    restored = parse_object(text.encode(), "options")
    if router_of(restored) != router or capacity_of(restored) != capacity:
        raise ValueError(f"router: got options that a file cannot keep, {router!r}")
    tensors = {
        f"{kind}.{name}": (array, STORED[array.dtype.name])
        for kind, arrays in (("params", params), ("buffers", buffers))
        for name, array in arrays.items()
    }
    try:
        target = Path(path)
    except TypeError as error:
        raise ValueError(f"path: got {path!r}, allowed is the path of a file") from error
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"path: got {str(target)!r}, allowed is a file in an existing folder")
    # Written beside its place and then renamed, so that a file of the final name is complete.
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        write_file(part, tensors, {KEY: text})
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _plain_options(options: Any, what: str) -> dict[str, Any]:
    """Values of a dataclass's fields, ready for JSON."""
    values = {}
    for field in fields(options):
        value = getattr(options, field.name)
        value = value.item() if isinstance(value, np.generic) else value
        items = list(value) if isinstance(value, tuple) else [value]
        if not all(item is None or isinstance(item, (bool, int, float, str)) for item in items):
            raise ValueError(
                f"option {field.name} of {what}: got {value!r}, allowed are numbers, texts and "
                "tuples of them, which a file can keep"
            )
        values[field.name] = value
    return values


def router_of(description: Mapping[str, Any]) -> Router:
    """Make the router that a file describes."""
    name = description["router"]
    if not isinstance(name, str) or name not in ROUTERS:
        raise CheckpointError(
            f"router: got {quoted(name)}, allowed is one of {', '.join(ROUTERS)}; "
            "moe.register_router adds one of your own"
        )
    return make_router(name, **_typed(ROUTERS[name], description["options"], "options"))


def capacity_of(description: Mapping[str, Any]) -> Capacity:
    """Make the capacity that a file describes."""
    return Capacity(**_typed(Capacity, description["capacity"], "capacity"))


def _typed(kind: Any, given: Any, what: str) -> dict[str, Any]:
    """The options, each checked to have its default's type; JSON's lists become tuples."""
    defaults = {field.name: field.default for field in fields(kind)}
    if not isinstance(given, dict) or set(given) != set(defaults):
        raise CheckpointError(
            f"{what}: got {quoted(given)}, allowed are {', '.join(defaults) or 'none'}"
        )
    options = {}
    for name, value in given.items():
        value = tuple(value) if isinstance(value, list) else value
        default = defaults[name]
        kinds = (int, float) if type(default) is float else (type(default),)
        optional = default is None
        if type(value) not in kinds and not optional:
            raise CheckpointError(
                f"{what}: {name}: got {quoted(value)}, allowed is a {type(default).__name__}"
            )
        options[name] = value
    return options
