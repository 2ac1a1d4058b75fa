"""Write counts.json and published_counts.json: parameters that transformers gives configurations.

`total` and `active` are all parameters and those that one token uses, both tables among them;
`default` those of the model that a configuration without any key stands for, or null where the
library has no such model. published_counts.json has both sums for the models of
`moe/cost/configs.json` whose type it has. Models are built on the meta device, at full size.

Run: python tests/cost/count_with_transformers.py (transformers 5.24.0, torch 2.13.0, extra bench).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from moe.cost.tables import configs

TIED = "tie_word_embeddings"
ENDINGS = ("ForCausalLM", "TextModel")
PUBLISHERS = {"kimi_k2": "deepseek_v3"}  # what the library calls a type that it does not have
# Published models of types that it does not have, or has in another form.
NOT_THERE = ("DeepSeekMoE-16B", "Grok-1", "Kimi-K3")
BIASES = ("e_score_correction_bias", "expert_bias")
COMMON = dict(
    hidden_size=48, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2,
    vocab_size=90, intermediate_size=40,
    num_experts_per_tok=3,
)  # fmt: skip
LATENT = dict(
    num_key_value_heads=6, q_lora_rank=20, kv_lora_rank=12, qk_rope_head_dim=4, qk_nope_head_dim=8,
    v_head_dim=10, moe_intermediate_size=14, n_routed_experts=8, n_shared_experts=2, n_group=4,
    topk_group=2, first_k_dense_replace=2,
)  # fmt: skip
OCR = dict(
    n_routed_experts=8, n_shared_experts=2, moe_intermediate_size=14, pad_token_id=1,
    mlp_layer_types=["dense", "sparse", "sparse", "dense", "sparse"],
)  # fmt: skip
RENAMED = {key: value for key, value in LATENT.items() if key != "n_routed_experts"} | dict(
    num_local_experts=8, q_lora_rank=None, pad_token_id=1,
)  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "llama": dict(),
    "mistral": dict(head_dim=10),
    "qwen2": dict(tie_word_embeddings=True),
    "qwen3": dict(head_dim=10),
    "mixtral": dict(num_local_experts=7),
    "phimoe": dict(num_local_experts=7, attention_bias=True),
    "granitemoe": dict(num_local_experts=7, num_experts_per_tok=3, tie_word_embeddings=True),
    "gpt_oss": dict(num_local_experts=7, head_dim=10),
    "minimax_m2": dict(num_local_experts=7, head_dim=10),
    "olmoe": dict(num_experts=7),
    "qwen2_moe": dict(num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22),
    "qwen3_moe": dict(num_experts=7, moe_intermediate_size=14, head_dim=10, mlp_only_layers=[1]),
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "glm4_moe": dict(
        n_routed_experts=8, n_shared_experts=1, moe_intermediate_size=14, head_dim=10,
        first_k_dense_replace=2, attention_bias=True,
    ),
    "dots1": dict(
        n_routed_experts=8, n_shared_experts=1, moe_intermediate_size=14, head_dim=10,
        first_k_dense_replace=2, attention_bias=False,
    ),
    "flex_olmo": dict(num_experts=7, pad_token_id=1),
    "ernie4_5_moe": dict(
        moe_num_experts=7, moe_k=3, moe_num_shared_experts=2, moe_intermediate_size=14,
        moe_layer_start_index=1, moe_layer_end_index=3,
    ),
    "hunyuan_v1_moe": dict(num_experts=7, moe_topk=3, head_dim=10),
    "glm4_moe_lite": LATENT | dict(n_group=2),
    "solar_open": dict(n_routed_experts=8, moe_intermediate_size=14, head_dim=10),
    "exaone_moe": dict(num_experts=7, moe_intermediate_size=14, first_k_dense_replace=2),
    "mellum": dict(
        num_local_experts=7, moe_intermediate_size=14, head_dim=10,
        mlp_layer_types=["dense", "sparse", "sparse", "dense", "sparse"],
    ),
    "hy_v3": dict(num_experts=7, moe_intermediate_size=14, head_dim=10, num_shared_experts=2),
    "kimi_k2": LATENT,
    "sarvam_mla": LATENT | dict(n_group=2),
    "sarvam_moe": dict(
        n_routed_experts=8, n_shared_experts=2, moe_intermediate_size=14, head_dim=10,
        first_k_dense_replace=2,
    ),
    "glm4v_moe_text": dict(
        n_routed_experts=8, n_shared_experts=2, moe_intermediate_size=14, head_dim=10,
        first_k_dense_replace=2, attention_bias=True, pad_token_id=1,
    ),
    "mistral4": LATENT | dict(first_k_dense_replace=1),
    "qwen3_omni_moe_text": dict(
        num_experts=7, moe_intermediate_size=14, head_dim=10, mlp_only_layers=[1],
    ),
    "qwen3_vl_moe_text": dict(
        num_experts=7, moe_intermediate_size=14, head_dim=10, decoder_sparse_step=2,
    ),
    "unlimited_ocr_text": OCR,
    "deepseek_ocr2_text": OCR,
    "aria_text": dict(moe_num_experts=7, moe_topk=3, moe_num_shared_experts=1),
    "cohere2_moe": dict(
        num_experts=7, head_dim=10, num_shared_experts=2, first_k_dense_replace=2,
        prefix_dense_intermediate_size=50,
    ),
    "dbrx": dict(  # the experts get the width under its own name
        d_model=48,
        attn_config=dict(kv_n_heads=2, rope_theta=1e4),
        ffn_config=dict(hidden_size=48, ffn_hidden_size=14, moe_num_experts=7, moe_top_k=3),
    ),
    "llama4_text": dict(
        num_local_experts=7, intermediate_size_mlp=50, head_dim=10, interleave_moe_layer_step=2,
    ),
}  # fmt: skip


# Their layers mix tokens otherwise than by attention of one kind in each.
HYBRIDS: dict[str, dict[str, Any]] = {
    "qwen3_next": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        linear_key_head_dim=6, linear_value_head_dim=7, linear_num_key_heads=2,
        linear_num_value_heads=4, linear_conv_kernel_dim=3, mlp_only_layers=[1],
        full_attention_interval=2,
    ),
    "qwen3_5_moe_text": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        linear_key_head_dim=6, linear_value_head_dim=7, linear_num_key_heads=2,
        linear_num_value_heads=4,
    ),
    "deepseek_v32": LATENT | dict(index_n_heads=3, index_head_dim=8),
    "glm_moe_dsa": LATENT | dict(index_n_heads=3, index_head_dim=8, index_topk_freq=2),
    "mimo_v2_flash": dict(
        n_routed_experts=8, moe_intermediate_size=14, head_dim=12, v_head_dim=8, n_group=2,
        topk_group=1, num_attention_heads=8,
    ),
    "bailing_hybrid": RENAMED | dict(head_dim=9, layer_group_size=2, short_conv_kernel_size=3),
    "kimi_linear": RENAMED | dict(
        linear_head_dim=9, linear_num_heads=4, linear_conv_kernel_dim=3,
    ),
    "minimax": dict(num_local_experts=7, head_dim=10),
    "jamba": dict(
        num_experts=7, attn_layer_period=3, attn_layer_offset=1, mamba_d_state=5, mamba_d_conv=3,
        mamba_expand=3, mamba_dt_rank=11, mamba_proj_bias=True,
    ),
    "lfm2_moe": dict(
        num_experts=7, moe_intermediate_size=14, conv_L_cache=4, conv_bias=True,
        layer_types=["conv", "full_attention", "conv", "conv", "full_attention"],
    ),
    "granitemoehybrid": dict(
        num_local_experts=7, shared_intermediate_size=22, mamba_n_heads=4, mamba_d_state=5,
        mamba_n_groups=2, mamba_d_conv=3, mamba_conv_bias=False,
        layer_types=["mamba", "attention", "mamba", "mamba", "attention"],
    ),
    "aria_text": dict(moe_num_experts=7, moe_topk=3, head_dim=10),
    "granitemoeshared": dict(num_local_experts=7, shared_intermediate_size=22),
    "granitemoe_swa": dict(num_local_experts=7),
    "nemotron_h": dict(
        n_routed_experts=8, moe_intermediate_size=14, moe_shared_expert_intermediate_size=22,
        moe_latent_size=18, head_dim=10, mamba_num_heads=4, mamba_head_dim=6, n_groups=2,
        ssm_state_size=5, conv_kernel=3, n_group=2,
        layers_block_type=["mamba", "moe", "attention", "mlp", "moe", "mamba"],
    ),
    "deepseek_v4": dict(
        n_routed_experts=8, n_shared_experts=2, moe_intermediate_size=14, head_dim=8,
        q_lora_rank=20, o_groups=2, o_lora_rank=6, index_n_heads=3, index_head_dim=4, hc_mult=3,
        compress_rates=dict(compressed_sparse_attention=2, heavily_compressed_attention=5),
        layer_types=["sliding_attention", *["heavily_compressed_attention",
                     "compressed_sparse_attention"] * 2],
        mlp_layer_types=["hash_moe", "hash_moe", "moe", "moe", "moe"],
    ),
    "hy_v4": LATENT | dict(
        index_n_heads=3, index_head_dim=8, hc_mult=3, pad_token_id=1, n_group=2,
    ),
    "hy_v4_vl_text": LATENT | dict(
        index_n_heads=3, index_head_dim=8, hc_mult=2, pad_token_id=1, qk_rope_head_dim=64,
        indexer_types=["full", "shared", "shared", "full", "shared"],
    ),
    "qwen4_exp_text": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        linear_key_head_dim=6, linear_value_head_dim=7, linear_num_key_heads=2,
        linear_num_value_heads=4, hc_count=3, hc_lowrank=5, indexer_n_heads=2, indexer_kv_heads=1,
        indexer_head_dim=12, indexer_budget=8, indexer_compress_ratio=2,
    ),
    "lara_mini": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        linear_key_head_dim=6, linear_value_head_dim=7, linear_num_key_heads=2,
        linear_num_value_heads=4,
    ),
    "flint": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        mlp_only_layers=[0, 2],
    ),
    "laguna": dict(
        num_experts=7, moe_intermediate_size=14, shared_expert_intermediate_size=22, head_dim=10,
        num_attention_heads_per_layer=[6, 4, 6, 8, 4], gating="per-element",
    ),
    "longcat_flash": dict(
        num_layers=5, ffn_hidden_size=40, q_lora_rank=20, kv_lora_rank=12, qk_rope_head_dim=4,
        qk_nope_head_dim=8, v_head_dim=10, n_routed_experts=7, zero_expert_num=3, moe_topk=3,
        expert_ffn_hidden_size=14,
    ),
    "gemma4_text": dict(
        num_experts=7, top_k_experts=3, moe_intermediate_size=14, head_dim=10, global_head_dim=12,
        num_global_key_value_heads=1, attention_k_eq_v=True, hidden_size_per_layer_input=0,
        enable_moe_block=True, layer_types=["sliding_attention", "full_attention"] * 2
        + ["full_attention"],
    ),
    "step3p5": dict(
        n_routed_experts=7, moe_intermediate_size=14, share_expert_dim=22, head_dim=10,
        num_sliding_attention_heads=8, mlp_layer_types=["dense", *["sparse"] * 4],
        layer_types=["full_attention", *["sliding_attention"] * 3, "full_attention"],
    ),
    "minimax_m3_vl_text": dict(
        num_local_experts=7, head_dim=10, dense_intermediate_size=50, shared_intermediate_size=22,
        index_n_heads=2, index_head_dim=8, moe_layer_freq=[0, 1, 1, 0, 1],
        sparse_attention_config=dict(sparse_attention_freq=[0, 0, 1, 1, 1]),
    ),
    "beam": dict(num_experts=8, moe_intermediate_size=14, head_dim=10, n_group=2, topk_group=1),
    "dots3_note_text": LATENT | dict(
        index_n_heads=3, index_head_dim=8, shared_experts_intermediate_size=22, pad_token_id=1,
    ),
    "afmoe": dict(
        num_experts=7, moe_intermediate_size=14, head_dim=10, num_shared_experts=1,
        num_dense_layers=2,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Count:
    """Parameters of a model, and those that one token uses, with both tables."""

    total: int
    active: int


def text_model(config: PreTrainedConfig) -> PreTrainedModel:
    """The library's model of a text: with an output head, or that inside of a larger model."""
    with torch.device("meta"):
        if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
            return AutoModelForCausalLM.from_config(config)
        module = type(config).__module__.replace("configuration_", "modeling_")
        (kind,) = (
            kind
            for name, kind in vars(import_module(module)).items()
            if getattr(kind, "config_class", None) is type(config) and name.endswith(ENDINGS)
        )
        return kind._from_config(config)


def counted(config: PreTrainedConfig) -> Count:
    """Count what the library builds, and the buffers that checkpoints hold."""
    model = text_model(config)
    sizes = {name: p.numel() for name, p in model.named_parameters()}  # tied ones once
    sizes |= {n: b.numel() for n, b in model.named_buffers() if n.endswith(BIASES)}
    if model.get_output_embeddings() is None and not getattr(config, TIED, False):
        sizes["lm_head"] = config.vocab_size * config.hidden_size  # it is the larger model's
    names = ("num_experts_per_tok", "moe_topk", "top_k_experts")
    k = next((k for name in names if (k := getattr(config, name, 0))), 0)
    k = k or getattr(getattr(config, "ffn_config", None), "moe_top_k", 0)
    rows, experts = 0, {name for name in sizes if ".experts." in name}
    if idle := getattr(config, "zero_expert_num", 0):  # has matrices that nothing reads
        rows = config.n_routed_experts
        sizes |= {n: sizes[n] // (rows + idle) * rows for n in experts if "gate_up" in n}
    # DBRX has the rows of all experts one below the other.
    rows = rows or getattr(getattr(config, "ffn_config", None), "moe_num_experts", 0)
    used = sum(sizes[n] // (rows or model.get_parameter(n).shape[0]) for n in experts)
    return Count(sum(sizes.values()), sum(sizes.values()) - sum(map(sizes.get, experts)) + k * used)


def smallest(model_type: str) -> PreTrainedConfig:
    """The small configuration of a type."""
    return AutoConfig.for_model(
        PUBLISHERS.get(model_type, model_type), **COMMON | (SMALL | HYBRIDS)[model_type]
    )


def default(model_type: str) -> Count | None:
    """Count of the configuration without a key; None if the library has no such model."""
    try:
        return counted(AutoConfig.for_model(PUBLISHERS.get(model_type, model_type)))
    except (TypeError, AttributeError):  # a size has no default
        return None


def count(model_type: str) -> dict[str, Any]:
    """A small configuration, its parameters, and those of the configuration without a key."""
    config, usual = smallest(model_type), default(model_type)
    # Tuples and infinities become what a file can hold.
    kept = json.loads(json.dumps(config.to_diff_dict(), default=list)) | {"model_type": model_type}
    if "global_head_dim" in (given := HYBRIDS.get(model_type, {})):
        del kept["per_layer_config"]  # it stands for keys that published files have
        kept = given | kept
    return dict(config=kept, **asdict(counted(config)), default=usual and asdict(usual))


def published(name: str) -> dict[str, int]:
    """Count of a published model, by its name in `configs`."""
    settings = dict(configs()[name])
    model_type = settings.pop("model_type")
    if "attn_config" in settings:  # its class reads the base of rotary positions there
        settings["attn_config"] = settings["attn_config"] | {"rope_theta": 1e4}
    return asdict(counted(AutoConfig.for_model(PUBLISHERS.get(model_type, model_type), **settings)))


if __name__ == "__main__":
    sums = {name: published(name) for name in configs() if name not in NOT_THERE}
    Path(__file__).with_name("published_counts.json").write_text(
        json.dumps(sums, indent=1) + "\n", "utf-8"
    )
    counts = {name: count(name) for name in SMALL | HYBRIDS}
    Path(__file__).with_name("counts.json").write_text(json.dumps(counts, indent=1) + "\n", "utf-8")
