"""Outputs and gradients equal the reference library's, for every family of the table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.checkpoints.families import LOADABLE, family_of
from moe.checkpoints.files import open_checkpoint
from moe.checkpoints.layer_spec import layer_specs

CASES = Path(__file__).parent / "parity"
ALL = sorted(path.parent.name for path in CASES.glob("*/config.json"))
LAYER = 1


def relative_error(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference as a share of the largest value."""
    assert mine.shape == theirs.shape and theirs.any()
    return float(np.abs(mine - theirs).max() / np.abs(theirs).max())


def forward_error(folder: Path) -> float:
    """How far y is from the reference library's, float32."""
    with np.load(folder / "golden.npz") as stored:
        return relative_error(moe.load_layer(folder, LAYER)(stored["x"]), stored["y"])


def gradient_errors(folder: Path) -> dict[str, float]:
    """How far y, dx and each parameter's gradient are, under published names, float64."""
    layer = moe.load_layer(folder, LAYER).astype("float64")
    with np.load(folder / "golden.npz") as stored:
        theirs = dict(stored)
    y_ND, ctx = layer.forward(theirs["x64"])
    dx_ND, grads = layer.backward(theirs["g64"], ctx)
    errors = {
        "y": relative_error(y_ND, theirs["y64"]),
        "dx": relative_error(dx_ND, theirs["dx64"]),
    }
    named, start = moe.export_layer(layer, grads), 0
    for name in sorted(named):  # the order in which they stand one after the other
        end = start + named[name].size
        errors[name] = relative_error(named[name].reshape(-1), theirs["grads"][start:end])
        start = end
    assert start == len(theirs["grads"])
    return errors


def fingerprints(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Shape and SHA-256 of each tensor, by name."""
    return {
        name: [list(array.shape), hashlib.sha256(np.ascontiguousarray(array)).hexdigest()]
        for name, array in sorted(tensors.items())
    }


def in_memory(folder: Path) -> moe.MoELayer:
    """A case's layer as if it came from the layout that the reference library has in memory."""
    layer = moe.load_layer(folder, LAYER)
    for spec in layer_specs(layer.origin.config, LAYER)[1:]:
        dtypes = {slot.name: "F32" for slot in spec.slots()}
        place = spec.family.place(LAYER)
        start = next(iter(stored_in_memory(folder))).partition(place)[0]
        origin = replace(layer.origin, dtypes=dtypes, layout=spec.layout, prefix=start + place)
        layer = replace(layer, origin=origin)
    return layer


def stored_in_memory(folder: Path) -> dict[str, Any]:
    """Fingerprints of what the reference library writes in that layout."""
    return json.loads((folder / "memory.json").read_text())


def test_every_family_has_a_case() -> None:
    configs = [json.loads((CASES / case / "config.json").read_text()) for case in ALL]
    assert {family_of(config, LOADABLE)[0] for config in configs} == set(LOADABLE)


@pytest.mark.parametrize("case", ALL)
def test_forward_equals_the_reference_library(case: str) -> None:
    assert forward_error(CASES / case) <= 1e-5


@pytest.mark.parametrize("case", ALL)
def test_gradients_equal_the_reference_library(case: str) -> None:
    errors = gradient_errors(CASES / case)
    assert max(errors.values()) <= 1e-6, errors


@pytest.mark.parametrize("case", ALL)
def test_names_shapes_and_values_are_those_of_the_file(case: str) -> None:
    exported = moe.export_layer(moe.load_layer(CASES / case, LAYER))
    with open_checkpoint(CASES / case) as checkpoint:
        assert set(exported) == set(checkpoint.names)
        for name in checkpoint.names:
            assert exported[name].shape == checkpoint.shape(name)
            assert exported[name].tobytes() == checkpoint.read(name).tobytes()


@pytest.mark.parametrize("case", ALL)
def test_a_saved_layer_loads_bit_for_bit(case: str, tmp_path: Path) -> None:
    layer = moe.load_layer(CASES / case, LAYER)
    moe.save_layer(layer, tmp_path)
    again = moe.load_layer(tmp_path, LAYER)
    assert again.router == layer.router and again.activation == layer.activation
    for mine, theirs in ((layer.params, again.params), (layer.buffers, again.buffers)):
        assert mine.keys() == theirs.keys()
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
    assert open_checkpoint(tmp_path).config == open_checkpoint(CASES / case).config


@pytest.mark.parametrize("case", ALL)
def test_the_layout_that_the_library_has_in_memory_is_read_and_written(
    case: str, tmp_path: Path
) -> None:
    layer = in_memory(CASES / case)
    assert fingerprints(moe.export_layer(layer)) == stored_in_memory(CASES / case)
    moe.save_layer(layer, tmp_path / "one")
    again = moe.load_layer(tmp_path / "one", LAYER)
    assert again == moe.load_layer(CASES / case, LAYER)
    moe.save_layer(again, tmp_path / "two")
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
