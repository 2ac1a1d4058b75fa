"""One config.json means the same to `load_layer`, to `moe cost` and to the reference library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe.checkpoints.config import ConfigValues
from moe.checkpoints.families import COUNTABLE, FAMILIES, LOADABLE
from moe.checkpoints.layer_spec import layer_spec, layers_in
from moe.cost import model_from_config
from moe.errors import CheckpointError

CASES = Path(__file__).parent.parent / "parity"
ALL = sorted(path.parent.name for path in CASES.glob("*/config.json"))
# By case and key: what the reference library makes of a missing key, and of null.
READINGS = json.loads(Path(__file__).with_name("readings.json").read_text("utf-8"))
KEYS = [(case, key) for case, keys in READINGS.items() for key in keys]
# Defaults that do not fit the other sizes of a tiny model: the library stumbles over attention (or
# over the list `layer_types`, which is as long as the tiny model), which no reader here runs.
UNFIT = {
    ("deepseek_v2", "num_attention_heads"), ("deepseek_v3", "num_attention_heads"),
    ("deepseek_v3", "qk_rope_head_dim"), ("hunyuan_v1_moe", "head_dim"), ("olmoe", "hidden_size"),
    ("olmoe", "num_attention_heads"), ("dots1", "num_hidden_layers"),
    ("gpt_oss", "num_hidden_layers"), ("llama4", "num_hidden_layers"),
    ("llama4_text", "num_hidden_layers"), ("qwen2_moe", "num_hidden_layers"),
}  # fmt: skip


def text_part(case: str) -> dict[str, Any]:
    """The configuration of a case's language model, with its family's usual biases."""
    config: dict[str, Any] = json.loads((CASES / case / "config.json").read_text("utf-8"))
    config = config.get("text_config", config)
    # The cost model takes attention's biases from the family, and says so where a file differs.
    return config | {"attention_bias": FAMILIES[config["model_type"]].qkv_bias}


def loaded(config: dict[str, Any]) -> dict[str, int]:
    """The MoE layers as `load_layer` understands them."""
    specs = [layer_spec(config, layer) for layer in layers_in(config)]
    assert all(spec == specs[0] for spec in specs)
    if not specs:
        return {"layers": 0}
    sizes, options = specs[0].sizes, specs[0].router.options()
    return {
        "layers": len(specs), "D": sizes.d_model, "F": sizes.d_expert, "E": sizes.n_experts,
        "shared": sizes.d_shared, "k": options.get("k", 2), "groups": options.get("n_group", 1),
        "reached": options.get("topk_group", 1),
    }  # fmt: skip


def counted(config: dict[str, Any]) -> dict[str, int]:
    """The MoE layers as `moe cost` understands them."""
    model = model_from_config(config)
    if not model.moe_layers:
        return {"layers": 0}
    return {
        "layers": model.moe_layers, "D": model.d_model, "F": model.d_ff_expert, "E": model.experts,
        "shared": model.shared_experts * model.d_ff_shared, "k": model.top_k,
        "groups": max(model.n_group, 1), "reached": max(model.topk_group, 1),
    }  # fmt: skip


def answer(read: Callable[[dict[str, Any]], dict[str, int]], config: dict[str, Any]) -> Any:
    """What a reader makes of a configuration: the MoE layers, or the words of a refusal."""
    try:
        return read(config)
    except CheckpointError as error:
        return str(error)


def test_every_family_that_loads_is_compared() -> None:
    assert set(READINGS) < set(ALL)
    assert set(LOADABLE) <= set(COUNTABLE)
    for case, keys in READINGS.items():
        config = text_part(case)
        family = FAMILIES[config["model_type"]]
        assert set(keys) == (family.keys | set(family.only)) & set(config)


@pytest.mark.parametrize("case", ALL)
def test_both_read_a_whole_file_alike(case: str) -> None:
    assert loaded(text_part(case)) == counted(text_part(case))


@pytest.mark.parametrize(("case", "key"), KEYS)
def test_a_missing_key_has_the_reference_library_s_default(case: str, key: str) -> None:
    config, (reading, _) = text_part(case), READINGS[case][key]
    del config[key]
    load, cost = answer(loaded, config), answer(counted, config)
    if isinstance(load, str) and isinstance(cost, str):
        assert reading is None
        return
    if isinstance(load, str):  # counting needs no router that can choose
        assert load.startswith("config.json: router: ")
    elif isinstance(cost, str):  # a layer needs no attention
        assert cost.startswith("config: kv_heads: got ") and cost.endswith("(heads is 2)")
        assert reading is None
    else:
        assert load == cost
        assert reading is not None or (case, key) in UNFIT
    if reading is not None:
        assert model_from_config(config).total_params == reading["total"]
        if reading["value"] is not None:
            said = config | {key: reading["value"]}
            assert answer(loaded, said) == load and answer(counted, said) == cost


@pytest.mark.parametrize(("case", "key"), KEYS)
def test_null_is_what_it_is_to_the_reference_library(case: str, key: str) -> None:
    config, (_, reading) = text_part(case) | {key: None}, READINGS[case][key]
    load, cost = answer(loaded, config), answer(counted, config)
    if reading is None:
        for words in (load, cost):
            assert isinstance(words, str) and f"{key}: got None, allowed is " in words
        return
    assert load == cost and not isinstance(load, str)
    assert model_from_config(config).total_params == reading["total"]


@pytest.mark.parametrize("case", READINGS)
def test_a_key_that_neither_reads_changes_nothing(case: str) -> None:
    config = text_part(case)
    total = model_from_config(config).total_params
    for key in set(config) - set(READINGS[case]) - {"model_type"}:
        for other in ({k: v for k, v in config.items() if k != key}, config | {key: None}):
            assert loaded(other) == counted(other) == loaded(config)
            assert model_from_config(other).total_params == total


def test_a_part_that_is_no_object_is_refused() -> None:
    values = ConfigValues({"a": 3}, {"b": 1}, {}, {})
    assert values.whole("b") == 1
    with pytest.raises(CheckpointError, match="a: got 3, allowed is an object"):
        ConfigValues({"a": 3}, {"a.b": 1}, {}, {})
