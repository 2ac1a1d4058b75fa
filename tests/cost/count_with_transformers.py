"""Write counts.json: small configurations and the parameters that transformers gives them.

`default` are the parameters of the model that a configuration without any key stands for, or null
where the library has no such model.

Run: python tests/cost/count_with_transformers.py (transformers 5.24.0, torch 2.13.0, extra bench).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

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
SMALL = {
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
    "llama4_text": dict(
        num_local_experts=7, intermediate_size_mlp=50, head_dim=10, interleave_moe_layer_step=2,
    ),
}  # fmt: skip


def parameters(config: PreTrainedConfig) -> int:
    """Parameters and the buffers that checkpoints hold."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    kept = sum(b.numel() for name, b in model.named_buffers() if "correction" in name)
    return sum(p.numel() for p in model.parameters()) + kept  # parameters() gives tied ones once


def count(model_type: str, chosen: dict) -> dict:
    """A small configuration, its parameters, and those of the configuration without a key."""
    config = AutoConfig.for_model(model_type, **COMMON | chosen)
    try:
        default = parameters(AutoConfig.for_model(model_type))
    except TypeError:  # a size has no default
        default = None
    return dict(config=config.to_diff_dict(), total=parameters(config), default=default)


if __name__ == "__main__":
    counts = {name: count(name, chosen) for name, chosen in SMALL.items()}
    Path(__file__).with_name("counts.json").write_text(json.dumps(counts, indent=1) + "\n", "utf-8")
