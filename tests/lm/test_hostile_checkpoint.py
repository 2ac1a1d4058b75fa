"""Broken and hostile files of whole models: each is refused at once, in plain words."""

from __future__ import annotations

import json
import shutil
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe.checkpoints.files import open_checkpoint, write_checkpoint
from moe.errors import CheckpointError
from moe.lm import LanguageModel, load_model
from moe.lm.layouts import LAYOUTS

from .test_parity import COMMITTED, MODELS

MAX_SECONDS, MAX_PEAK = 1.0, 50e6


def attempt(folder: Path) -> LanguageModel | str:
    """The model, or the words of the refusal; fails if it is slow, large or unclear."""
    tracemalloc.start()
    began = time.thread_time()
    try:
        return load_model(folder)
    except CheckpointError as error:
        assert str(error).isprintable() and len(str(error)) < 600
        return str(error)
    finally:
        seconds, peak = time.thread_time() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seconds < MAX_SECONDS and peak < MAX_PEAK, f"{seconds:.2f} s, {peak / 1e6:.0f} MB"


def refusal(folder: Path) -> str:
    found = attempt(folder)
    assert isinstance(found, str)
    return found


def copy_of(case: str, folder: Path) -> Path:
    return Path(shutil.copytree(MODELS / case, folder / case))


def with_config(case: str, folder: Path, **changes: Any) -> Path:
    """A case with other values in its config.json; `...` takes a key away."""
    copy = copy_of(case, folder)
    config = json.loads((copy / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not ...}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        ("qwen3", dict(model_type="gpt_oss"), "model_type: got 'gpt_oss', allowed for whole"),
        ("qwen3", dict(model_type=...), "model_type: got None"),
        ("qwen3", dict(model_type=["qwen3"]), "model_type: got ['qwen3']"),
        ("qwen3", dict(attention_bias=True), "attention_bias: got True, allowed is False"),
        ("qwen3", dict(use_sliding_window=True), "use_sliding_window: got True"),
        ("qwen3", dict(layer_types=["sliding_attention"] * 2), "layer_types: got"),
        ("qwen3", dict(layer_types=["full_attention"]), "layer_types: got"),
        ("qwen3_moe", dict(layer_types="full_attention"), "layer_types: got"),
        ("mixtral", dict(sliding_window=8), "sliding_window: got 8, allowed is null or at least"),
        ("mixtral", dict(sliding_window=0), "sliding_window: got 0"),
        ("dots1", dict(layer_types=None, sliding_window=4, max_window_layers=1), "sliding_window"),
        ("olmoe", dict(clip_qkv=8.0), "clip_qkv: got 8.0"),
        ("mixtral", dict(hidden_act="gelu"), "hidden_act: got 'gelu'"),
        ("mixtral", dict(quantization_config={"bits": 4}), "quantization_config: got {'bits': 4}"),
        ("qwen3", dict(rope_scaling={"type": "linear", "factor": 2.0}), "rope_scaling.type: got"),
        (
            "deepseek_v3",
            dict(rope_parameters={"rope_type": "yarn", "rope_theta": 50.0, "factor": 4}),
            "rope_parameters.rope_type: got 'yarn', allowed is 'default'",
        ),
        ("qwen3", dict(rope_parameters={"factor": 4}), "rope_parameters.factor: got 4, allowed is"),
        ("qwen3", dict(rope_parameters=[1]), "rope_parameters: got [1], allowed is an object"),
        ("qwen3", dict(rope_theta=1e4), "rope_theta: got 50.0, allowed is one number, the same"),
        ("qwen3", dict(rope_parameters=None, rope_theta=None), "rope_theta: got None"),
        ("qwen3", dict(rope_parameters=None, rope_theta=float("nan")), "rope_theta: got nan"),
        ("qwen3", dict(rope_parameters=None, rope_theta=-1.0), "rope_theta: got -1.0"),
        ("qwen3", dict(partial_rotary_factor=0.5), "partial_rotary_factor: got 0.5"),
        ("deepseek_v3", dict(head_dim=8), "head_dim: got 8, allowed is qk_rope_head_dim (4)"),
        ("deepseek_v3", dict(num_key_value_heads=2), "num_key_value_heads: got 2, allowed is as"),
        ("deepseek_v3", dict(rope_interleave="yes"), "rope_interleave: got 'yes'"),
        ("olmoe", dict(head_dim=4), "head_dim: got 4, allowed is 8 over 4 heads"),
        ("qwen3_moe", dict(mlp_only_layers=[1]), "not the first ones"),
        ("qwen3", dict(num_hidden_layers=10**6), "num_hidden_layers: got 1000000"),
        ("qwen3", dict(num_hidden_layers=9000, layer_types=None), "n_layers: got 9000"),
        ("qwen3", dict(num_hidden_layers=3, layer_types=None), "got no tensor 'model.layers.2"),
        ("qwen3", dict(num_hidden_layers=1, layer_types=None), "does not account for"),
        ("qwen3", dict(vocab_size=2**31 - 1), "n_vocab: got 2147483647"),
        ("qwen3", dict(vocab_size=2**20), "got shape (11, 8), config.json says (1048576, 8)"),
        ("mixtral", dict(num_local_experts=1024), "got shape (4, 8), config.json says (1024, 8)"),
        ("mixtral", dict(num_local_experts=10**9), "n_experts: got 1000000000"),
        ("mixtral", dict(intermediate_size=2**16), "config.json says (65536, 8)"),
        ("mixtral", dict(num_experts_per_tok=5), "k: got 5"),
        ("mixtral", dict(num_attention_heads=0), "num_attention_heads: got 0"),
        ("mixtral", dict(num_key_value_heads=3), "n_kv_heads: got 3, allowed is a divisor"),
        ("mixtral", dict(head_dim=3), "got 3, allowed is an even number"),
        ("mixtral", dict(max_position_embeddings=2**21), "context: got 2097152"),
        ("mixtral", dict(rms_norm_eps="small"), "rms_norm_eps: got 'small'"),
        ("mixtral", dict(rms_norm_eps=float("inf")), "rms_norm_eps: got inf"),
        ("mixtral", dict(tie_word_embeddings=True), "'lm_head.weight': got a tensor that"),
        ("qwen3", dict(tie_word_embeddings=False), "got no tensor 'lm_head.weight'"),
        ("mixtral", dict(tie_word_embeddings="no"), "tie_word_embeddings: got 'no'"),
        ("dots1", dict(n_group=3), "n_group: got 3"),
        ("dots1", dict(n_shared_experts=2), "shared_experts"),
    ],
)  # fmt: skip
def test_wrong_configurations(case: str, changes: dict, words: str, tmp_path: Path) -> None:
    assert words in refusal(with_config(case, tmp_path, **changes))


def test_values_without_effect_are_accepted(tmp_path: Path) -> None:
    plain = load_model(MODELS / "mixtral").config
    for number, changes in enumerate(
        (
            dict(sliding_window=None), dict(sliding_window=16), dict(rope_theta=50),
            dict(rope_parameters=None, rope_theta=50.0, rope_scaling=None),
            dict(rope_parameters={"type": "default", "rope_theta": 50}, attention_dropout=0.5),
        )
    ):  # fmt: skip
        folder = tmp_path / str(number)
        assert load_model(with_config("mixtral", folder, **changes)).config == plain
    no_theta = with_config("mixtral", tmp_path, rope_parameters=None)
    assert load_model(no_theta).config.rope_theta == LAYOUTS["mixtral"].theta == 1e6


def shorter(array: np.ndarray) -> tuple[np.ndarray, str]:
    return array[:-1], "F32"


def poisoned(array: np.ndarray) -> tuple[np.ndarray, str]:
    array.reshape(-1)[-1] = np.inf if array.ndim == 1 else np.nan
    return array, "F32"


def whole_numbers(array: np.ndarray) -> tuple[np.ndarray, str]:
    return array.astype(np.int32), "I32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "got no tensor {}"), (shorter, "tensor {}: got shape"),
        (poisoned, "tensor {}: got NaN or infinity"), (whole_numbers, "tensor {}: got dtype I32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("case", ["qwen3_moe", "deepseek_v3"])
def test_wrong_tensors(case: str, change: Any, words: str, tmp_path: Path) -> None:
    with open_checkpoint(MODELS / case) as checkpoint:
        good = {name: (checkpoint.read(name), "F32") for name in checkpoint.names}
        for number, (name, (array, _)) in enumerate(good.items()):
            tensors = {other: tensor for other, tensor in good.items() if other != name}
            if change is not None:
                tensors[name] = change(array.copy())
            folder = tmp_path / str(number)
            write_checkpoint(folder, checkpoint.config, tensors)
            assert words.format(repr(name)) in refusal(folder)


@pytest.mark.parametrize(
    "extra",
    [
        "model.layers.2.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias", "lm_head",
        "model.layers.1.mlp.experts.9.w1.weight", "model.embed_tokens.weight_scale_inv",
    ],
)  # fmt: skip
def test_tensors_that_nothing_accounts_for(extra: str, tmp_path: Path) -> None:
    with open_checkpoint(MODELS / "mixtral") as checkpoint:
        tensors = {name: (checkpoint.read(name), "F32") for name in checkpoint.names}
        more = {extra: (np.ones(3, np.float32), "F32")}
        write_checkpoint(tmp_path / "more", checkpoint.config, tensors | more)
    words = refusal(tmp_path / "more")
    assert words == f"tensor '{extra}': got a tensor that config.json does not account for"


def test_broken_files(tmp_path: Path) -> None:
    content = (MODELS / "olmoe" / "model.safetensors").read_bytes()
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        folder = copy_of("olmoe", tmp_path / str(size))
        (folder / "model.safetensors").write_bytes(content[:size])
        assert refusal(folder).startswith("model.safetensors: got")
    folder = copy_of("olmoe", tmp_path)
    (folder / "config.json").write_text("[" * 100_000)
    assert "nested deeper than 32" in refusal(folder)
    (folder / "config.json").write_text('{"model_type": "olmoe", "model_type": "olmoe"}')
    assert "twice" in refusal(folder)
    (folder / "config.json").unlink()
    assert "config.json" in refusal(folder)
    assert "allowed is an existing folder" in refusal(tmp_path / "nowhere")


ODD = st.one_of(
    st.integers(-2, 40), st.sampled_from([2**31, 2**62, 10**30, 1e300]), st.floats(), st.none(),
    st.booleans(), st.text(max_size=4), st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from([{}, {"rope_theta": 2}, [[]], "full_attention"]),
)  # fmt: skip


@pytest.mark.parametrize("case", COMMITTED)
def test_any_value_is_refused_or_means_a_model_that_runs(case: str, tmp_path: Path) -> None:
    folder = copy_of(case, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    keys = sorted({*config, "sliding_window", "rope_scaling", "rope_theta", "clip_qkv"})

    @settings(
        max_examples=100, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.dictionaries(st.sampled_from(keys), ODD, min_size=1, max_size=3))
    def run(changes: dict[str, Any]) -> None:
        (folder / "config.json").write_text(json.dumps(config | changes))
        model = attempt(folder)
        if isinstance(model, LanguageModel):
            # A factor of 1e300 makes infinite logits, as it does in the reference library.
            with np.errstate(all="ignore"):
                assert model.logits(np.array([[1, 2, 3]])).shape == (1, 3, 11)

    run()
