"""Keys of a config.json: each changes a figure, changes none, or is named as not counted."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe.checkpoints.families import COUNTABLE, FAMILIES
from moe.cost import MODELS, ModelConfig, decode, find_gpu, model_from_config
from moe.cost.unread_keys import NEUTRAL
from moe.errors import CheckpointError

COUNTS = json.loads(Path(__file__).with_name("counts.json").read_text("utf-8"))
SHAPE = {
    "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "tie_word_embeddings",
}  # fmt: skip
LATENT = {"q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"}
ROUTED = {"n_routed_experts", "n_shared_experts", "num_experts_per_tok", "moe_intermediate_size"}
PLAIN = {"num_local_experts", "num_experts_per_tok", "intermediate_size"}
SHARED = {
    "num_experts", "num_experts_per_tok", "moe_intermediate_size",
    "shared_expert_intermediate_size",
}  # fmt: skip
RENAMED = {
    "num_experts", "num_shared_experts", "num_experts_per_token", "moe_intermediate_size",
}  # fmt: skip
INDEXED = {"index_n_heads", "index_head_dim"}
DELTA = {
    "head_dim", "layer_types", "linear_conv_kernel_dim", "linear_key_head_dim",
    "linear_value_head_dim", "linear_num_key_heads", "linear_num_value_heads",
}  # fmt: skip
# What changes a figure, by family: written from the models' code, not from the reader.
COUNTED = {
    "llama": SHAPE | {"head_dim", "intermediate_size"},
    "mistral": SHAPE | {"head_dim", "intermediate_size"},
    "qwen2": SHAPE | {"intermediate_size"},
    "qwen3": SHAPE | {"head_dim", "intermediate_size"},
    "mixtral": SHAPE | PLAIN,
    "phimoe": SHAPE | PLAIN,
    "granitemoe": SHAPE | PLAIN,
    "gpt_oss": SHAPE | PLAIN | {"head_dim"},
    "minimax_m2": SHAPE | PLAIN | {"head_dim", "num_mtp_modules"},
    "olmoe": SHAPE | {"num_experts", "num_experts_per_tok", "intermediate_size"},
    "qwen2_moe": SHAPE | {
        "num_experts", "num_experts_per_tok", "moe_intermediate_size",
        "shared_expert_intermediate_size", "decoder_sparse_step", "mlp_only_layers",
        "intermediate_size",
    },
    "qwen3_moe": SHAPE | {
        "num_local_experts", "num_experts_per_tok", "decoder_sparse_step", "moe_intermediate_size",
        "head_dim", "mlp_only_layers", "intermediate_size",
    },
    "deepseek_v2": (SHAPE - {"num_key_value_heads"}) | LATENT | ROUTED | {
        "first_k_dense_replace", "intermediate_size",
    },
    "deepseek_v3": (SHAPE - {"num_key_value_heads"}) | LATENT | ROUTED | {
        "first_k_dense_replace", "intermediate_size", "num_nextn_predict_layers",
    },
    "glm4_moe": SHAPE | ROUTED | {
        "head_dim", "first_k_dense_replace", "intermediate_size", "num_nextn_predict_layers",
    },
    "dots1": SHAPE | ROUTED | {"head_dim", "first_k_dense_replace", "intermediate_size"},
    "flex_olmo": SHAPE | {"num_experts", "num_experts_per_tok", "intermediate_size"},
    "ernie4_5_moe": SHAPE | {
        "moe_num_experts", "moe_k", "moe_num_shared_experts", "moe_intermediate_size",
        "moe_layer_start_index", "moe_layer_end_index", "moe_layer_interval", "intermediate_size",
    },
    "hunyuan_v1_moe": SHAPE | {"num_experts", "moe_topk", "head_dim", "intermediate_size"},
    "llama4_text": SHAPE | PLAIN | {
        "head_dim", "intermediate_size_mlp", "moe_layers",
    },
    "glm4_moe_lite": (SHAPE - {"num_key_value_heads"}) | LATENT | ROUTED | {
        "intermediate_size", "mlp_layer_types",
    },
    "solar_open": SHAPE | ROUTED | {"head_dim"},
    "exaone_moe": SHAPE | {
        "num_experts", "num_experts_per_tok", "num_shared_experts", "moe_intermediate_size",
        "mlp_layer_types", "intermediate_size",
    },
    "mellum": SHAPE | {
        "num_local_experts", "num_experts_per_tok", "moe_intermediate_size", "head_dim",
        "mlp_layer_types", "intermediate_size",
    },
    "hy_v3": SHAPE | {
        "num_experts", "num_experts_per_tok", "num_shared_experts", "moe_intermediate_size",
        "head_dim", "mlp_layer_types", "intermediate_size",
    },
    "qwen3_next": SHAPE | DELTA | SHARED | {
        "decoder_sparse_step", "mlp_only_layers", "intermediate_size",
    },
    "qwen3_5_moe_text": SHAPE | DELTA | SHARED,
    "deepseek_v32": (SHAPE - {"num_key_value_heads"}) | LATENT | ROUTED | INDEXED | {
        "intermediate_size", "mlp_layer_types",
    },
    "glm_moe_dsa": (SHAPE - {"num_key_value_heads"}) | LATENT | ROUTED | INDEXED | {
        "intermediate_size", "mlp_layer_types", "indexer_types",
    },
    "mimo_v2_flash": SHAPE | ROUTED - {"n_shared_experts"} | {
        "head_dim", "v_head_dim", "layer_types", "intermediate_size", "mlp_layer_types",
    },
    "bailing_hybrid": (SHAPE - {"num_key_value_heads"}) | LATENT | RENAMED | {
        "layer_types", "linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim",
        "intermediate_size", "mlp_layer_types", "num_nextn_predict_layers",
    },
    "kimi_linear": (SHAPE - {"num_key_value_heads"}) | LATENT | RENAMED | {
        "layer_types", "linear_head_dim", "linear_num_heads",
        "linear_conv_kernel_dim", "intermediate_size", "mlp_layer_types",
    },
    "minimax": SHAPE | PLAIN | {"head_dim", "layer_types"},
    "jamba": SHAPE | {
        "num_experts", "num_experts_per_tok", "intermediate_size", "expert_layer_period",
        "expert_layer_offset", "attn_layer_period", "attn_layer_offset", "mamba_d_state",
        "mamba_d_conv", "mamba_expand", "mamba_dt_rank", "mamba_conv_bias", "mamba_proj_bias",
    },
    "lfm2_moe": SHAPE | {
        "num_experts", "num_experts_per_tok", "moe_intermediate_size", "intermediate_size",
        "num_dense_layers", "layer_types", "conv_L_cache", "conv_bias",
    },
    "afmoe": SHAPE | {
        "num_experts", "num_experts_per_tok", "num_shared_experts", "moe_intermediate_size",
        "num_dense_layers", "head_dim", "intermediate_size",
    },
}  # fmt: skip
# What is named although it is in the library's own small file.
NAMED = {
    "llama": {"num_experts_per_tok"},
    "mistral": {"num_experts_per_tok", "sliding_window"},
    "qwen2": {"num_experts_per_tok"},
    "qwen3": {"num_experts_per_tok"},
    "gpt_oss": {"sliding_window", "layer_types"},
    "llama4_text": {"attention_chunk_size", "layer_types"},
    "glm4_moe_lite": {"first_k_dense_replace"},
    "solar_open": {"intermediate_size"},
    "exaone_moe": {"layer_types"},
    "qwen3_5_moe_text": {"intermediate_size"},
    "mimo_v2_flash": {"sliding_window", "layer_types"},
    "afmoe": {"sliding_window", "layer_types"},
}
# Where a key says nothing in the library's small file, a file in which it does.
MORE = {"minimax_m2": {"num_mtp_modules": 1}, "qwen2_moe": {"mlp_only_layers": [1]}}
HUNYUAN_LARGE = dict(
    model_type="hunyuan", hidden_size=6400, num_hidden_layers=64, num_attention_heads=80,
    num_key_value_heads=8, vocab_size=129024, intermediate_size=18304, num_experts=16, moe_topk=1,
    num_shared_expert=1, tie_word_embeddings=True, use_cla=True, cla_share_factor=2,
    use_mixed_mlp_moe=True, use_qk_norm=True,
)  # fmt: skip
MINIMAX = dict(
    model_type="minimax_m2", num_hidden_layers=62, hidden_size=3072, num_attention_heads=48,
    num_key_value_heads=8, head_dim=128, intermediate_size=1536, vocab_size=200064,
    num_experts_per_tok=8, num_local_experts=256, tie_word_embeddings=False, use_qk_norm=True,
    use_routing_bias=True, use_mtp=True, mtp_transformer_layers=1, num_mtp_modules=3,
    shared_intermediate_size=0,
)  # fmt: skip
SMALL = dict(
    model_type="mixtral", hidden_size=48, num_hidden_layers=5, num_attention_heads=6,
    num_key_value_heads=2, vocab_size=90, intermediate_size=40, num_local_experts=7,
    num_experts_per_tok=3,
)  # fmt: skip

NUMBERS = st.integers(-2, 300) | st.sampled_from([10**6, 10**9, 10**30]) | st.floats()
PLAIN_JSON = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
JSON = PLAIN_JSON | st.lists(PLAIN_JSON, max_size=4) | st.dictionaries(st.text(), PLAIN_JSON)


def figures(model: ModelConfig) -> tuple[float, ...]:
    """Everything that any command computes from a shape alone."""
    return (
        model.total_params, model.active("with_input"), model.mtp_params,
        model.kv_bytes_per_token(), model.flops_per_token(), model.layers, model.experts,
        decode(model, find_gpu("h100")).bytes_per_step,
    )  # fmt: skip


def test_a_family_that_has_a_list_is_counted_exactly():
    assert set(COUNTED) <= {name for name in COUNTABLE if not FAMILIES[name].uncounted}
    assert set(COUNTED) <= set(COUNTS)


@pytest.mark.parametrize("family", COUNTED)
def test_every_key_of_the_librarys_file_is_counted_or_neutral_or_named(family):
    config = COUNTS[family]["config"]
    said = " ".join(model_from_config(config).notes)
    silent = set(config) - COUNTED[family] - NEUTRAL
    silent -= {"interleave_moe_layer_step"} if "moe_layers" in config else set()  # says the same
    silent -= {"first_k_dense_replace"} if "mlp_layer_types" in config else set()  # likewise
    silent -= {"index_topk_freq"} if "indexer_types" in config else set()  # likewise
    silent -= {"layer_group_size", "short_conv_kernel_size"} if "layer_types" in config else set()
    everywhere = ({"full_attention"}, {"indexed_attention"})
    if set(config.get("layer_types", ())) in everywhere:  # then no layer has a window
        silent -= {"layer_types", "sliding_window"}
    if (config.get("sliding_window") or 0) >= config.get("max_position_embeddings", 10**9):
        silent -= {"sliding_window"}  # it is never reached
    latent = {"head_dim", "qk_head_dim", "num_key_value_heads"}  # follow from what is read
    silent -= latent if "kv_lora_rank" in config else set()
    named = {key for key in config if key in said}
    print(f"\n{family}: named {sorted(named)}")
    assert named == NAMED.get(family, set())
    # What is neither counted nor known to be neutral is off, or on as in all of the family.
    assert not {key for key in silent - named if config[key] and config[key] is not True}


@pytest.mark.parametrize("family", COUNTED)
def test_every_counted_key_changes_a_figure_and_no_neutral_one_does(family):
    config = COUNTS[family]["config"] | MORE.get(family, {})
    before = figures(model_from_config(config))
    for key in COUNTED[family] & set(config) - {"model_type"}:
        value = config[key]
        if isinstance(value, bool):
            other: object = not value
        elif isinstance(value, list):
            other = [*value, 0]
        else:
            other = 2 * value if value else 1
        try:
            after = figures(model_from_config(config | {key: other}))
        except CheckpointError:
            continue  # a shape that cannot be is refused
        assert after != before, key
    for key in (NEUTRAL - COUNTED[family]) & set(config):
        assert figures(model_from_config({k: v for k, v in config.items() if k != key})) == before


def test_hunyuan_large_shares_its_cache_between_two_layers():
    """64 layers in pairs: 32 x 2 x 8 heads x 80 values x 2 bytes; 'cross' layers have no k, v."""
    model = model_from_config(HUNYUAN_LARGE)
    assert model.kv_bytes_per_token() == 32 * 2 * 8 * 80 * 2 == 81_920
    whole = model_from_config(HUNYUAN_LARGE | {"use_cla": False})
    assert whole.kv_bytes_per_token() == 163_840
    assert whole.total_params - model.total_params == 32 * 2 * 6400 * 8 * 80
    assert model.total_params == pytest.approx(389e9, rel=0.01)
    assert model.active("with_input") == pytest.approx(52e9, rel=0.03)
    by_hand = 64 * (2 * 6400**2 + 17 * 3 * 6400 * 18304 + 16 * 6400 + 2 * 80 + 2 * 6400)
    by_hand += 32 * 2 * 6400 * 640 + 6400 + 129024 * 6400
    assert model.total_params == by_hand
    # Every layer still reads the keys and values that it attends to.
    gpu, long = find_gpu("h100"), 100_000
    shared, alone = (decode(m, gpu, context=long, n_gpus=16) for m in (model, whole))
    assert alone.needed_bytes - shared.needed_bytes > 81_920 * long
    weights = whole.active("head_only") - model.active("head_only")
    assert alone.bytes_per_step - shared.bytes_per_step == pytest.approx(weights * 4.5 / 8)
    odd = replace(model, layers=63)
    assert odd.kv_values_per_token() == 32 * 2 * 8 * 80  # the last layer is alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cla_share_factor": 0}, "cla_share_factor: got 0"),
        ({"cla_share_factor": "two"}, "cla_share_factor: got 'two'"),
        ({"use_cla": "yes"}, "use_cla: got 'yes', allowed is true or false"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings: got 'false'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: got 1000000000"),
        ({"hidden_size": 10**400}, "hidden_size: got 1000"),
        ({"hidden_size": ["x" * 10_000]}, "allowed is a whole number"),
    ],
)
def test_what_cannot_be_is_named_shortly(change, message):
    with pytest.raises(CheckpointError) as error:
        model_from_config(HUNYUAN_LARGE | change)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_minimax_m2_has_three_modules_of_multi_token_prediction():
    model = model_from_config(MINIMAX)
    assert model.mtp_layers == 3
    assert model.params == MODELS["minimax-m2"].params
    assert model.mtp_params == MODELS["minimax-m2"].mtp_params
    attention = 2 * 3072 * 48 * 128 + 2 * 3072 * 8 * 128 + 56 * 128
    layer = attention + 256 * 3 * 3072 * 1536 + 256 * (3072 + 1) + 2 * 3072
    assert model.mtp_params == 3 * (layer + 2 * 3072**2 + 3 * 3072)
    assert not model.notes
    off = model_from_config(MINIMAX | {"use_mtp": False})
    assert off.mtp_params == 0
    (note,) = model_from_config(MINIMAX | {"mtp_transformer_layers": 2}).notes
    assert "mtp_transformer_layers" in note


def test_a_shape_without_any_layer_of_experts_is_read():
    """The library builds it: 61 layers, all below first_k_dense_replace."""
    config = COUNTS["deepseek_v3"]["config"]
    layers = config["num_hidden_layers"]
    dense = model_from_config(config | {"first_k_dense_replace": layers})
    assert dense.moe_layers == 0 and dense.params.experts == dense.params.shared == 0
    assert dense.params.dense == layers * 3 * config["hidden_size"] * config["intermediate_size"]
    assert dense.total_params < model_from_config(config).total_params
    assert decode(dense, find_gpu("h100")).experts_touched == 0
    of_experts = ("moe_intermediate_size", "n_routed_experts", "num_experts_per_tok")
    bare = {key: value for key, value in config.items() if key not in of_experts}
    assert model_from_config(bare | {"first_k_dense_replace": layers}).params == dense.params


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sliding_window": 4096}, "sliding_window"),
        ({"attention_chunk_size": 8192}, "attention_chunk_size"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "layer_types"),
        ({"attn_type_list": [1, 0]}, "attn_type_list"),
        ({"attention_bias": True}, "attention_bias"),
        ({"vision_config": {"layers": 3}}, "vision_config"),
        ({"memory_tokens": 5}, "memory_tokens"),
    ],
)
def test_what_is_not_counted_is_named(change, words):
    assert model_from_config(SMALL).notes == ()
    (note,) = model_from_config(SMALL | change).notes
    print(note)
    assert words in note


@pytest.mark.parametrize(
    "change",
    [
        {"sliding_window": None},
        {"sliding_window": 4096, "use_sliding_window": False},
        {"sliding_window": 131072, "max_position_embeddings": 131072},
        {"layer_types": ["full_attention"] * 5},
        {"attn_type_list": [1] * 5},
        {"attention_bias": False, "memory_tokens": 0, "rope_theta": 1e6},
    ],
)
def test_what_is_off_or_reaches_over_the_whole_text_is_not(change):
    assert model_from_config(SMALL | change).notes == ()


def test_parts_of_a_file_are_looked_through_too():
    ffn = dict(ffn_hidden_size=40, moe_num_experts=4, moe_top_k=2, moe_loss_weight=0.05)
    dbrx = dict(
        model_type="dbrx", d_model=48, n_layers=2, n_heads=6, vocab_size=90, ffn_config=ffn,
        attn_config=dict(kv_n_heads=2, clip_qkv=8),
    )  # fmt: skip
    assert model_from_config(dbrx).notes == ()
    (note,) = model_from_config(dbrx | {"ffn_config": ffn | {"n_shared": 1}}).notes
    assert note == "Not read: ffn_config.n_shared."
    text = COUNTS["llama4_text"]["config"]
    whole = {"model_type": "llama4", "text_config": text, "vision_config": {"hidden_size": 9}}
    assert "vision_config: only the part for text" in model_from_config(whole).notes[1]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_stands_in_a_file_is_read_or_refused_by_name(data):
    family = data.draw(st.sampled_from(sorted(COUNTS)))
    config = dict(COUNTS[family]["config"])
    keys = st.sampled_from([*config, "use_cla", "cla_share_factor", "use_mtp", "num_mtp_modules"])
    config |= data.draw(st.dictionaries(keys, JSON, min_size=1, max_size=3))
    try:
        model = model_from_config(config)
    except CheckpointError as error:
        assert len(str(error)) < 2000  # the known types are listed
        return
    assert all(isfinite(figure) and figure >= 0 for figure in figures(model))
    assert all(note.isprintable() and len(note) < 600 for note in model.notes)


def test_names_of_unknown_keys_are_cut_and_shown_as_text():
    many = {f"key_{number}": 1 for number in range(1000)} | {"a\x1b[31m" * 100: 1}
    (note,) = model_from_config(SMALL | many).notes
    assert len(note) < 400 and note.isprintable() and "more" in note
