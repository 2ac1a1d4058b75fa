"""Whole models equal the reference library's: logits, all gradients, and the files themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.lm import LanguageModel, load_model, save_model
from moe.lm.checkpoint import published
from moe.lm.expressible import published_config
from tests.test_parity import relative_error

MODELS = Path(__file__).parents[1] / "parity" / "models"
COMMITTED = ("mixtral", "olmoe", "qwen3_moe", "dots1", "deepseek_v3", "qwen3")


def errors(model: LanguageModel, golden: dict[str, np.ndarray]) -> tuple[float, float]:
    """How far logits are, and the gradient that is farthest, under published names."""
    logits = relative_error(model.logits(golden["tokens"]), golden["logits"])
    grads = model.gradients(golden["tokens"], golden["targets"]).arrays
    mine = published(model, published_config(model), grads)
    worst, start = 0.0, 0
    for name in sorted(mine):
        theirs = golden["grads"][start : start + mine[name].size].reshape(mine[name].shape)
        start += mine[name].size
        if mine[name].size:
            worst = max(worst, relative_error(mine[name], theirs))
    assert start == golden["grads"].size
    return logits, worst


def as_float64(folder: Path, into: Path) -> LanguageModel:
    """The model of a folder, computed in float64."""
    with open_checkpoint(folder) as checkpoint:
        tensors = {n: (checkpoint.read(n).astype(np.float64), "F64") for n in checkpoint.names}
        write_checkpoint(into, checkpoint.config, tensors)
    return load_model(into)


@pytest.mark.parametrize("case", COMMITTED)
def test_logits_and_gradients_equal_the_reference_library(case: str, tmp_path: Path) -> None:
    with np.load(MODELS / case / "golden.npz") as stored:
        golden = dict(stored)
    assert max(errors(load_model(MODELS / case), golden)) <= 1e-4
    assert max(errors(as_float64(MODELS / case, tmp_path / "wide"), golden)) <= 1e-6


@pytest.mark.parametrize("case", COMMITTED)
def test_what_is_saved_is_what_the_library_saved(case: str, tmp_path: Path) -> None:
    save_model(load_model(MODELS / case), tmp_path / "model")
    with open_checkpoint(tmp_path / "model") as mine, open_checkpoint(MODELS / case) as theirs:
        assert mine.names == theirs.names
        for name in mine.names:
            assert mine.shape(name) == theirs.shape(name)
            assert mine.dtype(name) == theirs.dtype(name)
            assert mine.read(name).tobytes() == theirs.read(name).tobytes()
    first = json.loads((tmp_path / "model" / "config.json").read_text())
    second = json.loads((MODELS / case / "config.json").read_text())
    both = {key: (first[key], second[key]) for key in first.keys() & second.keys()}
    differing = {key for key, (mine, theirs) in both.items() if mine != theirs}
    # The library writes dots1's window although every layer sees all tokens.
    assert differing <= {"sliding_window"} and first.get("sliding_window") is None
    # Names that older readers look for.
    assert first.keys() - second.keys() <= {"rope_theta", "num_experts"}


@pytest.mark.parametrize("case", COMMITTED)
def test_its_layers_alone_are_those_of_load_layer(case: str) -> None:
    model = load_model(MODELS / case)
    if not model.moe_layers:
        return
    for number in moe.moe_layers(MODELS / case):
        assert model.blocks[number].ffn == moe.load_layer(MODELS / case, number)
