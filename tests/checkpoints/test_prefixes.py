"""Layers inside larger models: whose configuration counts, and what stands before their tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.checkpoints.families import LOADABLE, PARTS, family_of
from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.checkpoints.find import PREFIXES
from moe.checkpoints.nearest import nearest
from moe.cost import model_from_config
from tests.test_parity import CASES, LAYER

CASE = "qwen3_moe"
CONFIG: dict[str, Any] = json.loads((CASES / CASE / "config.json").read_text())
GATE = f"layers.{LAYER}.mlp.gate.weight"


def copy(
    folder: Path, rename: Callable[[str], str] = str, config: Any = None, case: str = CASE
) -> Path:
    """The case with other names and another configuration."""
    with open_checkpoint(CASES / case) as checkpoint:
        tensors = {
            rename(name): (np.array(checkpoint.read(name)), checkpoint.dtype(name))
            for name in checkpoint.names
        }
    write_checkpoint(folder, config or CONFIG, tensors)
    return folder


def moved(prefix: str) -> Callable[[str], str]:
    return lambda name: prefix + name.removeprefix("model.")


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(moe.CheckpointError) as caught:
        moe.load_layer(folder, LAYER, **options)
    return str(caught.value)


# Configurations -----------------------------------------------------------------------------------

NESTED = {
    "text_config": {"model_type": "internvl", "text_config": CONFIG},
    "thinker_config": {
        "model_type": "qwen3_omni_moe",
        "thinker_config": {"model_type": "qwen3_omni_moe_thinker", "text_config": CONFIG},
    },
    "llm_config": {"model_type": "internvl_chat", "llm_config": CONFIG},
    "language_config": {"model_type": "deepseek_vl_v2", "language_config": CONFIG},
}


@pytest.mark.parametrize("key", PARTS)
def test_the_text_model_s_part_of_a_configuration_counts(tmp_path, key):
    expected = moe.load_layer(CASES / CASE, LAYER)
    layer = moe.load_layer(copy(tmp_path / "in", config=NESTED[key]), LAYER)
    assert layer == expected
    moe.save_layer(layer, tmp_path / "out")
    assert moe.load_layer(tmp_path / "out", LAYER) == expected
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == NESTED[key]
    assert model_from_config(NESTED[key]).total_params == model_from_config(CONFIG).total_params


def test_kimi_k25_is_read_under_its_published_names(tmp_path):
    text = json.loads((CASES / "kimi_k2" / "config.json").read_text())
    config = {"model_type": "kimi_k25", "text_config": text, "vision_config": {"depth": 2}}
    moved_to = "language_model.model.layers."
    folder = copy(tmp_path, lambda name: name.replace("model.layers.", moved_to), config, "kimi_k2")
    layer = moe.load_layer(folder, LAYER)
    assert layer == moe.load_layer(CASES / "kimi_k2", LAYER)
    assert all(name.startswith(moved_to) for name in moe.export_layer(layer))


@pytest.mark.parametrize("change", [{"shared_expert_combination_strategy": "sum"}, {}])
def test_the_sum_of_routed_and_shared_experts_is_twice_their_average(tmp_path, change):
    config = json.loads((CASES / "cohere2_moe" / "config.json").read_text())
    average = moe.load_layer(CASES / "cohere2_moe", LAYER)
    layer = moe.load_layer(copy(tmp_path, config=config | change, case="cohere2_moe"), LAYER)
    x_ND = np.random.default_rng(0).standard_normal((7, layer.d_model)).astype(np.float32)
    np.testing.assert_array_equal(layer(x_ND), average(x_ND) * (1 + bool(change)))
    here, there = moe.export_layer(layer), moe.export_layer(average)
    assert all(here[name].tobytes() == there[name].tobytes() for name in there)


def test_matrices_of_experts_that_return_x_are_not_read(tmp_path):
    case, more = "longcat_flash", f"model.layers.{LAYER}.mlp.experts."
    config = json.loads((CASES / case / "config.json").read_text())
    first, idle = config["n_routed_experts"], config["zero_expert_num"]
    with open_checkpoint(CASES / case) as checkpoint:
        known = {n: (np.array(checkpoint.read(n)), "F32") for n in checkpoint.names}
    matrix = (np.ones((4, 8), np.float32), "F32")
    unread = {f"{more}{first + n}.gate_proj.weight": matrix for n in range(idle)}
    beside = {f"model.layers.{LAYER}.mlps.0.gate_proj.weight": matrix}
    write_checkpoint(tmp_path / "in", config, known | unread | beside)
    assert moe.load_layer(tmp_path / "in", LAYER) == moe.load_layer(CASES / case, LAYER)
    another = {f"{more}{first + idle}.gate_proj.weight": matrix}
    write_checkpoint(tmp_path / "more", config, known | another)
    assert f"{first + idle}.gate_proj" in refused(tmp_path / "more")


def test_a_type_that_is_known_is_not_looked_into():
    config = CONFIG | {"text_config": {"model_type": "mixtral"}}
    assert family_of(config, LOADABLE)[0] == CASE


def test_a_part_without_a_type_has_that_of_the_whole_and_text():
    config = {"model_type": "llama4", "text_config": {"num_hidden_layers": 2}}
    assert family_of(config, LOADABLE)[::2] == ("llama4_text", {"num_hidden_layers": 2})


REFUSED = [
    ({"model_type": "llava", "text_config": {"model_type": "phi9"}},
     "model_type: got 'llava', in its text_config 'phi9', allowed is one of "),
    ({"model_type": "llava", "text_config": 5}, "text_config: got 5, allowed is an object"),
    ({"model_type": "llava", "text_config": {"model_type": 7, "text_config": CONFIG}},
     "got 'llava', in its text_config 7, allowed"),
    ({"model_type": "gemma4", "text_config": {"model_type": "gemma4_text"}},
     "; gemma4_text is refused: a gate and experts that get the residual each through"),
    ({"text_config": CONFIG}, "model_type: got None, allowed"),
    ({"model_type": "llava", "vision_config": CONFIG}, "model_type: got 'llava', allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_part_of_no_known_type_is_refused(config, words):
    with pytest.raises(moe.CheckpointError) as caught:
        family_of(config, LOADABLE)
    assert words in str(caught.value)


def test_parts_in_parts_end():
    config: dict[str, Any] = {}
    config |= {"model_type": "x", "text_config": config}
    with pytest.raises(moe.CheckpointError, match="got 'x', in its text_config 'x'"):
        family_of(config, LOADABLE)


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
def test_usual_prefixes_are_found_and_kept(tmp_path, prefix):
    layer = moe.load_layer(copy(tmp_path / "in", moved(prefix)), LAYER)
    assert layer == moe.load_layer(CASES / CASE, LAYER)
    assert all(name.startswith(f"{prefix}layers.1.") for name in moe.export_layer(layer))


WRAPPERS = ["base_model.model.model.", "module.model.", "_orig_mod.model.", "a.thinker.model."]


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_other_prefixes_can_be_told_and_are_named(tmp_path, prefix):
    folder = copy(tmp_path, moved(prefix))
    near = f"; the nearest is '{prefix}{GATE}', whose prefix is '{prefix}'"
    message = refused(folder)
    assert message == f"got no tensor 'model.{GATE}' in this checkpoint{near}"
    assert moe.load_layer(folder, LAYER, prefix) == moe.load_layer(CASES / CASE, LAYER)
    with pytest.raises(ValueError, match="prefix: got 3, allowed is a text"):
        moe.load_layer(folder, LAYER, 3)
    assert refused(folder, prefix="x.") == f"got no tensor 'x.{GATE}' in this checkpoint{near}"


def test_a_prefix_that_is_told_goes_before_the_usual_ones(tmp_path):
    assert "whose prefix is 'model.'" in refused(copy(tmp_path), prefix="")


def test_the_nearest_tensor_of_another_layout_is_named_too(tmp_path):
    def stacked(name: str) -> str:
        return f"m.layers.1.mlp.{name.split('.mlp.')[1]}".replace("gate.weight", "router.weight")

    with open_checkpoint(CASES / "phimoe") as checkpoint:
        tensors = {
            stacked(name.replace("block_sparse_moe", "mlp")): (checkpoint.read(name), "F32")
            for name in checkpoint.names
        }
        write_checkpoint(tmp_path, checkpoint.config, tensors)
    near = "'m.layers.1.mlp.router.weight', whose prefix is 'm.'"
    message = refused(tmp_path)
    assert message.startswith("got no tensor 'model.layers.1.mlp.router") and near in message


NAMES = [
    "model.layers.1.mlp.gate.weight",
    "model.layers.1.mlp.experts.0.up.qweight",
    "lm_head.weight",
]
NEAREST = {
    "model.layers.1._orig_mod.mlp.gate.weight": "model.layers.1.mlp.gate.weight",
    "model.layers.1.block_sparse_moe.gate.weight": "model.layers.1.mlp.gate.weight",
    "model.layers.1.mlp.experts.0.up.weight": "model.layers.1.mlp.experts.0.up.qweight",
    "model.norm.bias": "",
}


@pytest.mark.parametrize("wanted", NEAREST)
def test_without_the_same_ending_the_name_with_most_in_common_is_named(wanted):
    best = NEAREST[wanted]
    assert nearest(NAMES, wanted) == (f"; the nearest is '{best}'" if best else "")
