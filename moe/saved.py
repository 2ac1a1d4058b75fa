"""`layer.save` and `moe.load`: any layer in one safetensors file, bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .capacity import Capacity
from .checkpoints.files import Checkpoint, write_file
from .checkpoints.header import read_header
from .checkpoints.strict_json import parse_object, quoted
from .errors import CheckpointError
from .layer import MoELayer
from .routers import ROUTERS, Router, make_router

KEY, FORMAT = "moescope", 1
STORED = {"float32": "F32", "float64": "F64"}
WORDS = {"format", "router", "options", "activation", "capacity", "params", "buffers"}
REFUSALS = (ValueError, TypeError, OverflowError, MemoryError, RecursionError)


def save(layer: MoELayer, path: str | Path) -> None:
    """Write a layer; see `MoELayer.save`."""
    layer.check()
    router = layer.router
    if ROUTERS.get(router.name) is not type(router):
        raise ValueError(
            f"router: got a {type(router).__name__} named {router.name!r}, which is not in "
            "moe.ROUTERS; allowed is one that moe.register_router has added, so that load finds it"
        )
    if type(layer.capacity) is not Capacity:
        raise ValueError(f"capacity: got a {type(layer.capacity).__name__}, allowed is a Capacity")
    says = {
        "format": FORMAT,
        "router": router.name,
        "options": _plain_options(router, "router"),
        "activation": layer.activation,
        "capacity": _plain_options(layer.capacity, "capacity"),
        "params": list(layer.params),
        "buffers": list(layer.buffers),
    }
    text = json.dumps(says)
    again = parse_object(text.encode(), "options")
    if _router(again) != router or _capacity(again) != layer.capacity:
        raise ValueError(f"router: got options that a file cannot keep, {router!r}")
    tensors = {
        f"{kind}.{name}": (array, STORED[array.dtype.name])
        for kind, arrays in (("params", layer.params), ("buffers", layer.buffers))
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


def load(path: str | Path) -> MoELayer:
    """Read a layer that `MoELayer.save` wrote.

    Parameters
    ----------
    path
        The file. A router of your own has to be registered before (`moe.register_router`).

    Returns
    -------
    MoELayer
        Equal to the one that was saved: same options, same bits.

    Raises
    ------
    CheckpointError
        If the file is missing, broken, or no layer's, or its arrays and options do not fit.
    """
    try:
        target = Path(path).resolve()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise CheckpointError(f"path: got {quoted(path)}, allowed is the path of a file") from error
    what = quoted(target.name)
    header = read_header(target, what)
    if KEY not in header.metadata:
        raise CheckpointError(
            f"{what}: got a file that layer.save did not write; load_layer reads published ones"
        )
    says = parse_object(header.metadata[KEY].encode("utf-8", "replace"), f"{what}: {KEY}")
    if set(says) != WORDS or says["format"] != FORMAT or type(says["format"]) is not int:
        raise CheckpointError(f"{what}: got {quoted(says)}, allowed are {', '.join(sorted(WORDS))}")
    for kind in ("params", "buffers"):
        names = says[kind]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(
                f"{what}: {kind}: got {quoted(names)}, allowed is a list of names"
            )
    names = [f"{kind}.{name}" for kind in ("params", "buffers") for name in says[kind]]
    if sorted(names) != sorted(header.tensors):
        raise CheckpointError(
            f"{what}: got other tensors than its list of params and buffers names"
        )
    for name, info in header.tensors.items():
        if info.dtype not in STORED.values():
            raise CheckpointError(
                f"{what}: tensor {quoted(name)}: got dtype {info.dtype}, allowed are F32 and F64"
            )
    try:
        router, capacity = _router(says), _capacity(says)
        with Checkpoint(target.parent, {}, dict.fromkeys(names, target.name), {}) as file:
            params, buffers = (
                {name: np.array(file.read(f"{kind}.{name}")) for name in says[kind]}
                for kind in ("params", "buffers")
            )
        layer = MoELayer(router, says["activation"], params, buffers, capacity)
        layer.check()
    except CheckpointError:
        raise
    except REFUSALS as error:
        raise CheckpointError(f"{what}: {error}") from error
    return layer


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


def _router(says: Mapping[str, Any]) -> Router:
    name = says["router"]
    if not isinstance(name, str) or name not in ROUTERS:
        raise CheckpointError(
            f"router: got {quoted(name)}, allowed is one of {', '.join(ROUTERS)}; "
            "moe.register_router adds one of your own"
        )
    return make_router(name, **_typed(ROUTERS[name], says["options"], "options"))


def _capacity(says: Mapping[str, Any]) -> Capacity:
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
