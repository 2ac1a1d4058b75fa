"""Which families mix tokens otherwise than by attention of one kind in every layer, and how."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from ..checkpoints.config import ConfigValues
from . import layer_kinds as kinds_of
from . import linear_mixers as linear
from . import mixers
from .layer_kinds import V4_KINDS
from .mixed_layers import (
    BLOCKS,
    FULL,
    INDEXED,
    LINEAR,
    SLIDING,
    Kind,
    Kinds,
    Mixing,
)
from .shape import Mixer

INDEXER_KINDS = ("full", "shared")
DELTA_RULE = "linear attention (gated delta rule)"


def _indexed(values: ConfigValues, n_layers: int) -> int:
    """Layers that run an indexer of their own, where others use the choice of the one before."""
    for key, full, shared in (("indexer_types", *INDEXER_KINDS), ("index_topk_pattern", "F", "S")):
        kinds = values.kinds(key, (full, shared), n_layers)
        if kinds is not None:
            return kinds.count(full)
    step, offset = values.whole("index_topk_freq", 0), values.whole("index_skip_topk_offset", 0)
    return sum(max(layer - offset + 1, 0) % max(step, 1) == 0 for layer in range(n_layers))


def _laguna(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Attention whose layers may differ in their number of heads, each with a gate."""
    usual = values.whole("num_attention_heads")
    heads = Counter(values.each("num_attention_heads_per_layer", n_layers) or [usual] * n_layers)
    gating = values.choice("gating", (True, False, "per-head", "per-element"))
    return _of_heads(values, heads, gating in (True, "per-head"))


def _of_heads(values: ConfigValues, heads: Counter[int], by_head: bool) -> tuple[Mixer, ...]:
    """So many layers of so many heads, with a gate on each head or on each channel."""
    size, kv = values.whole("head_dim"), values.whole("num_key_value_heads")
    return tuple(
        Mixer(
            "",
            layers,
            mixers.normed_heads(values, h, h if by_head else h * size),
            2 * kv * size,
            2 * h * size,
        )
        for h, layers in heads.items()
    )


def _step(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Attention to a window may have another number of heads; each has a gate."""
    kinds = values.kinds("layer_types", (FULL, SLIDING), n_layers, more=True) or (FULL,) * n_layers
    usual = values.whole("num_attention_heads")
    other = values.whole_or("attention_other_setting.num_attention_heads", usual)
    sliding = values.whole_or("num_sliding_attention_heads", other)
    return _of_heads(values, Counter(sliding if kind == SLIDING else usual for kind in kinds), True)


def _blocks(values: ConfigValues, n_layers: int) -> int:
    """MiniMax-M3's layers with an indexer: by a list of kinds, or of ones where there is one."""
    kinds = values.kinds("layer_types", (FULL, BLOCKS), n_layers)
    if kinds is not None:
        return kinds.count(BLOCKS)
    marks = values.each("sparse_attention_config.sparse_attention_freq", n_layers, low=0) or []
    return sum(mark > 0 for mark in marks)


def _gated_sinks(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Hunyuan 4: gates on values and sinks in each layer, an indexer in one of four."""
    kinds = values.kinds("indexer_types", INDEXER_KINDS, n_layers)
    if kinds is None:
        kinds = tuple(INDEXER_KINDS[n > 0 and n % 4 != 1] for n in range(n_layers))
    parts = mixers.sinks(values) * (1 + values.whole("hidden_size") * values.whole("v_head_dim"))
    picker = mixers.indexer(values)
    return (
        Mixer("", n_layers, parts, beside=True),
        Mixer(
            INDEXER.title,
            kinds.count(INDEXER_KINDS[0]),
            picker,
            mixers.indexer_cache(values),
            mixers.indexer_width(values),
            beside=True,
        ),
    )


def _v4_between(values: ConfigValues, n_layers: int) -> int:
    """The streams; layers that look experts up by token lack the bias that a gate has."""
    kinds = values.kinds("mlp_layer_types", ("hash_moe", "moe"), n_layers)
    hashes = min(n_layers, values.whole("num_hash_layers", 0))
    if kinds is not None:
        hashes = kinds.count("hash_moe")
    return mixers.hyper_connections(values, n_layers) - hashes * values.whole("n_routed_experts")


def _linear_or_full(otherwise: Kinds) -> Kinds:
    return kinds_of.listed("layer_types", (LINEAR, FULL), otherwise)


V4_LISTS: dict[str, None] = {
    "layer_types": None, "compress_ratios": None, "mlp_layer_types": None,
}  # fmt: skip
LISTED: dict[str, None] = {"layer_types": None}
INDEXER_LISTS: dict[str, None] = {"indexer_types": None, "index_topk_pattern": None}
INDEXER = Kind(
    "an indexer that picks what a token attends to",
    mixers.indexer,
    mixers.indexer_cache,
    mixers.indexer_width,
)
GATE = Kind("", mixers.output_gate)
GATED_DELTA = Mixing(
    defaults={
        **LISTED, "full_attention_interval": 4, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
    },
    nulls=LISTED,
    layers=_linear_or_full(kinds_of.full_every("full_attention_interval")),
    kinds={LINEAR: Kind(DELTA_RULE, linear.gated_delta, state=linear.gated_delta_state)},
    beside=GATE,
)  # fmt: skip
HUNYUAN_4 = Mixing(
    defaults={"index_n_heads": 16, "index_head_dim": 128, "indexer_types": None, "hc_mult": 4},
    nulls={"indexer_types": None},
    special=_gated_sinks,
    other=mixers.plain_connections,
)
MIXING: dict[str, Mixing] = {
    "qwen3_next": GATED_DELTA,
    "qwen3_5_moe_text": GATED_DELTA,
    "deepseek_v32": Mixing(
        defaults={"index_n_heads": 64, "index_head_dim": 128}, beside=INDEXER
    ),
    "glm_moe_dsa": Mixing(
        defaults={
            "index_n_heads": 32, "index_head_dim": 128, "index_topk_freq": 1,
            "index_skip_topk_offset": 2, **INDEXER_LISTS,
        },
        nulls=INDEXER_LISTS,
        beside=INDEXER,
        beside_on=_indexed,
    ),
    "mimo_v2_flash": Mixing(
        defaults={**LISTED, "v_head_dim": 128},
        nulls=LISTED,
        layers=kinds_of.listed("layer_types", (SLIDING, FULL), kinds_of.mimo),
        kinds={
            FULL: Kind(
                "",
                partial(mixers.narrow_values, times=1),
                partial(mixers.narrow_cache, times=1),
                mixers.narrow_width,
            ),
            SLIDING: Kind(
                "",
                lambda values: mixers.narrow_values(values, 2) + mixers.sinks(values),
                partial(mixers.narrow_cache, times=2),
                mixers.narrow_width,
            ),
        },
    ),
    "bailing_hybrid": Mixing(
        defaults={
            **LISTED, "layer_group_size": 6, "short_conv_kernel_size": 4, "head_dim": 128,
            "linear_head_dim": None, "linear_num_heads": None, "linear_conv_kernel_dim": None,
        },
        nulls=LISTED,
        layers=_linear_or_full(kinds_of.full_every("layer_group_size")),
        kinds={LINEAR: Kind(DELTA_RULE, linear.ling_delta, state=linear.ling_delta_state)},
        beside=Kind("", mixers.head_gate),
    ),
    "kimi_linear": Mixing(
        defaults={
            **LISTED, "linear_head_dim": 128, "linear_num_heads": 32, "linear_conv_kernel_dim": 4,
            "linear_attn_config.head_dim": None, "linear_attn_config.num_heads": None,
            "linear_attn_config.short_conv_kernel_size": None,
            "linear_attn_config.full_attn_layers": None, "linear_attn_config.kda_layers": None,
            "linear_attn_config.use_full_rank_gate": False, "mla_use_output_gate": False,
            "routed_expert_hidden_size": None, "latent_moe_use_norm": False,
            "attn_res_block_size": None,
        },
        nulls=LISTED | {"routed_expert_hidden_size": None, "attn_res_block_size": None},
        layers=_linear_or_full(kinds_of.kimi),
        kinds={LINEAR: Kind(DELTA_RULE, linear.kimi_delta, state=linear.kimi_delta_state)},
        beside=Kind("", mixers.kimi_output_gate),
        other=mixers.kimi_between,
        d_latent="routed_expert_hidden_size",
    ),
    "minimax": Mixing(
        defaults=LISTED,
        nulls=LISTED,
        layers=_linear_or_full(kinds_of.alternating),
        kinds={
            LINEAR: Kind(
                "lightning attention", linear.lightning, state=linear.lightning_state
            )
        },
    ),
    "jamba": Mixing(
        defaults={
            "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4,
            "mamba_expand": 2, "mamba_dt_rank": "auto", "mamba_conv_bias": True,
            "mamba_proj_bias": False,
        },
        layers=kinds_of.jamba,
        kinds={LINEAR: Kind("Mamba", linear.mamba, state=linear.mamba_state)},
    ),
    "lfm2_moe": Mixing(
        defaults={"layer_types": list, "conv_bias": False, "conv_L_cache": 3},
        layers=kinds_of.listed("layer_types", ("conv", FULL), kinds_of.all_linear),
        kinds={
            "conv": Kind(
                "a short convolution",
                linear.short_convolution,
                state=linear.short_convolution_state,
            )
        },
    ),
    "lara_mini": Mixing(
        defaults={
            **LISTED, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_num_key_heads": 8, "linear_num_value_heads": 16,
        },
        nulls=LISTED,
        layers=kinds_of.listed("layer_types", (LINEAR, SLIDING, FULL), kinds_of.lara),
        kinds=GATED_DELTA.kinds,
    ),
    "dots3_note_text": Mixing(
        defaults={
            **LISTED, "index_n_heads": 64, "index_head_dim": 128, "swa_num_attention_heads": 64,
            "swa_q_lora_rank": 1024, "swa_kv_lora_rank": 1024, "swa_head_dim": 256,
            "swa_qk_nope_head_dim": 192, "swa_qk_rope_head_dim": None, "swa_v_head_dim": 128,
        },
        nulls=LISTED,
        layers=kinds_of.listed("layer_types", (SLIDING, *INDEXED), kinds_of.dots_note),
        kinds={
            SLIDING: Kind(
                "",
                mixers.window_latent,
                mixers.window_cache,
                mixers.window_width,
                absorbed=mixers.window_absorbed,
            )
        },
        beside=replace(INDEXER, params=mixers.gated_indexer),
    ),
    "laguna": Mixing(
        defaults={"num_attention_heads_per_layer": None, "gating": True},
        nulls={"num_attention_heads_per_layer": None},
        special=_laguna,
    ),
    "longcat_flash": Mixing(
        beside=Kind(
            "a second attention, two networks and experts that return x beside the experts",
            mixers.twice_around,
            mixers.latent_cache,
            mixers.latent_width,
            absorbed=mixers.latent_absorbed,
        )
    ),
    "gemma4_text": Mixing(
        defaults={
            **LISTED, "global_head_dim": 512, "num_global_key_value_heads": None,
            "attention_k_eq_v": False, "hidden_size_per_layer_input": 256,
            "num_kv_shared_layers": 0, "enable_moe_block": False, "per_layer_config": None,
        },
        nulls={**LISTED, "num_global_key_value_heads": None, "per_layer_config": None},
        layers=kinds_of.listed("layer_types", (SLIDING, FULL), kinds_of.gemma),
        kinds={
            name: Kind(
                "",
                partial(mixers.gemma, everywhere=everywhere),
                partial(mixers.gemma_cache, everywhere=everywhere),
                partial(mixers.gemma_width, everywhere=everywhere),
            )
            for name, everywhere in ((SLIDING, False), (FULL, True))
        },
        layer_norms=8,  # seven, and a scale of the gate's input
    ),
    "step3p5": Mixing(
        defaults={
            **LISTED, "num_sliding_attention_heads": None,
            "attention_other_setting.num_attention_heads": None,
        },
        nulls={**LISTED, "num_sliding_attention_heads": None},
        special=_step,
    ),
    "minimax_m3_vl_text": Mixing(
        defaults={
            **LISTED, "index_n_heads": 4, "index_head_dim": 128,
            "sparse_attention_config.sparse_attention_freq": None,
        },
        nulls=LISTED,
        beside=replace(INDEXER, params=mixers.block_indexer),
        beside_on=_blocks,
    ),
    "beam": Mixing(beside=Kind("", mixers.biased_gate), layer_norms=4),
    "afmoe": Mixing(beside=GATE, layer_norms=4),
    "cohere2_moe": Mixing(layer_norms=1),
    "deepseek_v4": Mixing(
        defaults={
            **V4_LISTS, "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8,
            "index_n_heads": 64, "index_head_dim": 128, "hc_mult": 4, "num_hash_layers": 3,
            "sliding_window": 128,
            "compress_rates.compressed_sparse_attention": 4,
            "compress_rates.heavily_compressed_attention": 128,
        },
        nulls=V4_LISTS,
        layers=kinds_of.listed("layer_types", tuple(V4_KINDS.values()), kinds_of.v4),
        kinds={
            SLIDING: Kind(
                "attention to a window alone", mixers.short_keys, window=mixers.window_keys
            ),
            V4_KINDS[4]: Kind(
                "attention to keys of several tokens",
                mixers.compressed_sparse,
                mixers.compressed_sparse_cache,
                mixers.compressed_sparse_width,
                window=mixers.window_keys,
            ),
            V4_KINDS[128]: Kind(
                "attention to keys of many tokens",
                mixers.compressed,
                mixers.compressed_cache,
                mixers.compressed_width,
                window=mixers.window_keys,
            ),
        },
        other=_v4_between,
    ),
    "hy_v4": HUNYUAN_4,
    "hy_v4_vl_text": replace(HUNYUAN_4, defaults={**HUNYUAN_4.defaults, "index_n_heads": 32}),
    "qwen4_exp_text": Mixing(
        defaults={
            **GATED_DELTA.defaults, "hc_count": 4, "hc_lowrank": 320, "indexer_n_heads": None,
            "indexer_kv_heads": None, "indexer_head_dim": None,
        },
        nulls=LISTED
        | dict.fromkeys(("indexer_n_heads", "indexer_kv_heads", "indexer_head_dim")),
        layers=kinds_of.listed(
            "layer_types",
            (LINEAR, FULL, *INDEXED),
            kinds_of.full_every("full_attention_interval"),
        ),
        kinds=GATED_DELTA.kinds,
        beside=Kind(
            INDEXER.title, mixers.gated_qsa, mixers.gated_qsa_cache, mixers.gated_qsa_width
        ),
        other=mixers.gated_residual,
        layer_norms=0,
    ),
    "nemotron_h": Mixing(
        defaults={
            "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128,
            "conv_kernel": 4, "use_conv_bias": True, "use_bias": False,
        },
        spellings={
            "n_groups": ("mamba_n_groups",), "conv_kernel": ("mamba_d_conv",),
            "use_conv_bias": ("mamba_conv_bias",),
        },
        layers=kinds_of.nemotron,
        kinds={
            LINEAR: Kind("Mamba-2", linear.nemotron_mamba, state=linear.nemotron_mamba_state),
            "moe": Kind("", mixers.nothing),
            "mlp": Kind("", mixers.nothing),
        },
        bare=(LINEAR, FULL),
        layer_norms=1,
        matrices=2,
        d_latent="moe_latent_size",
    ),
    "granitemoehybrid": Mixing(
        defaults={
            **LISTED, "mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256,
            "mamba_d_head": "auto", "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True,
            "mamba_proj_bias": False,
        },
        nulls=LISTED,
        spellings={"layer_types": ("layers_block_type",)},
        layers=_linear_or_full(kinds_of.all_linear),
        kinds={LINEAR: Kind("Mamba-2", linear.granite_mamba, state=linear.granite_mamba_state)},
    ),
}  # fmt: skip
PLAIN = Mixing()
