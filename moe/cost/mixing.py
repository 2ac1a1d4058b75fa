"""Which families mix tokens otherwise than by attention of one kind in every layer, and how."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from ..checkpoints.config import ConfigValues
from ..checkpoints.nemotron_family import NEMOTRON_LETTERS, nemotron_kinds
from . import mixers
from .mixed_layers import FULL, INDEXED, LINEAR, OLD_NAMES, SLIDING, Kind, Kinds, Mixing
from .shape import Mixer

INDEXER_KINDS = ("full", "shared")
DELTA_RULE = "linear attention (gated delta rule)"


def listed(key: str, allowed: tuple[str, ...], otherwise: Kinds) -> Kinds:
    """Kinds as a list in the file has them, or without one by a rule."""
    old = tuple(name for name, new in OLD_NAMES.items() if new in allowed)

    def kinds(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
        found = values.kinds(key, allowed + old, n_layers)
        if found is None:
            return otherwise(values, n_layers)
        return tuple(OLD_NAMES.get(kind, kind) for kind in found)

    return kinds


def full_every(key: str) -> Kinds:
    """The last of each so many layers has full attention, the others are linear."""

    def kinds(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
        step = values.whole(key)
        return tuple(LINEAR if (layer + 1) % step else FULL for layer in range(n_layers))

    return kinds


def _alternating(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(LINEAR if layer % 2 else FULL for layer in range(n_layers))


def _all_linear(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return (LINEAR,) * n_layers


def _jamba(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    period, offset = values.whole("attn_layer_period"), values.whole("attn_layer_offset", 0)
    return tuple(FULL if layer % period == offset else LINEAR for layer in range(n_layers))


def _kimi(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """By a list of those with full attention, counted from 1; else every fourth but the first."""
    full = values.wholes("linear_attn_config.full_attn_layers")
    if full is None:
        full = frozenset(range(5, n_layers + 1, 4))
    return tuple(FULL if layer + 1 in full else LINEAR for layer in range(n_layers))


def _mimo(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(SLIDING if layer and (layer + 1) % 6 else FULL for layer in range(n_layers))


def _indexed(values: ConfigValues, n_layers: int) -> int:
    """Layers that run an indexer of their own, where others use the choice of the one before."""
    for key, full, shared in (("indexer_types", *INDEXER_KINDS), ("index_topk_pattern", "F", "S")):
        kinds = values.kinds(key, (full, shared), n_layers)
        if kinds is not None:
            return kinds.count(full)
    step, offset = values.whole("index_topk_freq", 0), values.whole("index_skip_topk_offset", 0)
    return sum(max(layer - offset + 1, 0) % max(step, 1) == 0 for layer in range(n_layers))


def _lara(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple((LINEAR, SLIDING, LINEAR, FULL, SLIDING)[n % 5] for n in range(n_layers))


def _dots_note(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    return tuple(INDEXED[0] if n < 2 or n % 4 == 1 else SLIDING for n in range(n_layers))


def _nemotron(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    names = {**OLD_NAMES, **NEMOTRON_LETTERS}
    return tuple(names.get(kind, kind) for kind in nemotron_kinds(values, n_layers))


def _laguna(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Attention whose layers may differ in their number of heads, each with a gate."""
    usual = values.whole("num_attention_heads")
    heads = Counter(values.each("num_attention_heads_per_layer", n_layers) or [usual] * n_layers)
    gating = values.choice("gating", (True, False, "per-head", "per-element"))
    size, kv = values.whole("head_dim"), values.whole("num_key_value_heads")
    return tuple(
        Mixer(
            "",
            layers,
            mixers.normed_heads(values, h, h if gating in (True, "per-head") else h * size),
            2 * kv * size,
            2 * h * size,
        )
        for h, layers in heads.items()
    )


def _gated_sinks(values: ConfigValues, n_layers: int) -> tuple[Mixer, ...]:
    """Hunyuan 4: gates on values and sinks in each layer, an indexer in one of four."""
    kinds = values.kinds("indexer_types", INDEXER_KINDS, n_layers)
    if kinds is None:
        kinds = tuple(INDEXER_KINDS[n > 0 and n % 4 != 1] for n in range(n_layers))
    parts = mixers.sinks(values) * (1 + values.whole("hidden_size") * values.whole("v_head_dim"))
    picker = mixers.indexer(values)
    return (
        Mixer("", n_layers, parts, beside=True),
        Mixer(INDEXER.title, kinds.count(INDEXER_KINDS[0]), picker, beside=True),
    )


def _v4(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """By published ratios of compression, else two heavily compressed ones and then in turn."""
    ratios = values.each("compress_ratios", n_layers, low=0, more=True)
    if ratios is None:
        return tuple(V4_KINDS[4] if n > 2 and n % 2 else V4_KINDS[128] for n in range(n_layers))
    for ratio in ratios:
        if ratio not in V4_KINDS:
            raise values.wrong("compress_ratios", ratio, " or ".join(map(str, V4_KINDS)))
    return tuple(V4_KINDS[ratio] for ratio in ratios)


def _v4_between(values: ConfigValues, n_layers: int) -> int:
    """The streams; layers that look experts up by token lack the bias that a gate has."""
    kinds = values.kinds("mlp_layer_types", ("hash_moe", "moe"), n_layers)
    hashes = min(n_layers, values.whole("num_hash_layers", 0))
    if kinds is not None:
        hashes = kinds.count("hash_moe")
    return mixers.hyper_connections(values, n_layers) - hashes * values.whole("n_routed_experts")


def _linear_or_full(otherwise: Kinds) -> Kinds:
    return listed("layer_types", (LINEAR, FULL), otherwise)


V4_KINDS = {
    0: SLIDING, 4: "compressed_sparse_attention", 128: "heavily_compressed_attention",
}  # fmt: skip
V4_LISTS: dict[str, None] = {
    "layer_types": None, "compress_ratios": None, "mlp_layer_types": None,
}  # fmt: skip
LISTED: dict[str, None] = {"layer_types": None}
INDEXER_LISTS: dict[str, None] = {"indexer_types": None, "index_topk_pattern": None}
INDEXER = Kind("an indexer that picks what a token attends to", mixers.indexer)
GATE = Kind("", mixers.output_gate)
GATED_DELTA = Mixing(
    defaults={
        **LISTED, "full_attention_interval": 4, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
    },
    nulls=LISTED,
    layers=_linear_or_full(full_every("full_attention_interval")),
    kinds={LINEAR: Kind(DELTA_RULE, mixers.gated_delta)},
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
        layers=listed("layer_types", (SLIDING, FULL), _mimo),
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
        layers=_linear_or_full(full_every("layer_group_size")),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.ling_delta)},
        beside=Kind("", mixers.head_gate),
    ),
    "kimi_linear": Mixing(
        defaults={
            **LISTED, "linear_head_dim": 128, "linear_num_heads": 32, "linear_conv_kernel_dim": 4,
            "linear_attn_config.head_dim": None, "linear_attn_config.num_heads": None,
            "linear_attn_config.short_conv_kernel_size": None,
            "linear_attn_config.full_attn_layers": None, "linear_attn_config.kda_layers": None,
        },
        nulls=LISTED,
        layers=_linear_or_full(_kimi),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.kimi_delta)},
    ),
    "minimax": Mixing(
        defaults=LISTED,
        nulls=LISTED,
        layers=_linear_or_full(_alternating),
        kinds={LINEAR: Kind("lightning attention", mixers.lightning)},
    ),
    "jamba": Mixing(
        defaults={
            "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4,
            "mamba_expand": 2, "mamba_dt_rank": "auto", "mamba_conv_bias": True,
            "mamba_proj_bias": False,
        },
        layers=_jamba,
        kinds={LINEAR: Kind("Mamba", mixers.mamba)},
    ),
    "lfm2_moe": Mixing(
        defaults={"layer_types": list, "conv_bias": False, "conv_L_cache": 3},
        layers=listed("layer_types", ("conv", FULL), _all_linear),
        kinds={"conv": Kind("a short convolution", mixers.short_convolution)},
    ),
    "lara_mini": Mixing(
        defaults={
            **LISTED, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_num_key_heads": 8, "linear_num_value_heads": 16,
        },
        nulls=LISTED,
        layers=listed("layer_types", (LINEAR, SLIDING, FULL), _lara),
        kinds={LINEAR: Kind(DELTA_RULE, mixers.gated_delta)},
    ),
    "dots3_note_text": Mixing(
        defaults={
            **LISTED, "index_n_heads": 64, "index_head_dim": 128, "swa_num_attention_heads": 64,
            "swa_q_lora_rank": 1024, "swa_kv_lora_rank": 1024, "swa_head_dim": 256,
            "swa_qk_nope_head_dim": 192, "swa_qk_rope_head_dim": None, "swa_v_head_dim": 128,
        },
        nulls=LISTED,
        layers=listed("layer_types", (SLIDING, *INDEXED), _dots_note),
        kinds={
            SLIDING: Kind("", mixers.window_latent, mixers.window_cache, mixers.window_width)
        },
        beside=Kind(INDEXER.title, mixers.gated_indexer),
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
        )
    ),
    "beam": Mixing(beside=Kind("", mixers.biased_gate), layer_norms=4),
    "afmoe": Mixing(beside=GATE, layer_norms=4),
    "cohere2_moe": Mixing(layer_norms=1),
    "deepseek_v4": Mixing(
        defaults={
            **V4_LISTS, "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8,
            "index_n_heads": 64, "index_head_dim": 128, "hc_mult": 4, "num_hash_layers": 3,
            "compress_rates.compressed_sparse_attention": 4,
            "compress_rates.heavily_compressed_attention": 128,
        },
        nulls=V4_LISTS,
        layers=listed("layer_types", tuple(V4_KINDS.values()), _v4),
        kinds={
            SLIDING: Kind("attention to a window alone", mixers.short_keys),
            V4_KINDS[4]: Kind("attention to keys of several tokens", mixers.compressed_sparse),
            V4_KINDS[128]: Kind("attention to keys of many tokens", mixers.compressed),
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
        layers=listed(
            "layer_types", (LINEAR, FULL, *INDEXED), full_every("full_attention_interval")
        ),
        kinds=GATED_DELTA.kinds,
        beside=Kind(INDEXER.title, mixers.gated_qsa),
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
        layers=_nemotron,
        kinds={
            LINEAR: Kind("Mamba-2", mixers.nemotron_mamba),
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
        layers=_linear_or_full(_all_linear),
        kinds={LINEAR: Kind("Mamba-2", mixers.granite_mamba)},
    ),
}  # fmt: skip
PLAIN = Mixing()
