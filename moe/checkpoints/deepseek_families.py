"""Rows of the table of families: those whose block is DeepSeek-V3's."""

from __future__ import annotations

from typing import Any

from .family import Family, Key, past
from .layouts import W123
from .lineages import (
    GROUPED,
    KIND_NULL,
    KINDS_AFTER_DENSE,
    KV_NULL,
    Q_NULL,
    deepseek,
    defaults_of,
    latent,
    of_kinds,
)

IN_GATE = "gate.e_score_correction_bias"
# What Kimi Linear and Ling call the keys of DeepSeek's gate, and DeepSeek's names for them.
RENAMED = {
    "num_experts": ("num_local_experts",),
    "num_experts_per_token": ("num_experts_per_tok",),
    "num_shared_experts": ("n_shared_experts",),
    "num_expert_group": ("n_group",),
    "moe_renormalize": ("norm_topk_prob",),
}
RENAMED_KEYS: dict[str, Any] = {
    "n_experts": "num_experts",
    "k": "num_experts_per_token",
    "shared_width": ("moe_intermediate_size", "num_shared_experts"),
    "options": GROUPED
    | {"n_group": Key("num_expert_group"), "renormalize": Key("moe_renormalize")},
    "spellings": RENAMED,
}
ONE_SHARED = {"n_shared_experts": 1}
LOCAL = {"n_routed_experts": ("num_local_experts",)}


def _gate(e: int, k: int, f: int, groups: int, reached: int, scale: float) -> dict[str, Any]:
    """Experts, and the gate's options, under DeepSeek's keys."""
    return {
        "n_routed_experts": e, "num_experts_per_tok": k, "moe_intermediate_size": f,
        "n_group": groups, "topk_group": reached, "norm_topk_prob": True,
        "routed_scaling_factor": scale,
    }  # fmt: skip


def _renamed(e: int, f: int, groups: int, reached: int, scale: float, dense: int) -> dict[str, Any]:
    """The same under the keys of Kimi Linear and Ling."""
    return {
        "num_experts": e, "num_experts_per_token": 8, "moe_intermediate_size": f,
        "num_shared_experts": 1, "num_expert_group": groups, "topk_group": reached,
        "moe_renormalize": True, "routed_scaling_factor": scale, "first_k_dense_replace": dense,
    }  # fmt: skip


DEEPSEEK_FAMILIES: dict[str, Family] = {
    "deepseek_v32": deepseek(
        defaults=defaults_of(
            61, 7168, 18432, 128, 128, 129280, **latent(1536, 512, 64, 128, 128),
            **_gate(256, 8, 2048, 8, 4, 2.5), **ONE_SHARED, first_k_dense_replace=3,
            mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        **KINDS_AFTER_DENSE,
        latent=True,
        trap="as DeepSeek-V3",
    ),
    "glm_moe_dsa": deepseek(
        defaults=defaults_of(
            78, 6144, 12288, 64, 64, 154880, **latent(2048, 512, 64, 192, 256),
            **_gate(256, 8, 2048, 1, 1, 2.5), **ONE_SHARED, first_k_dense_replace=3,
            mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        **KINDS_AFTER_DENSE,
        latent=True,
        trap="as DeepSeek-V3, one group by default",
    ),
    "glm4_moe_lite": deepseek(
        defaults=defaults_of(
            47, 2048, 10240, 20, 20, 154880, **latent(768, 512, 64, 192, 256),
            **_gate(64, 4, 1536, 1, 1, 1.8), **ONE_SHARED, mlp_layer_types=None,
        ),
        nulls=KIND_NULL | Q_NULL,
        **of_kinds(past(1), "all but the first"),
        spellings=LOCAL,
        latent=True,
        trap="`first_k_dense_replace` is not used by the reference library",
    ),
    "mimo_v2_flash": deepseek(
        defaults=defaults_of(
            48, 4096, 16384, 64, 4, 152576, head_dim=192, mlp_layer_types=None,
            **_gate(256, 8, 2048, 1, 1, 1.0),
        ),
        nulls=KIND_NULL | {"routed_scaling_factor": 1.0},
        **of_kinds(past(1), "all but the first"),
        spellings=LOCAL,
        shared="",
        shared_width=(),
        trap="as DeepSeek-V3 without a shared expert; `moe_layer_freq` is not used by the "
        "reference library",
    ),
    "solar_open": deepseek(
        defaults=defaults_of(
            48, 4096, 0, 64, 8, 196608, head_dim=128, **_gate(128, 8, 1280, 1, 1, 1.0), **ONE_SHARED
        ),
        spellings=LOCAL,
        is_moe=past(0),
        moe_rule="all",
        trap="as DeepSeek-V3, no dense layer",
    ),
    "exaone_moe": deepseek(
        defaults=defaults_of(
            32, 4096, 16384, 32, 32, 102400, head_dim=None, num_experts=64, num_experts_per_tok=8,
            moe_intermediate_size=1024, num_shared_experts=1, n_group=1, topk_group=1,
            norm_topk_prob=True, routed_scaling_factor=2.5, first_k_dense_replace=1,
            mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        **KINDS_AFTER_DENSE,
        n_experts="num_experts",
        shared_width=("moe_intermediate_size", "num_shared_experts"),
        select_bias="e_score_correction_bias",
        memory={"select_bias": IN_GATE},
        spellings={"num_experts": ()},
        qk_norm="head",
        trap="as DeepSeek-V3; the bias lies beside the gate",
    ),
    "bailing_hybrid": deepseek(
        defaults=defaults_of(
            42, 2560, 6144, 32, 32, 157184, **latent(None, 512, 64, 128, 128),
            **_renamed(512, 768, 8, 4, 2.5, 2), mlp_layer_types=None,
            num_nextn_predict_layers=1,
        ),
        nulls=KIND_NULL | KV_NULL | Q_NULL,
        **KINDS_AFTER_DENSE | RENAMED_KEYS,
        select_bias="gate.expert_bias",
        memory={"select_bias": IN_GATE},
        latent=True,
        trap="as DeepSeek-V3 under other keys; the bias is `gate.expert_bias`",
    ),
    "kimi_linear": deepseek(
        block="block_sparse_moe",
        layout=W123,
        memory={"block": "mlp"},
        defaults=defaults_of(
            27, 2304, 9216, 32, 32, 163840, **latent(None, 512, 64, 128, 128),
            **_renamed(256, 1024, 1, 1, 2.446, 1), mlp_layer_types=None,
        ),
        nulls=KIND_NULL | KV_NULL | Q_NULL,
        **KINDS_AFTER_DENSE | RENAMED_KEYS,
        latent=True,
        trap="as DeepSeek-V3 under other keys; experts w1, w3, w2, the shared one gate, up, down",
    ),
}  # fmt: skip
