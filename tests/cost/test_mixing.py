"""Layers that mix tokens otherwise than by attention: what they add, by hand; odd files of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from moe.checkpoints.config import ConfigValues
from moe.cost import ModelConfig, decode, find_gpu, model_from_config
from moe.cost.mixed_layers import FULL, LINEAR, mixing_notes
from moe.cost.mixing import MIXING, PLAIN, V4_KINDS
from moe.cost.shape import Mixer

COUNTS = json.loads(Path(__file__).with_name("counts.json").read_text("utf-8"))
SMALL = ModelConfig(
    name="small", model_type="mixtral", layers=6, dense_layers=1, d_model=4, d_ff_dense=10,
    d_ff_expert=5, experts=6, shared_experts=0, d_ff_shared=0, top_k=2, heads=2, kv_heads=1,
    head_dim=3, vocab=11, mtp_layers=1,
)  # fmt: skip
STATE = Mixer("a state", 4, 100)
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
    notes = mixing_notes((STATE, WINDOW, GATE), 6)
    assert notes == [
        "4 of 6 layers have a state instead of attention: its parameters are counted, its state "
        "and the operations on it are not.",
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
