"""A layer's file: one safetensors file with its arrays, and its options as text in the header."""

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

KEY, FORMAT = "moescope", 1
STORED = {"float32": "F32", "float64": "F64"}


def write_layer(
    path: str | Path,
    router: Router,
    capacity: Capacity,
    activation: str,
    params: Mapping[str, np.ndarray],
    buffers: Mapping[str, np.ndarray],
) -> None:
    """Write a layer's parts, which fit each other; see `MoELayer.save`."""
    if ROUTERS.get(router.name) is not type(router):
        raise ValueError(
            f"router: got a {type(router).__name__} named {router.name!r}, which is not in "
            "moe.ROUTERS; allowed is one that moe.register_router has added, so that load finds it"
        )
    if type(capacity) is not Capacity:
        raise ValueError(f"capacity: got a {type(capacity).__name__}, allowed is a Capacity")
    says = {
        "format": FORMAT,
        "router": router.name,
        "options": _plain_options(router, "router"),
        "activation": activation,
        "capacity": _plain_options(capacity, "capacity"),
        "params": list(params),
        "buffers": list(buffers),
    }
    text = json.dumps(says)
    again = parse_object(text.encode(), "options")
    if router_of(again) != router or capacity_of(again) != capacity:
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
    # Written beside its place and renamed into it: a file that is there is whole.
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        write_file(part, tensors, {KEY: text})
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _plain_options(options: Any, what: str) -> dict[str, Any]:
    """Values of a dataclass's fields, ready for JSON."""
    made = {}
    for field in fields(options):
        value = getattr(options, field.name)
        value = value.item() if isinstance(value, np.generic) else value
        numbers = list(value) if isinstance(value, tuple) else [value]
        if not all(one is None or isinstance(one, (bool, int, float, str)) for one in numbers):
            raise ValueError(
                f"option {field.name} of {what}: got {value!r}, allowed are numbers, texts and "
                "tuples of them, which a file can keep"
            )
        made[field.name] = value
    return made


def router_of(says: Mapping[str, Any]) -> Router:
    """Make the router that a file names."""
    name = says["router"]
    if not isinstance(name, str) or name not in ROUTERS:
        raise CheckpointError(
            f"router: got {quoted(name)}, allowed is one of {', '.join(ROUTERS)}; "
            "moe.register_router adds one of your own"
        )
    return make_router(name, **_typed(ROUTERS[name], says["options"], "options"))


def capacity_of(says: Mapping[str, Any]) -> Capacity:
    """Make the capacity that a file names."""
    return Capacity(**_typed(Capacity, says["capacity"], "capacity"))


def _typed(kind: Any, given: Any, what: str) -> dict[str, Any]:
    """The options, each of its default's type; lists are tuples again."""
    defaults = {field.name: field.default for field in fields(kind)}
    if not isinstance(given, dict) or set(given) != set(defaults):
        raise CheckpointError(
            f"{what}: got {quoted(given)}, allowed are {', '.join(defaults) or 'none'}"
        )
    made = {}
    for name, value in given.items():
        value = tuple(value) if isinstance(value, list) else value
        default = defaults[name]
        kinds = (int, float) if type(default) is float else (type(default),)
        optional = default is None
        if type(value) not in kinds and not optional:
            raise CheckpointError(
                f"{what}: {name}: got {quoted(value)}, allowed is a {type(default).__name__}"
            )
        made[name] = value
    return made
