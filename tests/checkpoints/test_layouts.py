"""Layers whose experts lie in one tensor: told by names and shapes, kept, and refused when odd."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.checkpoints.dequantise import from_fp8_blocks
from moe.checkpoints.families import FAMILIES, LOADABLE
from moe.checkpoints.family import MEMORY, PUBLISHED
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.checkpoints.layouts import FUSED, STACKED
from tests.checkpoints.fabricate import mixtral, write_sparse
from tests.lm.test_parity import MODELS
from tests.test_parity import CASES, in_memory

LAYER = 1
CASE = CASES / "qwen3_moe"
BLOCK = f"model.layers.{LAYER}.mlp."
GATE_UP, DOWN = f"{BLOCK}experts.gate_up_proj", f"{BLOCK}experts.down_proj"
Arrays = dict[str, np.ndarray]


def write(folder: Path, arrays: Arrays, config: object = None, dtype: str = "F32") -> Path:
    """A checkpoint of float32 tensors, by default with the case's configuration."""
    config = config or json.loads((CASE / "config.json").read_text())
    write_checkpoint(folder, config, {name: (array, dtype) for name, array in arrays.items()})
    return folder


def arrays_in_memory() -> Arrays:
    return moe.export_layer(in_memory(CASE))


def test_the_layout_is_told_by_names_and_kept(tmp_path):
    published = moe.load_layer(CASE, LAYER)
    stacked = moe.load_layer(write(tmp_path, arrays_in_memory()), LAYER)
    assert (published.origin.layout, stacked.origin.layout) == (PUBLISHED, MEMORY)
    assert stacked == published
    assert GATE_UP in moe.export_layer(stacked) and GATE_UP not in moe.export_layer(published)


def test_gradients_have_the_names_and_shapes_of_the_layer_s_layout(tmp_path):
    layer = moe.load_layer(write(tmp_path, arrays_in_memory()), LAYER)
    x_ND = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    y_ND, ctx = layer.forward(x_ND)
    grads = moe.export_layer(layer, layer.backward(y_ND, ctx)[1])
    assert grads[GATE_UP].shape == (6, 18, 16) and grads[DOWN].shape == (6, 16, 9)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F64"])
def test_a_stacked_layer_of_every_float_type_is_saved_as_it_came(tmp_path, dtype):
    kind = {"BF16": np.float32, "F16": np.float16, "F64": np.float64}[dtype]
    arrays = {name: array.astype(kind) for name, array in arrays_in_memory().items()}
    folder = write(tmp_path / "in", arrays, dtype=dtype)
    moe.save_layer(moe.load_layer(folder, LAYER), tmp_path / "out")
    file = "model.safetensors"
    assert (tmp_path / "in" / file).read_bytes() == (tmp_path / "out" / file).read_bytes()


def test_fp8_blocks_of_stacked_experts_are_those_of_each_expert(tmp_path):
    rng, arrays = np.random.default_rng(1), arrays_in_memory()
    tensors = {name: (array, "F32") for name, array in arrays.items()}
    expected = {}
    for name in (GATE_UP, DOWN):
        n_experts, rows, columns = arrays[name].shape
        bits = rng.integers(0, 127, arrays[name].shape, dtype=np.uint8)
        scale = rng.random((n_experts, -(-rows // 4), -(-columns // 8)), np.float32)
        tensors |= {name: (bits, "F8_E4M3"), f"{name}_scale_inv": (scale, "F32")}
        pairs = zip(bits, scale, strict=True)
        expected[name] = np.stack([from_fp8_blocks(*pair, (4, 8)) for pair in pairs])
    config = json.loads((CASE / "config.json").read_text())
    quantization = {"quant_method": "fp8", "weight_block_size": [4, 8]}
    write_checkpoint(tmp_path, config | {"quantization_config": quantization}, tensors)
    exported = moe.export_layer(moe.load_layer(tmp_path, LAYER))
    for name, array in expected.items():
        assert np.array_equal(exported[name], array)


def test_shards_of_other_layers_may_be_missing(tmp_path):
    config, tensors = mixtral(6, 8, 12, "BF16", stacked=True)
    folder = tmp_path / "model"
    write_sparse(folder, config, tensors, 6)
    before = moe.load_layer(folder, 4)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for name, file in index.items() if "layers.4." in name}
    for path in folder.glob("*.safetensors"):
        if path.name not in needed:
            path.unlink()
    assert len(needed) == 1 and moe.load_layer(folder, 4) == before
    with pytest.raises(moe.CheckpointError, match="no such file"):
        moe.load_layer(folder, 3)


def test_whole_models_are_read_in_either_layout(tmp_path):
    name = "qwen3_moe"
    with open_checkpoint(MODELS / name) as checkpoint:
        arrays = {one: np.array(checkpoint.read(one)) for one in checkpoint.names}
        config = checkpoint.config
    pattern = re.compile(r"(.*\.mlp\.experts\.)(\d+)\.(gate|up|down)_proj\.weight")
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    for one in sorted(arrays):
        if match := pattern.fullmatch(one):
            parts.setdefault(match[1], {}).setdefault(match[3], []).append(arrays.pop(one))
    assert parts
    for start, kinds in parts.items():
        gate_up = np.concatenate([np.stack(kinds["gate"]), np.stack(kinds["up"])], 1)
        arrays |= {f"{start}gate_up_proj": gate_up, f"{start}down_proj": np.stack(kinds["down"])}
    write(tmp_path / "stacked", arrays, config)
    tokens_BT = np.array([[1, 2, 3]])
    models = [moe.lm.load_model(folder) for folder in (MODELS / name, tmp_path / "stacked")]
    logits = [model.logits(tokens_BT) for model in models]
    assert np.array_equal(*logits)


# A family whose published order of axes is (E, D, 2F), under the names of the other layout --------


def sized(folder: Path, monkeypatch, d_model: int, width: int, order: str) -> Path:
    """A checkpoint of such a family, with tensors in the one or the other order."""
    row = replace(FAMILIES["qwen3_moe"], layout=FUSED)
    monkeypatch.setitem(LOADABLE, "either", row)
    rng = np.random.default_rng(2)
    shapes = {GATE_UP: (3, 2 * width, d_model), DOWN: (3, d_model, width)}
    arrays = {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}
    if order == PUBLISHED:
        arrays = {name: array.swapaxes(1, 2).copy() for name, array in arrays.items()}
    gate = rng.standard_normal((3, d_model)).astype(np.float32)
    config = {
        "model_type": "either", "num_hidden_layers": 2, "hidden_size": d_model,
        "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": width,
    }  # fmt: skip
    return write(folder, arrays | {f"{BLOCK}gate.weight": gate}, config)


@pytest.mark.parametrize("order", [PUBLISHED, MEMORY])
def test_the_order_of_axes_is_told_by_shapes_and_kept(tmp_path, monkeypatch, order):
    folder = sized(tmp_path / "in", monkeypatch, 5, 4, order)
    layer = moe.load_layer(folder, LAYER)
    assert layer.origin.layout == order
    assert layer == moe.load_layer(sized(tmp_path / "b", monkeypatch, 5, 4, MEMORY), LAYER)
    moe.save_layer(layer, tmp_path / "out")
    file = "model.safetensors"
    assert (tmp_path / "in" / file).read_bytes() == (tmp_path / "out" / file).read_bytes()


@pytest.mark.parametrize(("d_model", "width"), [(8, 4), (4, 4)])
def test_where_one_shape_fits_both_orders_the_library_s_own_is_read(
    tmp_path, monkeypatch, d_model, width
):
    """The reference library turns no tensor that has the shape of its own layout."""
    own = moe.load_layer(sized(tmp_path / "own", monkeypatch, d_model, width, MEMORY), LAYER)
    assert own.origin.layout == MEMORY
    folder = sized(tmp_path / "other", monkeypatch, d_model, width, PUBLISHED)
    alike = "gate_up_proj" if d_model == 2 * width else "down_proj"
    with pytest.raises(moe.CheckpointError, match=f"experts.{alike}': got shape .* another order"):
        moe.load_layer(folder, LAYER)


def test_a_shape_of_neither_order_is_refused_by_the_published_one(tmp_path, monkeypatch):
    folder = sized(tmp_path / "in", monkeypatch, 5, 4, MEMORY)
    config = json.loads((folder / "config.json").read_text()) | {"moe_intermediate_size": 3}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(moe.CheckpointError, match=r"got shape \(3, 8, 5\), .* says \(3, 5, 6\)"):
        moe.load_layer(folder, LAYER)


def test_layouts_that_differ_in_one_name_are_told_by_it(tmp_path, monkeypatch):
    """Experts that are published stacked, with a bias that the library has under another name."""
    bias = {"select_bias": "gate.bias", "memory": {"select_bias": "gate.moved"}}
    row = replace(FAMILIES["deepseek_v3"], layout=STACKED, **bias)
    monkeypatch.setitem(LOADABLE, "stacked", row)
    layer = in_memory(CASES / "deepseek_v3")
    config = layer.origin.config | {"model_type": "stacked"}
    for name, layout in (("bias", PUBLISHED), ("moved", MEMORY)):
        arrays = {
            one.replace("e_score_correction_bias", name): array
            for one, array in moe.export_layer(layer).items()
        }
        again = moe.load_layer(write(tmp_path / name, arrays, config), LAYER)
        assert again.origin.layout == layout and again == layer
        assert set(moe.export_layer(again)) == set(arrays)


# Odd files ----------------------------------------------------------------------------------------


def test_tensors_of_both_layouts_are_refused(tmp_path):
    both = moe.export_layer(moe.load_layer(CASE, LAYER)) | arrays_in_memory()
    with pytest.raises(moe.CheckpointError, match=r"down_proj.*does not account for"):
        moe.load_layer(write(tmp_path, both), LAYER)


@pytest.mark.parametrize("name", [GATE_UP, DOWN])
def test_a_stacked_tensor_that_is_missing_odd_or_not_finite_is_refused(tmp_path, name):
    def refused(folder: str, arrays: Arrays) -> str:
        with pytest.raises(moe.CheckpointError) as caught:
            moe.load_layer(write(tmp_path / folder, arrays), LAYER)
        return str(caught.value)

    arrays = arrays_in_memory()
    assert "got no tensor" in refused("none", {n: a for n, a in arrays.items() if n != name})
    turned = arrays | {name: arrays[name].swapaxes(1, 2).copy()}
    assert f"'{name}': got shape" in refused("turned", turned)
    arrays[name][-1, -1, -1] = np.nan
    assert refused("nan", arrays).startswith(f"tensor '{name}': got NaN")
