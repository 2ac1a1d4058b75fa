"""`load_layer` and `save_layer`: types, prefixes, which layers are MoE, and clear errors."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.capacity import Capacity
from moe.checkpoints.families import LOADABLE
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.checkpoints.layer_spec import layer_spec, layers_in

CASES = Path(__file__).parent.parent / "parity"
LAYER = 1
GATE = f"model.layers.{LAYER}.block_sparse_moe.gate.weight"
W1 = f"model.layers.{LAYER}.block_sparse_moe.experts.0.w1.weight"
Tensors = dict[str, tuple[np.ndarray, str]]


def copy(name: str, folder: Path, config: dict[str, Any] | None = None,
         change: Callable[[Tensors], Tensors] = dict, shard: int = 10**9) -> Path:  # fmt: skip
    """Write a parity case again with another configuration, other tensors or shards."""
    with open_checkpoint(CASES / name) as checkpoint:
        tensors = {n: (np.array(checkpoint.read(n)), checkpoint.dtype(n)) for n in checkpoint.names}
        write_checkpoint(folder, checkpoint.config | (config or {}), change(tensors), shard)
    return folder


def as_type(dtype: str) -> Callable[[Tensors], Tensors]:
    """Return a change of all tensors to another element type."""
    kinds = {"F16": np.float16, "BF16": np.float32, "F64": np.float64}
    return lambda tensors: {n: (a.astype(kinds[dtype]), dtype) for n, (a, _) in tensors.items()}


def refused(folder: Path, layer: Any = LAYER) -> str:
    """Load a layer that cannot be loaded; return the message."""
    with pytest.raises(moe.CheckpointError) as caught:
        moe.load_layer(folder, layer)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_every_float_type_is_read_exactly_and_written_again(tmp_path, dtype):
    folder = copy("minimax_m2", tmp_path / "in", change=as_type(dtype))
    layer = moe.load_layer(folder, LAYER)
    assert layer.dtype == (np.float64 if dtype == "F64" else np.float32)
    moe.save_layer(layer, tmp_path / "out")
    with open_checkpoint(folder) as before, open_checkpoint(tmp_path / "out") as after:
        for name in before.names:
            assert after.dtype(name) == dtype
            assert after.read(name).tobytes() == before.read(name).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["BF16", "F64"])
def test_a_changed_or_cast_layer_comes_back_bit_for_bit(tmp_path, source, dtype):
    folder = copy("mixtral", tmp_path / "in", change=as_type(source))
    layer = moe.load_layer(folder, LAYER).astype(dtype)
    layer.params["gate_DE"] += layer.params["gate_DE"].dtype.type(1e-7)
    moe.save_layer(layer, tmp_path / "out")
    again = moe.load_layer(tmp_path / "out", LAYER)
    assert again.dtype == layer.dtype
    assert all(again.params[n].tobytes() == a.tobytes() for n, a in layer.params.items())


def test_a_sharded_checkpoint_and_a_bare_model_are_read(tmp_path):
    expected = moe.load_layer(CASES / "mixtral", LAYER)
    sharded = copy("mixtral", tmp_path / "shards", shard=2000)
    assert len(list(sharded.glob("*.safetensors"))) > 3
    bare = copy(
        "mixtral",
        tmp_path / "bare",
        change=lambda tensors: {n.removeprefix("model."): t for n, t in tensors.items()},
    )
    for folder in (sharded, bare):
        layer = moe.load_layer(folder, LAYER)
        assert all(np.array_equal(layer.params[n], a) for n, a in expected.params.items())
    assert all(name.startswith("layers.1.") for name in moe.export_layer(layer))


def test_only_the_tensors_of_the_layer_are_read(tmp_path, monkeypatch):
    folder = copy(
        "mixtral", tmp_path, change=lambda t: t | {"model.norm": (np.ones(9, np.float32), "F32")}
    )
    read = []
    real = moe.checkpoints.files.Checkpoint.read
    monkeypatch.setattr(
        "moe.checkpoints.files.Checkpoint.read",
        lambda self, name, place=None: (read.append(name), real(self, name, place))[1],
    )
    moe.load_layer(folder, LAYER)
    assert len(read) == 19 and "model.norm" not in read


MOE_LAYERS = {
    "mixtral": ({}, [0, 1, 2, 3, 4, 5]),
    "qwen2_moe": ({"decoder_sparse_step": 2, "mlp_only_layers": [3]}, [1, 5]),
    "deepseek_v3": ({}, [3, 4, 5]),
    "ernie4_5_moe": ({"moe_layer_interval": 2, "moe_layer_end_index": 4}, [1, 3]),
    "llama4_text": ({"interleave_moe_layer_step": 3}, [2, 5]),
}


@pytest.mark.parametrize("model_type", MOE_LAYERS)
def test_the_configuration_says_which_layers_are_moe(model_type):
    config, layers = MOE_LAYERS[model_type]
    config = {"model_type": model_type, "num_hidden_layers": 6} | config
    assert list(layers_in(config)) == layers


def test_a_folder_s_moe_layers_can_be_looped_over_with_numpy_s_integers(tmp_path):
    layers = moe.moe_layers(CASES / "deepseek_v3")
    assert layers == [1]
    loaded = [moe.load_layer(CASES / "deepseek_v3", layer) for layer in np.array(layers)]
    assert loaded == [moe.load_layer(str(CASES / "deepseek_v3"), 1)]
    moe.save_layer(loaded[0], tmp_path / "out")
    assert moe.load_layer(tmp_path / "out", 1) == loaded[0]
    assert type(loaded[0].origin.layer) is int


def test_only_the_configuration_is_read_for_the_list(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mixtral", "num_hidden_layers": 3}')
    assert moe.moe_layers(str(tmp_path)) == [0, 1, 2]
    with pytest.raises(moe.CheckpointError, match="allowed is an existing folder"):
        moe.moe_layers(tmp_path / "none")
    with pytest.raises(moe.CheckpointError, match="allowed is a path"):
        moe.moe_layers(3)


def test_a_list_of_moe_layers_goes_before_the_step():
    config = {"model_type": "llama4_text", "num_hidden_layers": 4, "moe_layers": [0, 3]}
    assert layers_in({"model_type": "llama4", "text_config": config}) == (0, 3)


def test_lists_in_hunyuan_s_configuration_count_by_layer():
    config = {"model_type": "hunyuan_v1_moe", "num_hidden_layers": 3}
    plan = layer_spec(config | {"num_experts": [4, 8, 8], "moe_topk": [1, 2, 3]}, 2)
    assert plan.sizes.n_experts == 8 and plan.router.options()["k"] == 3


@pytest.mark.parametrize("layer", [0, 2, -1, 1.0, True, "1", None])
def test_a_layer_that_is_dense_or_not_there_is_refused(layer):
    message = refused(CASES / "deepseek_v3", layer)
    assert message.startswith("layer: got ") and message.endswith("MoE layers are 1")
    assert ("dense" in message) == (layer == 0 and layer is not False)


CONFIGS = [
    ({"model_type": "llama"}, ["model_type: got 'llama'", *LOADABLE, 'text_config']),
    ({"model_type": ["mixtral"]}, ["model_type"]),
    ({"num_local_experts": 6.0}, ["num_local_experts: got 6.0", "whole number"]),
    ({"num_local_experts": "6"}, ["num_local_experts: got '6'"]),
    ({"num_local_experts": True}, ["num_local_experts: got True"]),
    ({"num_local_experts": 0}, ["num_local_experts: got 0"]),
    ({"num_local_experts": 7}, [GATE, "(6, 16)", "(7, 16)"]),
    ({"num_local_experts": 10**9}, [GATE, "(6, 16)"]),
    ({"num_experts": 5}, ["num_local_experts and num_experts say [6, 5]"]),
    ({"num_experts_per_tok": 9}, ["router: k: got 9"]),
    ({"num_hidden_layers": 10**9}, ["num_hidden_layers: got 1000000000"]),
    ({"hidden_size": 32}, [GATE, "(6, 32)"]),
    ({"intermediate_size": 4}, [W1, "(4, 16)"]),
    ({"hidden_act": "gelu"}, ["hidden_act: got 'gelu'", "'silu'"]),
]  # fmt: skip


@pytest.mark.parametrize("config, words", CONFIGS, ids=[str(list(c.items())) for c, _ in CONFIGS])
def test_a_configuration_that_does_not_fit_is_refused_in_plain_words(tmp_path, config, words):
    message = refused(copy("mixtral", tmp_path, config))
    assert all(word in message for word in words), message


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


def with_tensor(name: str, array: np.ndarray, dtype: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: (array, dtype)}


BITS = np.zeros((9, 16), np.uint8)
TENSORS = [
    (without(GATE), GATE),
    (without(W1), W1),
    (with_tensor(W1, np.zeros((16, 9), np.float32), "F32"), "(16, 9)"),
    (with_tensor(W1, np.zeros((9, 16), np.int32), "I32"), "I32"),
    (with_tensor(W1, BITS, "F8_E4M3"), W1 + "_scale_inv"),
    (with_tensor(W1[:-6] + "bias", np.zeros(9, np.float32), "F32"), "account for"),
]


@pytest.mark.parametrize("change, words", TENSORS, ids=range(len(TENSORS)))
def test_tensors_that_do_not_fit_are_refused_in_plain_words(tmp_path, change, words):
    assert words in refused(copy("mixtral", tmp_path, change=change))


def test_a_tensor_that_is_not_finite_is_refused_by_its_name(tmp_path):
    """Whichever of the layer's it is; what other layers hold is not read."""
    with open_checkpoint(CASES / "minimax_m2") as checkpoint:
        names = list(checkpoint.names)
    for place, name in enumerate(names):
        bad = (np.nan, np.inf, -np.inf)[place % 3]

        def spoil(tensors, name=name, bad=bad):
            array = tensors[name][0].astype(np.float32)
            array.reshape(-1)[-1] = bad
            return tensors | {name: (array, "F32")}

        message = refused(copy("minimax_m2", tmp_path / str(place), change=spoil))
        assert message == f"tensor '{name}': got NaN or infinity, allowed are finite numbers only"
    other = copy(
        "mixtral", tmp_path / "x", change=with_tensor("lm_head", np.array([np.nan], "f4"), "F32")
    )
    moe.load_layer(other, LAYER)


def test_a_scale_that_is_not_finite_is_refused_too(tmp_path):
    scale = W1 + "_scale_inv"

    def quantised(tensors):
        return tensors | {
            W1: (np.full((9, 16), 0x38, np.uint8), "F8_E4M3"),
            scale: (np.array([[np.inf]], np.float32), "F32"),
        }

    message = refused(copy("mixtral", tmp_path, change=quantised))
    assert message.startswith(f"tensor '{W1}': got NaN or infinity")


# What null means in the reference library where its configuration class allows it.
NULLS = {
    ("deepseek_v3", "norm_topk_prob"): False,
    ("dots1", "norm_topk_prob"): False,
    ("bailing_hybrid", "moe_renormalize"): False,
    ("kimi_linear", "moe_renormalize"): False,
    ("ernie4_5_moe", "use_bias"): False,
    ("qwen3_moe", "mlp_only_layers"): [],
}


@pytest.mark.parametrize(("case", "key"), NULLS)
def test_null_means_what_it_means_to_the_reference_library(tmp_path, case, key):
    same = {key: NULLS[case, key]}
    null = moe.load_layer(copy(case, tmp_path / "null", {key: None}), LAYER)
    assert null.router == moe.load_layer(copy(case, tmp_path / "said", same), LAYER).router


def test_groups_that_a_greedy_choice_does_not_use_may_be_null(tmp_path):
    config = {"topk_method": "greedy", "n_group": None, "topk_group": None}
    router = moe.load_layer(copy("deepseek_v2", tmp_path, config), LAYER).router
    assert (router.n_group, router.topk_group) == (1, 1)


REFUSED_NULLS = [
    ("deepseek_v2", "n_group"),
    ("glm4_moe", "norm_topk_prob"), ("qwen3_moe", "norm_topk_prob"), ("deepseek_v3", "n_group"),
    ("deepseek_v3", "topk_group"), ("deepseek_v3", "n_shared_experts"), ("dots1", "n_group"),
    ("deepseek_v3", "first_k_dense_replace"), ("mixtral", "num_local_experts"),
    ("mixtral", "hidden_act"), ("deepseek_v2", "topk_method"), ("ernie4_5_moe", "moe_norm_min"),
    ("gpt_oss", "swiglu_limit"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "key"), REFUSED_NULLS)
def test_null_is_not_a_missing_key(tmp_path, case, key):
    assert f"{key}: got None, allowed is" in refused(copy(case, tmp_path, {key: None}))


def test_a_shared_expert_of_width_zero_is_none(tmp_path):
    """The reference library writes its matrices, without a number in them."""

    def sized(tensors):
        shapes = {"gate_proj": (0, 16), "up_proj": (0, 16), "down_proj": (16, 0)}
        for name in tensors:
            for part, shape in shapes.items():
                if "shared_experts" in name and part in name:
                    tensors = tensors | {name: (np.zeros(shape, np.float32), "F32")}
        return tensors

    folder = copy("deepseek_v3", tmp_path, {"n_shared_experts": 0}, sized)
    layer = moe.load_layer(folder, LAYER)
    assert not any("shared" in name for name in layer.params)


@pytest.mark.parametrize("size", [128, [128], [0, 128], [128.0, 1], [True, 1]])
def test_a_block_size_that_is_none_is_refused(tmp_path, size):
    config = {"quantization_config": {"weight_block_size": size}}
    assert "weight_block_size" in refused(copy("mixtral", tmp_path, config))


@pytest.mark.parametrize("nested", [None, [], {"model_type": "llama4_text"}])
def test_a_nested_configuration_that_is_missing_or_empty_is_refused(tmp_path, nested):
    folder = tmp_path / "case"
    shutil.copytree(CASES / "llama4", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"text_config": nested}))
    assert ("text_config" in refused(folder)) == (not isinstance(nested, dict))


def test_a_layer_without_an_origin_and_wrong_arrays_are_refused(tmp_path):
    fresh = moe.MoELayer.init(d_model=4, d_expert=4, n_experts=4)
    with pytest.raises(ValueError, match="not loaded from a checkpoint"):
        moe.export_layer(fresh)
    layer = moe.load_layer(CASES / "mixtral", LAYER)
    with pytest.raises(ValueError, match="gate_DE"):
        moe.export_layer(layer, {})
    with pytest.raises(ValueError, match="w_down_EFD of shape"):
        moe.export_layer(layer, layer.params | {"w_down_EFD": np.zeros(3)})
    layer.buffers["select_bias_E"] += 1
    with pytest.raises(ValueError, match="mixtral stores none"):
        moe.save_layer(layer, tmp_path)


CHANGES = {
    "the router TopK(k=1,": lambda layer: {"router": replace(layer.router, k=1)},
    "the activation 'gelu'": lambda layer: {
        "activation": "gelu",
        "params": {
            n.replace("w_gate_up_ED2F", "w_up_EDF"): a[:, :, :9].copy() if "gate_up" in n else a
            for n, a in layer.params.items()
        },
    },
    "the activation 'clamped_swiglu'": lambda layer: {"activation": "clamped_swiglu"},
    "the capacity Capacity(factor=1.25": lambda layer: {"capacity": Capacity()},
    "b_down_ED, which mixtral does not have": lambda layer: {
        "params": layer.params | {"b_down_ED": np.ones((6, 16), np.float32)}
    },
}


def test_a_layer_with_fewer_experts_or_broken_numbers_is_not_saved(tmp_path):
    layer = moe.load_layer(CASES / "mixtral", LAYER)
    fewer = {n: (a[:, :5] if n == "gate_DE" else a[:5]).copy() for n, a in layer.params.items()}
    with pytest.raises(ValueError, match=r"gate_DE of shape \(16, 5\), allowed is \(16, 6\)"):
        buffers = {name: array[:5] for name, array in layer.buffers.items()}
        moe.save_layer(replace(layer, params=fewer, buffers=buffers), tmp_path / "out")
    layer.params["w_down_EFD"][5, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"layer: got NaN or infinity in .*experts\.5\.w2"):
        moe.save_layer(layer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("message", CHANGES)
def test_what_the_configuration_cannot_express_is_refused_and_kept_by_the_other_way(
    tmp_path, message
):
    layer = moe.load_layer(CASES / "mixtral", LAYER)
    changed = replace(layer, **CHANGES[message](layer))
    with pytest.raises(ValueError, match=re.escape(message)):
        moe.save_layer(changed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    changed.save(tmp_path / "layer")
    assert moe.load(tmp_path / "layer") == changed


def test_exported_arrays_are_copies():
    layer = moe.load_layer(CASES / "mixtral", LAYER)
    moe.export_layer(layer)[GATE][:] = 0
    assert layer.params["gate_DE"].any()
