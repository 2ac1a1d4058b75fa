"""Reading a user's config.json: published models as in the table, errors that name the cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moe.checkpoints.families import COUNTABLE
from moe.cost import MODELS, model_from_config
from moe.errors import CheckpointError

V3 = dict(
    model_type="deepseek_v3", hidden_size=7168, num_hidden_layers=61, num_attention_heads=128,
    num_key_value_heads=128, vocab_size=129280, intermediate_size=18432, moe_intermediate_size=2048,
    n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3,
    moe_layer_freq=1, n_group=8, topk_group=4, q_lora_rank=1536, kv_lora_rank=512,
    qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, num_nextn_predict_layers=1,
    tie_word_embeddings=False,
)  # fmt: skip
COUNTS = json.loads(Path(__file__).with_name("counts.json").read_text("utf-8"))
PUBLISHED = {
    "deepseek-v3": V3,
    "mixtral-8x7b": dict(
        model_type="mixtral", hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=32000, intermediate_size=14336, num_local_experts=8,
        num_experts_per_tok=2, tie_word_embeddings=False,
    ),
    "gpt-oss-120b": dict(
        model_type="gpt_oss", hidden_size=2880, num_hidden_layers=36, num_attention_heads=64,
        num_key_value_heads=8, head_dim=64, vocab_size=201088, intermediate_size=2880,
        num_local_experts=128, num_experts_per_tok=4, experts_per_token=4,
    ),
    "qwen2-57b-a14b": dict(
        model_type="qwen2_moe", hidden_size=3584, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, vocab_size=151936, intermediate_size=18944, num_experts=64,
        moe_intermediate_size=2560, shared_expert_intermediate_size=20480, num_experts_per_tok=8,
        decoder_sparse_step=1, mlp_only_layers=[],
    ),
    "hunyuan-a13b": dict(
        model_type="hunyuan_v1_moe", hidden_size=4096, num_hidden_layers=32, vocab_size=128167,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128, intermediate_size=3072,
        moe_intermediate_size=[3072] * 32, num_experts=64, moe_topk=[8] * 32,
        num_shared_expert=[1] * 32, tie_word_embeddings=True,
    ),
    "dbrx": dict(
        model_type="dbrx", d_model=6144, n_layers=40, n_heads=48, vocab_size=100352,
        attn_config=dict(kv_n_heads=8), tie_word_embeddings=False,
        ffn_config=dict(ffn_hidden_size=10752, moe_num_experts=16, moe_top_k=4),
    ),
    "llama-3.1-8b": dict(
        model_type="llama", hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=128256, intermediate_size=14336,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_gives_the_model_of_the_table(name, tmp_path):
    path = tmp_path / name / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(PUBLISHED[name]), "utf-8")
    table = MODELS[name]
    for read in (model_from_config(path), model_from_config(str(path.parent))):
        assert read.name == name
        assert read.params == table.params
        assert read.mtp_params == table.mtp_params
        assert read.kv_bytes_per_token() == table.kv_bytes_per_token()
        assert read.flops_per_token() == table.flops_per_token()


def test_kimis_name_for_the_architecture_is_known():
    assert model_from_config(V3 | {"model_type": "kimi_k2"}).params == MODELS["deepseek-v3"].params


def test_the_text_part_of_a_model_with_pictures():
    text = dict(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
        vocab_size=90, intermediate_size=40, intermediate_size_mlp=50, num_local_experts=4,
        num_experts_per_tok=1, head_dim=8, moe_layers=[1, 3],
    )  # fmt: skip
    model = model_from_config({"model_type": "llama4", "text_config": text})
    assert (model.dense_layers, model.d_ff_dense, model.shared_experts) == (2, 50, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type: got 'mamba', allowed is one of afmoe"),
        ({"model_type": None}, "model_type: got None"),
        ({"model_type": ["llama"]}, "model_type: got ['llama']"),
        ({"hidden_size": None}, "hidden_size: got None, allowed is a whole number"),
        ({"hidden_size": "7168"}, "hidden_size: got '7168', allowed is a whole number"),
        ({"hidden_size": True}, "hidden_size: got True"),
        ({"vocab_size": -1}, "vocab_size: got -1"),
        ({"n_routed_experts": None}, "n_routed_experts: got None"),
        ({"num_experts_per_tok": 300}, "top_k: got 300"),
        (
            {"moe_intermediate_size": [1, 2]},
            "moe_intermediate_size: got [1, 2], allowed is a",
        ),
        ({"moe_intermediate_size": []}, "moe_intermediate_size: got [], allowed is a whole"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: got 0"),
        ({"num_attention_heads": 0}, "num_attention_heads: got 0"),
        ({"num_key_value_heads": 256, "q_lora_rank": -1}, "q_lora_rank: got -1"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(CheckpointError) as error:
        model_from_config(V3 | change)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "dots3_note_text",
            {"swa_qk_nope_head_dim": 300, "swa_head_dim": 256},
            "swa_qk_nope_head_dim: got 300, allowed is up to swa_head_dim, here 256",
        ),
        ("dots3_note_text", {"swa_kv_lora_rank": 0}, "swa_kv_lora_rank: got 0"),
        ("mixtral", {"num_key_value_heads": 7}, "kv_heads: got 7"),
        ("jamba", {"mamba_dt_rank": "much"}, "mamba_dt_rank: got 'much'"),
    ],
)
def test_what_mixes_tokens_is_checked_as_the_rest(name, change, message):
    with pytest.raises(CheckpointError) as error:
        config = COUNTS[name]["config"] | change
        config.pop("swa_qk_rope_head_dim", None)
        model_from_config(config)
    assert message in str(error.value) and "config: " in str(error.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        model_from_config(tmp_path / "none.json")
    for content in (b"{}{", b"\xff\xfe\x00", b"[" * 10**5, b"9" * 10**4):
        path = tmp_path / "config.json"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="json: got "):
            model_from_config(tmp_path)
    path.write_text("[1]", "utf-8")
    with pytest.raises(CheckpointError, match="allowed is a JSON object"):
        model_from_config(path)


@pytest.mark.parametrize(("key", "value"), [("num_experts", [4, 8]), ("moe_topk", [1, 2])])
def test_layers_that_differ_are_not_counted(key, value):
    hunyuan = PUBLISHED["hunyuan-a13b"] | {key: value}
    with pytest.raises(
        CheckpointError, match=f"{key}: got .*, allowed is one value for all layers"
    ):
        model_from_config(hunyuan)


# Sizes without a default in the reference library, or that its model cannot be run without.
MISSING = {
    "deepseek": ["num_hidden_layers"],
    "deepseek_v2": ["num_experts_per_tok", "n_group", "topk_group"],
    "dots1": ["n_shared_experts", "n_routed_experts", "num_experts_per_tok"],
}
REFUSED = {"gemma4_text"}  # its default has no expert


@pytest.mark.parametrize("model_type", COUNTABLE)
def test_a_file_with_nothing_else_is_the_library_s_default_or_says_what_is_missing(model_type):
    if model_type in MISSING:
        with pytest.raises(CheckpointError, match=f"got no {MISSING[model_type][0]}"):
            model_from_config({"model_type": model_type})
        return
    if model_type in REFUSED:
        with pytest.raises(CheckpointError, match="allowed is"):
            model_from_config({"model_type": model_type})
        return
    if not (default := COUNTS.get(model_type, {}).get("default")):
        return  # what the library does not have, or cannot build without further sizes
    usual = {"attention_bias": True} if model_type in ("glm4_moe", "phimoe") else {}
    model = model_from_config({"model_type": model_type} | usual)
    # Their biases are counted as the published models have them, against the default.
    near = 1e-4 if usual else 0
    assert model.total_params == pytest.approx(default["total"], rel=near)
    assert model.active("with_input") == pytest.approx(default["active"], rel=near)
