"""Pruning of a language model, of a folder and of a layer's file."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.lm.checkpoint import load_model
from moe.lm.config import LMConfig
from moe.lm.model import LanguageModel
from moe.lm.pruning import ROWS, expert_use, kept_experts, prune_model
from moe.lm.pruning_files import _pieces
from moe.lm.run_folder import train_in, windows_of
from moe.lm.settings import LMTrainSettings
from moe.lm.training import evaluate

CONFIG = LMConfig(d_model=16, d_expert=8, n_experts=6, n_layers=3, n_dense=1, context=16)
TOKENS = np.random.default_rng(0).integers(0, 256, (40, 16))


def shuffled(config: LMConfig = CONFIG) -> LanguageModel:
    """A model whose output is not zero, as it is at the start."""
    model = LanguageModel.init(config, seed=3)
    model.params["out_DV"][:] = np.random.default_rng(1).standard_normal((16, 256)) / 4
    return model


def test_a_models_use_is_that_of_its_layers_on_what_they_get() -> None:
    model = shuffled()
    uses = expert_use(model, [TOKENS[:30], TOKENS[30:]])
    assert len(uses) == 2
    ctx = model.forward(TOKENS)
    for number, use in zip((1, 2), uses, strict=True):
        kept = ctx.blocks[number].ffn
        wanted = moe.ExpertUse.of(model.blocks[number].ffn, kept.x_ND)  # type: ignore[arg-type]
        assert use.count_E.tolist() == wanted.count_E.tolist()
        assert np.allclose(use.reap_E, wanted.reap_E, rtol=1e-5)
        assert use.count_E.sum() == TOKENS.size * 2


def test_many_tokens_run_in_parts_and_count_once() -> None:
    model = shuffled()
    many = np.tile(TOKENS, (20, 1))
    assert many.size > ROWS
    assert expert_use(model, [many])[0].count_E.sum() == many.size * 2


def test_every_layer_loses_as_many_and_keeps_its_own() -> None:
    model = shuffled()
    uses = expert_use(model, [TOKENS])
    kept = kept_experts(uses, 4)
    left = prune_model(model, kept)
    assert (left.config.n_experts, model.config.n_experts) == (4, 6)
    for layer, old, keep_M in zip(left.moe_layers, model.moe_layers, kept, strict=True):
        assert layer == moe.prune(old, keep_M)
    assert left.params is model.params and left.blocks[0] is model.blocks[0]
    assert np.isfinite(left.logits(TOKENS)).all()
    whole = prune_model(model, kept_experts(uses, 6, "count"))
    assert whole.logits(TOKENS).tobytes() == model.logits(TOKENS).tobytes()
    drawn = kept_experts(uses, 3, "random", 1)
    assert [a.tolist() for a in drawn] == [a.tolist() for a in kept_experts(uses, 3, "random", 1)]
    assert drawn[0].tolist() != drawn[1].tolist()


def test_models_that_cannot_be_pruned_are_refused() -> None:
    with pytest.raises(ValueError, match="model: got one without experts"):
        expert_use(LanguageModel.init(LMConfig(n_experts=0, d_model=16)), [TOKENS])
    hashed = LanguageModel.init(replace(CONFIG, router="hash"))
    with pytest.raises(ValueError, match="looks experts up in a table"):
        expert_use(hashed, [TOKENS])
    model = shuffled()
    for pieces, why in (([], "pieces: got no token"), ([TOKENS[:0]], "pieces: got no token"),
                        ([TOKENS[0]], r"pieces: got shape \(16,\), allowed is \(B, T\)"),
                        ([TOKENS / 1], "tokens_BT: got float64")):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            expert_use(model, pieces)
    listed = expert_use(model, [TOKENS.tolist()])  # type: ignore[list-item]
    assert listed[0].count_E.tolist() == expert_use(model, [TOKENS])[0].count_E.tolist()
    with pytest.raises(ValueError, match="kept: got the experts of 1 layers, allowed are those of"):
        prune_model(model, [np.arange(2)])
    with pytest.raises(ValueError, match=r"layers: got 2 of \[2, 3\] experts, allowed are 2 of as"):
        prune_model(model, [np.arange(2), np.arange(3)])
    with pytest.raises(ValueError, match="n_keep: got 7"):
        kept_experts(expert_use(model, [TOKENS]), 7)


# The command -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run on a little text."""
    text = tmp_path / "learnt.txt"
    text.write_bytes(b"the quick brown fox jumps over the lazy dog\n" * 100)
    settings = LMTrainSettings(**vars(CONFIG) | dict(steps=3, batch=4, text=str(text)))
    deque(train_in(tmp_path / "run", settings), 0)
    return tmp_path / "run"


def test_the_command_writes_what_the_library_prunes(
    run_moe: Any, folder: Path, tmp_path: Path
) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "left"
    text.write_bytes(TOKENS.astype(np.uint8).tobytes() + b"rest")
    command = ("prune", str(folder), "--keep", "4", "--text", str(text), "--out", str(out))
    found = json.loads(run_moe(*command, "--json").stdout)
    model = load_model(folder)
    uses = expert_use(model, [TOKENS, np.frombuffer(b"rest", np.uint8)[None]])
    kept = kept_experts(uses, 4)
    assert [one["kept"] for one in found["layers"]] == [keep_M.tolist() for keep_M in kept]
    assert [one["layer"] for one in found["layers"]] == [1, 2]
    assert found["calibration_tokens"] == TOKENS.size + 4
    assert (found["out"], found["by"]) == (str(out), "reap")
    for one, use in zip(found["layers"], uses, strict=True):
        assert one["reap"] == use.reap_E.tolist() and one["tokens"] == use.count_E.tolist()
        assert sorted(one["kept"] + one["dropped"]) == list(range(6))
    left = load_model(out)
    assert left.logits(TOKENS).tobytes() == prune_model(model, kept).logits(TOKENS).tobytes()
    windows = windows_of(folder, 16)
    assert found["bits_before"] == pytest.approx(evaluate(model, windows).bits_per_byte)
    assert found["bits_after"] == pytest.approx(evaluate(left, windows).bits_per_byte)
    assert found["params_after"] == left.n_params < found["params_before"] == model.n_params


def test_the_command_says_what_it_did_and_what_it_cannot(
    run_moe: Any, folder: Path, tmp_path: Path
) -> None:
    out = ("--out", str(tmp_path / "left"))
    said = run_moe("prune", str(folder), "--keep", "3", "--by", "count", *out, COLUMNS="200").stdout
    assert "3 of 6 experts stay in each layer" in said and "bits a byte before" in said
    for wrong, why in (
        (("--keep", "3", *out), "which is there; allowed is a new folder"),
        (("--keep", "3", "--out", str(folder)), "which is there; allowed is a new folder"),
        (("--keep", "7", "--out", str(tmp_path / "b")), "n_keep: got 7"),
        (("--keep", "1", "--out", str(tmp_path / "b")), "k: got 2"),
        (("--keep", "3", "--by", "luck", "--out", str(tmp_path / "b")), "by: got 'luck'"),
        (("--keep", "3", "--inputs", "x.npy", "--out", str(tmp_path / "b")), "allowed is --text"),
    ):
        assert why in run_moe("prune", str(folder), *wrong, code=2).stderr
    assert not (tmp_path / "b").exists()


def test_of_long_texts_pieces_are_taken_at_equal_distances(folder: Path, tmp_path: Path) -> None:
    texts, context = tmp_path / "texts", CONFIG.context
    texts.mkdir()
    for name in "ab":
        (texts / name).write_bytes(name.encode() * context * 6)
    windows = windows_of(folder, context)
    for most, wanted in ((4, "aabb"), (1, "a"), (12, "a" * 6 + "b" * 6), (10**12, None)):
        (found_BT,) = _pieces([str(texts)], windows, context, most, 0)
        assert found_BT.shape[1] == context
        said = bytes(found_BT[:, 0].tolist()).decode()
        assert said == (wanted or "a" * 6 + "b" * 6)
    (drawn_BT,) = _pieces([], windows, context, 10**12, 0)  # no more than the text has
    assert drawn_BT.shape == (windows.corpus.n_bytes // context, context)


def test_a_layers_file_is_pruned_by_tokens_of_its_own(run_moe: Any, tmp_path: Path) -> None:
    layer, path = moe.MoELayer.init(8, 6, 5), tmp_path / "layer.safetensors"
    layer.save(path)
    x_ND = np.random.default_rng(0).standard_normal((70, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x_ND)
    out = tmp_path / "left.safetensors"
    command = ("prune", str(path), "--keep", "3", "--out", str(out))
    assert "inputs: got none" in run_moe(*command, code=2).stderr
    for name, value in (("text", str(path)), ("windows", "3")):
        said = run_moe(*command, f"--{name}", value, code=2, COLUMNS="300").stderr
        assert f"{name}: got " in said and "with a layer's file, allowed is --inputs" in said
    command = (*command, "--inputs", str(tmp_path / "x.npy"))
    found = json.loads(run_moe(*command, "--json").stdout)
    wanted = moe.prune(layer, moe.experts_to_keep(moe.ExpertUse.of(layer, x_ND), 3))
    assert moe.load(out) == wanted
    assert found["bits_before"] is None and found["calibration_tokens"] == 70
    assert "which is there" in run_moe(*command, code=2).stderr
    np.save(tmp_path / "x.npy", x_ND[:, :5])
    wrong = run_moe(*command[:-4], "--out", str(tmp_path / "new"), *command[-2:], code=2).stderr
    assert "x_ND: got shape (70, 5)" in wrong
