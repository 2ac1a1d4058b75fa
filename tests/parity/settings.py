"""Settings of tiny models, by role of a key: sizes that are small, options that are not usual."""

from __future__ import annotations

from typing import Any

from moe.checkpoints.families import FAMILIES
from moe.checkpoints.family import Family, Key

# What every model has, whether its layers of experts look at it or not.
MODEL: dict[str, Any] = {
    "vocab_size": 16, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "head_dim": 4, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4, "v_head_dim": 4,
}  # fmt: skip
# Keys that say which layers are MoE: the second of two is, and the first is not where it can be so.
LAYERS: dict[str, Any] = {
    "first_k_dense_replace": 1, "num_dense_layers": 1, "decoder_sparse_step": 2,
    "mlp_only_layers": [0], "mlp_layer_types": ["dense", "sparse"], "expert_layer_period": 3,
    "expert_layer_offset": 1,
}  # fmt: skip
# Options whose values have to fit each other: two of the three experts of one group.
GROUPS: dict[str, Any] = {"n_group": 2, "topk_group": 1}
# What a tiny model of a type needs besides.
BESIDES: dict[str, dict[str, Any]] = {
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "granitemoehybrid": {"mamba_n_heads": 2, "mamba_d_head": 8},
    "hy_v4_vl_text": {"qk_rope_head_dim": 64},
    "glm5_next_text": {"qk_rope_head_dim": 0},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "moe"],
        "mamba_num_heads": 2,
        "mamba_head_dim": 8,
        "n_groups": 1,
    },
    "deepseek_v4": {"mlp_layer_types": ["moe", "moe"]},
    "dbrx": {
        "ffn_config.hidden_size": 8,
        "attn_config.kv_n_heads": 2,
        "attn_config.rope_theta": 1e4,
    },
}


def tiny(model_type: str) -> dict[str, Any]:
    """Settings of a model whose layer 1 is MoE, with options that are not the row's defaults."""
    family = FAMILIES[model_type]
    chosen = {name: value for name, value in MODEL.items() if name in family.defaults}
    chosen |= {name: MODEL[name] for name in MODEL if name.endswith(("embeddings", "_id"))}
    chosen |= {name: value for name, value in LAYERS.items() if name in family.defaults}
    chosen |= _sizes(family)
    for option, key in family.options.items():
        if isinstance(key, Key):
            chosen[key.name] = GROUPS.get(option, _another(family, key.name))
    if family.select_bias_if:
        chosen[family.select_bias_if] = True
    return chosen | BESIDES.get(model_type, {})


def _sizes(family: Family) -> dict[str, Any]:
    sizes = {
        family.layers: 2, family.d_model: 8, family.heads: 2, family.kv_heads: 2,
        family.d_dense: 12, family.n_experts: 6 if "n_group" in family.options else 5,
        family.k: 2 if "n_group" in family.options else 3, family.d_expert: 4, family.identity: 2,
    }  # fmt: skip
    if family.shared_width:  # of one network, or of one of so many
        width, *number = family.shared_width
        sizes |= {width: sizes.get(width, 7), number[0]: 2} if number else {width: 7}
    return {name: value for name, value in sizes.items() if name in family.defaults}


def _another(family: Family, key: str) -> Any:
    """A value of an option that is not its default: the last of some words, or another number."""
    return family.only[key][-1] if key in family.only else _other(family.defaults[key])


def _other(default: Any) -> Any:
    """A value that an option of this default can have as well."""
    if isinstance(default, bool):
        return not default
    return default + 0.75 if isinstance(default, float) else 2
