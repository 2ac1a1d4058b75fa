"""Layers that mix tokens otherwise than by attention: what they add, by hand; odd files of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from moe.checkpoints.config import ConfigValues
from moe.cost import (
    MODELS,
    ModelConfig,
    activation_bytes_per_token,
    decode,
    find_gpu,
    flops_per_token,
    model_from_config,
)
from moe.cost.mixed_layers import FULL, LINEAR, mixing_notes
from moe.cost.mixing import MIXING, PLAIN, V4_KINDS
from moe.cost.shape import Mixer

COUNTS = json.loads(Path(__file__).with_name("counts.json").read_text("utf-8"))
SMALL = ModelConfig(
    name="small", model_type="mixtral", layers=6, dense_layers=1, d_model=4, d_ff_dense=10,
    d_ff_expert=5, experts=6, shared_experts=0, d_ff_shared=0, top_k=2, heads=2, kv_heads=1,
    head_dim=3, vocab=11, mtp_layers=1,
)  # fmt: skip
STATE = Mixer("a state", 4, 100, state=30)
WINDOW = Mixer("", 1, 70, cache=8, width=9)
GATE = Mixer("a gate", 5, 7, beside=True)
ATTENTION, ONE_CACHE, ONE_WIDTH = 2 * 4 * 6 + 2 * 4 * 3, 2 * 3, 2 * (3 + 3)


def test_mixers_take_the_place_of_attention_or_stand_beside_it() -> None:
    assert SMALL.params.attention == 6 * ATTENTION
    mixed = replace(SMALL, mixers=(STATE, WINDOW))
    assert mixed.attention_layers == 1
    assert mixed.params.attention == ATTENTION + 4 * 100 + 70
    gated = replace(SMALL, mixers=(WINDOW, GATE))
    assert gated.attention_layers == 5
    assert gated.params.attention == 5 * (ATTENTION + 7) + 70
    assert gated.mtp_params - SMALL.mtp_params == 7
    assert gated.active("neither") - SMALL.active("neither") == 5 * 7 + 70 - ATTENTION
    none = replace(SMALL, mixers=(replace(STATE, layers=6),))
    assert none.params.attention == 600


def test_cache_and_operations_are_those_of_layers_that_see_other_tokens() -> None:
    mixed = replace(SMALL, mixers=(STATE, WINDOW))
    assert mixed.kv_values_per_token() == ONE_CACHE + 8
    assert mixed.seen_width() == mixed.seen_width(absorbed=True) == ONE_WIDTH + 9
    context = 1000
    grown = mixed.flops_per_token(2 * context, causal=False)
    assert grown - mixed.flops_per_token(context, causal=False) == 2 * (ONE_WIDTH + 9) * context
    none = replace(SMALL, mixers=(replace(STATE, layers=6),))
    assert none.kv_values_per_token() == none.seen_width() == 0
    bounds = decode(none, find_gpu("h100"), context=10_000)
    assert bounds == decode(none, find_gpu("h100"), context=1)


def test_a_module_of_more_tokens_mixes_them_as_a_layer_does() -> None:
    """With the model's attention and what stands beside it, or else the smallest of the others."""
    index = Mixer("an indexer", 6, 7, cache=2, width=5, beside=True)
    wide, thin = Mixer("", 3, 90, cache=8, width=20), Mixer("", 3, 70, cache=8, width=9)
    for mixers, width, params in (
        ((), ONE_WIDTH, ATTENTION),
        ((index,), ONE_WIDTH + 5, ATTENTION + 7),
        ((WINDOW,), ONE_WIDTH, ATTENTION),
        ((wide, thin), 9, 70),
    ):
        model = replace(SMALL, mixers=mixers)
        assert model.mtp_params - SMALL.mtp_params == params - ATTENTION
        far, near = (
            flops_per_token(model, context, causal=False, mtp=True).mtp for context in (2000, 1000)
        )
        assert far - near == 2 * width * 1000, mixers


def test_what_training_keeps_of_layers_without_mixing_and_of_networks_without_a_gate() -> None:
    whole = activation_bytes_per_token(SMALL)
    bare = replace(SMALL, mixers=(Mixer("", 2, 0),))
    attention = 2 * 4 + 2 * 3 * 3 + 1 * 3
    assert whole - activation_bytes_per_token(bare) == 2 * 2 * attention
    latent = replace(SMALL, matrices=2, d_latent=3)
    # Five layers of two experts, one dense: an up less each; two rows of three and not four.
    less = 5 * 2 * 5 + 10 + 5 * 2 * (4 - 3)
    assert whole - activation_bytes_per_token(latent) == 2 * less


def test_a_state_is_kept_once_a_sequence_and_read_and_written_by_each_step() -> None:
    stateless = replace(SMALL, mixers=(replace(STATE, state=0), WINDOW))
    mixed = replace(SMALL, mixers=(STATE, WINDOW))
    assert (mixed.state_values(), stateless.state_values()) == (4 * 30, 0)
    more, less = (decode(m, find_gpu("h100"), batch=3, context=7) for m in (mixed, stateless))
    assert more.needed_bytes - less.needed_bytes == 3 * 4 * 30 * 4
    assert more.bytes_per_step - less.bytes_per_step == 2 * 3 * 4 * 30 * 4
    assert more.by_compute == less.by_compute


def test_a_window_is_cache_of_one_size_that_a_step_reads() -> None:
    bare = replace(SMALL, mixers=(WINDOW,))
    mixed = replace(SMALL, mixers=(replace(WINDOW, window=50),))
    assert (mixed.window_values(), mixed.state_values()) == (50, 0)
    for bytes_per_value in (1, 2):
        more, less = (
            decode(m, find_gpu("h100"), batch=3, context=7, kv_bytes_per_value=bytes_per_value)
            for m in (mixed, bare)
        )
        assert more.needed_bytes - less.needed_bytes == 3 * 50 * bytes_per_value
        assert more.bytes_per_step - less.bytes_per_step == 3 * 50 * bytes_per_value


def test_latent_attention_beside_the_model_s_own_is_absorbed_in_decoding() -> None:
    twice = replace(SMALL, mixers=(replace(WINDOW, layers=6, absorbed=20, beside=True),))
    alone = SMALL.seen_width()
    assert twice.seen_width() == alone + 6 * 9
    assert twice.seen_width(absorbed=True) == alone + 6 * 20


def test_what_published_layers_keep_by_hand() -> None:
    """A matrix for each head; convolutions remember kernel - 1 inputs; one key a block."""
    states = {name: MODELS[name].state_values() for name in (
        "qwen3-next-80b-a3b", "nemotron-3-nano-30b-a3b", "kimi-k3", "deepseek-v4-flash",
    )}  # fmt: skip
    assert states == {
        "qwen3-next-80b-a3b": 36 * (32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128)),
        "nemotron-3-nano-30b-a3b": 23 * (64 * 64 * 128 + 3 * (64 * 64 + 2 * 8 * 128)),
        "kimi-k3": 69 * (96 * 128 * 128 + 3 * 3 * 96 * 128),
        "deepseek-v4-flash": 0,
    }
    assert MODELS["deepseek-v4-flash"].window_values() == 43 * 128 * 512
    cache = {name: MODELS[name].kv_values_per_token() for name in (
        "deepseek-v3.2", "longcat-flash", "glm-5.2", "minimax-m3", "gemma-4-26b-a4b",
        "deepseek-v4-flash", "deepseek-v4-pro", "step-3.5-flash", "mimo-v2-flash",
    )}  # fmt: skip
    assert cache == {
        "deepseek-v3.2": 61 * (512 + 64 + 128),
        "longcat-flash": 2 * 28 * (512 + 64),
        "glm-5.2": 78 * (512 + 64) + 21 * 128,
        "minimax-m3": 60 * 2 * 4 * 128 + 57 * 128,
        "gemma-4-26b-a4b": 25 * 2 * 8 * 256 + 5 * 2 * 2 * 512,
        "deepseek-v4-flash": 21 * (512 + 128) // 4 + 20 * 512 // 128,
        "deepseek-v4-pro": 30 * (512 + 128) // 4 + 31 * 512 // 128,
        "step-3.5-flash": 45 * 2 * 8 * 128,
        "mimo-v2-flash": (9 * 4 + 39 * 8) * (192 + 128),
    }
    # Print says 10 % at a million tokens, with some numbers of 8 bits where these have 16.
    ratio = cache["deepseek-v4-pro"] / cache["deepseek-v3.2"]
    assert ratio == pytest.approx(0.115, abs=0.001)


def test_what_published_layers_multiply_for_each_token_seen_by_hand() -> None:
    """Heads by the sizes of query and value, an indexer's beside; latent ones in decoding too."""
    in_training = {
        "deepseek-v3.2": 61 * (128 * (192 + 128) + 64 * 128),
        "glm-5.2": 78 * 64 * (256 + 256) + 21 * 32 * 128,
        "minimax-m3": 60 * 64 * 2 * 128 + 57 * 4 * 128,
        "longcat-flash": 2 * 28 * 64 * (192 + 128),
        "kimi-k3": 24 * 96 * (192 + 128),
        "ling-3.0-flash": 7 * 32 * (192 + 128),
        "qwen3-next-80b-a3b": 12 * 16 * 2 * 256,
        "nemotron-3-nano-30b-a3b": 6 * 32 * 2 * 128,
        "gemma-4-26b-a4b": 25 * 16 * 2 * 256 + 5 * 16 * 2 * 512,
        "mimo-v2-flash": 48 * 64 * (192 + 128),
        "step-3.5-flash": (12 * 64 + 33 * 96) * 2 * 128,
        "deepseek-v4-flash": 21 * (64 * 2 * 512 + 64 * 128) // 4 + 20 * 64 * 2 * 512 // 128,
        "deepseek-v4-pro": 30 * (128 * 2 * 512 + 64 * 128) // 4 + 31 * 128 * 2 * 512 // 128,
    }
    in_decoding = in_training | {
        "deepseek-v3.2": 61 * (128 * (2 * 512 + 64) + 64 * 128),
        "glm-5.2": 78 * 64 * (2 * 512 + 64) + 21 * 32 * 128,
        "longcat-flash": 2 * 28 * 64 * (2 * 512 + 64),
        "kimi-k3": 24 * 96 * (2 * 512 + 64),
        "ling-3.0-flash": 7 * 32 * (2 * 512 + 64),
    }
    for absorbed, wanted in ((False, in_training), (True, in_decoding)):
        assert {name: MODELS[name].seen_width(absorbed) for name in wanted} == wanted


def test_gemma_is_counted_with_experts_alone() -> None:
    config = COUNTS["gemma4_text"]["config"]
    for change, message in (
        (
            {"hidden_size_per_layer_input": 256},
            "hidden_size_per_layer_input: got 256, allowed is 0",
        ),
        ({"num_kv_shared_layers": 2}, "num_kv_shared_layers: got 2, allowed is 0"),
        ({"enable_moe_block": False}, "enable_moe_block: got False, allowed is True"),
        ({"per_layer_config": {"1": {}}}, "per_layer_config: got {'1': {}}, allowed is None"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            model_from_config(config | change)
    whole = model_from_config(config | {"attention_k_eq_v": False})
    # Values of their own, and as many key heads as elsewhere, in the 3 layers that see all.
    more = 3 * 48 * 12 * (2 * 2 - 1)
    assert whole.total_params - model_from_config(config).total_params == more


def test_step_s_and_minimax_s_published_keys_mean_what_the_library_s_mean() -> None:
    config = dict(COUNTS["step3p5"]["config"])
    heads = config.pop("num_sliding_attention_heads")
    longer = [*config.pop("layer_types"), "sliding_attention"]  # of multi-token prediction
    published = {"attention_other_setting": {"num_attention_heads": heads}, "layer_types": longer}
    assert model_from_config(config | published).total_params == COUNTS["step3p5"]["total"]
    config = dict(COUNTS["minimax_m3_vl_text"]["config"])
    marks = [int(kind == "sparse") for kind in config.pop("mlp_layer_types")]
    sparse = [int(kind == "minimax_m3_sparse") for kind in config.pop("layer_types")]
    published = {
        "moe_layer_freq": marks, "num_mtp_modules": 7, "num_nextn_predict_layers": 1,
        "sparse_attention_config": {"sparse_attention_freq": sparse},
    }  # fmt: skip
    model = model_from_config(config | published | {"model_type": "minimax_m3"})
    assert model.total_params == COUNTS["minimax_m3_vl_text"]["total"]
    with pytest.raises(ValueError, match=r"moe_layer_freq: got .*, allowed is a list of 5"):
        model_from_config(config | published | {"moe_layer_freq": marks[1:]})


def test_layers_without_a_network_and_with_more_norms() -> None:
    bare = replace(SMALL, bare_layers=2)
    assert (bare.moe_layers, SMALL.moe_layers) == (3, 5)
    assert bare.params.experts == 3 * 6 * 3 * 4 * 5
    assert bare.params.norms == SMALL.params.norms == (2 * 6 + 1) * 4
    assert replace(SMALL, layer_norms=4).params.norms == (4 * 6 + 1) * 4


@pytest.mark.parametrize(
    "change",
    [{"bare_layers": 7}, {"bare_layers": 6}, {"layer_norms": -1},
     {"mixers": (replace(STATE, layers=7),)}, {"mixers": (STATE, STATE)}],
)  # fmt: skip
def test_what_cannot_be_is_refused(change) -> None:
    with pytest.raises(ValueError, match=r"got .*, allowed is"):
        replace(SMALL, **change)
    with pytest.raises(ValueError, match="params: got -1"):
        Mixer("x", 1, -1)


def test_notes_say_what_has_no_price() -> None:
    keys = Mixer("keys of few tokens", 1, 9, cache=3, width=4, window=8)
    alone = Mixer("a window", 1, 9, window=8)
    assert mixing_notes((keys, alone), 6) == [
        "1 of 6 layers have keys of few tokens instead of attention: its parameters and its window "
        "are counted, attention as attention to all of the text, so that its operations are upper "
        "bounds.",
        "1 of 6 layers have a window instead of attention: its parameters and its window are "
        "counted, the operations on its window are not.",
    ]
    notes = mixing_notes((STATE, WINDOW, GATE), 6)
    assert notes == [
        "4 of 6 layers have a state instead of attention: its parameters and its state are "
        "counted, the operations on its state are not.",
        "5 of 6 layers have a gate: its parameters are counted, attention as attention to all of "
        "the text, so that its operations are upper bounds.",
    ]


def read(name: str, **config: object) -> ConfigValues:
    mixing = MIXING[name]
    return ConfigValues(
        config, mixing.defaults, mixing.spellings, {**mixing.nulls, "hidden_size": None}
    )


def test_kinds_of_layers_follow_the_list_or_the_rule() -> None:
    kinds = MIXING["qwen3_next"].layers
    assert kinds(read("qwen3_next"), 6) == (LINEAR, LINEAR, LINEAR, FULL, LINEAR, LINEAR)
    assert kinds(read("qwen3_next", full_attention_interval=2), 3) == (LINEAR, FULL, LINEAR)
    named = read("qwen3_next", layer_types=["attention", "mamba"])
    assert kinds(named, 2) == (FULL, LINEAR)
    kimi = MIXING["kimi_linear"].layers
    assert kimi(read("kimi_linear"), 6) == (LINEAR,) * 4 + (FULL, LINEAR)
    part = {"full_attn_layers": [2], "kda_layers": [1, 3]}
    assert kimi(read("kimi_linear", linear_attn_config=part), 3) == (LINEAR, FULL, LINEAR)
    jamba = MIXING["jamba"].layers
    assert jamba(read("jamba", attn_layer_period=3, attn_layer_offset=0), 4) == (
        FULL, LINEAR, LINEAR, FULL,
    )  # fmt: skip
    assert PLAIN.layers(read("jamba"), 2) == (FULL, FULL)


@pytest.mark.parametrize(
    "kinds", ["attention", ["full_attention"], ["full_attention", 1], [None, None], [["a"], "b"]]
)
def test_a_list_that_does_not_fit_is_named(kinds: object) -> None:
    with pytest.raises(ValueError, match=r"layer_types: got .*, allowed is a list of 2 times"):
        MIXING["minimax"].layers(read("minimax", layer_types=kinds), 2)


def test_kimi_s_published_keys_mean_what_the_library_s_mean() -> None:
    """Publishers keep the sizes of linear attention in a part, and count layers from 1."""
    config = dict(COUNTS["kimi_linear"]["config"])
    kinds = config.pop("layer_types")
    part = {
        "head_dim": config.pop("linear_head_dim"),
        "num_heads": config.pop("linear_num_heads"),
        "short_conv_kernel_size": config.pop("linear_conv_kernel_dim"),
        "full_attn_layers": [n for n, kind in enumerate(kinds, 1) if kind == FULL],
        "kda_layers": [n for n, kind in enumerate(kinds, 1) if kind == LINEAR],
    }
    published = model_from_config(config | {"linear_attn_config": part})
    assert published.total_params == COUNTS["kimi_linear"]["total"]
    assert "linear_attn_config" not in " ".join(published.notes)


def test_layers_that_share_an_indexer_are_known_by_list_pattern_or_rule() -> None:
    config = COUNTS["glm_moe_dsa"]["config"]
    bare = {key: value for key, value in config.items() if not key.startswith("index")}
    bare |= {"index_n_heads": 3, "index_head_dim": 8}
    one = 20 * 3 * 8 + 48 * (8 + 3) + 2 * 8
    every = model_from_config(bare).total_params
    for change, missing in (
        ({"indexer_types": ["full", "shared", "full", "shared", "shared"]}, 3),
        ({"index_topk_pattern": "FSFFF"}, 1),
        ({"index_topk_freq": 2}, 2),  # as in counts.json
        ({"index_topk_freq": 2, "index_skip_topk_offset": 3}, 1),
    ):
        assert every - model_from_config(bare | change).total_params == missing * one, change
    assert (
        model_from_config(bare | {"index_topk_freq": 2}).total_params
        == (COUNTS["glm_moe_dsa"]["total"])
    )


def test_deepseek_v4_s_published_ratios_mean_what_the_library_s_list_means() -> None:
    config = dict(COUNTS["deepseek_v4"]["config"])
    ratios = {name: ratio for ratio, name in V4_KINDS.items()}
    published = [ratios[kind] for kind in config.pop("layer_types")]
    config["num_hash_layers"] = config.pop("mlp_layer_types").count("hash_moe")
    model = model_from_config(config | {"compress_ratios": [*published, 4]})  # one more, of MTP
    assert model.total_params == COUNTS["deepseek_v4"]["total"]
    for odd in ([7] * 5, [4], "04444", [4, 4, 4, 4, -1]):
        with pytest.raises(ValueError, match=r"compress_ratios: got .*, allowed is"):
            model_from_config(config | {"compress_ratios": odd})


def test_streams_beside_the_usual_one_are_counted_and_said() -> None:
    """Twice a layer: a norm of three streams, thin matrices there and back, what is given back."""
    model = model_from_config(COUNTS["qwen4_exp_text"]["config"])
    mixed = 3 * 48 * (1 + 2 * 5)
    assert model.params.norms == 11 * mixed + 10 * 3 * 48 * 3
    assert f"with the norms: {model.other:,} parameters" in model.notes[0]


def test_nemotron_s_published_pattern_means_what_the_library_s_list_means() -> None:
    config = dict(COUNTS["nemotron_h"]["config"])
    letters = dict(linear_attention="M", full_attention="*", moe="E", mlp="-")
    pattern = "".join(letters[kind] for kind in config.pop("layers_block_type"))
    published = model_from_config(config | {"hybrid_override_pattern": pattern})
    assert published.total_params == COUNTS["nemotron_h"]["total"]
    assert (published.layers, published.moe_layers, published.dense_layers) == (6, 2, 1)
    assert (published.attention_layers, published.bare_layers) == (1, 3)
    bare = model_from_config({"model_type": "nemotron_h", "num_hidden_layers": 52})
    assert bare.layers == 4  # the library derives it from the list, and has four by default
    for odd in ("MEX", "", 5, ["M", 2]):
        with pytest.raises(ValueError, match=r"hybrid_override_pattern: got .*, allowed is a"):
            model_from_config(config | {"hybrid_override_pattern": odd})


def test_experts_of_two_matrices_in_a_latent_space() -> None:
    bare = replace(SMALL, matrices=2)
    assert SMALL.params.experts - bare.params.experts == 5 * 6 * 4 * 5
    assert SMALL.params.dense - bare.params.dense == 4 * 10
    latent = replace(bare, d_latent=3)
    assert latent.params.experts == 5 * 6 * 2 * 3 * 5
    assert latent.params.shared == 5 * 2 * 4 * 3  # there and back, which every token takes


def test_granite_without_an_expert_is_its_shared_network_alone() -> None:
    config = COUNTS["granitemoehybrid"]["config"]
    dense = model_from_config(config | {"num_local_experts": 0})
    whole = model_from_config(config)
    assert dense.moe_layers == dense.params.experts == dense.params.router == 0
    assert dense.params.dense == whole.params.shared == 5 * 3 * 48 * 22


@pytest.mark.parametrize("name", ["qwen3_next", "jamba", "lfm2_moe", "bailing_hybrid"])
def test_a_hybrid_s_state_has_no_price_and_is_said_so(name: str) -> None:
    model = model_from_config(COUNTS[name]["config"])
    (state,) = (mixer for mixer in model.mixers if mixer.title)
    own = model.attention_layers
    assert own + state.layers == model.layers == 5
    assert f"{state.layers} of 5 layers have {state.title} instead of attention" in model.notes[0]
    per_layer = replace(model, mixers=()).kv_values_per_token() // 5
    assert model.kv_values_per_token() == own * per_layer
