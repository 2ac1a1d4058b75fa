"""Rows of the table of families: those whose block is DeepSeek-V3's."""

from __future__ import annotations

from typing import Any

from .family import ACTIVATIONS, Family, Key, by_hash, past
from .layouts import STACKED, USUAL_NAMES, W123
from .lineages import (
    GROUPED,
    HEAD_NULL,
    KIND_NULL,
    KINDS_AFTER_DENSE,
    KV_NULL,
    NO_NORM,
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
RENAMED_NULL = {"moe_renormalize": False}  # a null is falsy there
RENAMED_KEYS: dict[str, Any] = {
    "n_experts": "num_experts",
    "k": "num_experts_per_token",
    "shared_width": ("moe_intermediate_size", "num_shared_experts"),
    "options": GROUPED
    | {"n_group": Key("num_expert_group"), "renormalize": Key("moe_renormalize")},
    "spellings": RENAMED,
}
LOCAL = {"n_routed_experts": ("num_local_experts",)}
SARVAM = {
    "n_routed_experts": ("num_local_experts", "num_experts"),
    "n_shared_experts": ("num_shared_experts",),
}
# Refused only where no list says which layers are dense.
DENSE_NULL: dict[str, None] = {"first_k_dense_replace": None}
# DeepSeek-V2's gate, whose groups count with one method only.
GROUP_NULL: dict[str, None] = {"n_group": None, "topk_group": None}
GREEDY: dict[str, Any] = {
    "router": "deepseek_v2",
    "options": {name: GROUPED[name] for name in ("n_group", "topk_group", "scale")},
    "select_bias": "",
    "only": ACTIVATIONS | {"mlp_bias": (False,), "topk_method": ("greedy", "group_limited_greedy")},
    "groups_if": ("topk_method", "group_limited_greedy"),
}
LIMITED_SWIGLU = "clamped_swiglu(alpha=1.0,limit={swiglu_limit!r},plus=0.0)"
LIMITED: dict[str, Any] = {
    "nulls": KIND_NULL,
    "spellings": LOCAL,
    "latent": True,
    "activation": LIMITED_SWIGLU,
}
ONE_SHARED = {"n_shared_experts": 1}


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
        nulls=KIND_NULL | KV_NULL | Q_NULL | RENAMED_NULL,
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
        nulls=KIND_NULL | KV_NULL | Q_NULL | RENAMED_NULL | DENSE_NULL,
        **KINDS_AFTER_DENSE | RENAMED_KEYS,
        latent=True,
        trap="as DeepSeek-V3 under other keys; experts w1, w3, w2, the shared one gate, up, down",
    ),
    "kimi_k2": deepseek(  # its publisher's class is DeepSeek-V3's, with the same defaults
        defaults=defaults_of(
            61, 7168, 18432, 128, 128, 129280, **latent(1536, 512, 64, 128, 128),
            **_gate(256, 8, 2048, 8, 4, 2.5), **ONE_SHARED, first_k_dense_replace=3,
            num_nextn_predict_layers=1,
        ),
        nulls=KV_NULL | NO_NORM | Q_NULL,
        spellings=LOCAL,
        latent=True,
        trap="DeepSeek-V3 by another name",
    ),
    "glm4v_moe_text": deepseek(
        defaults=defaults_of(
            46, 4096, 10944, 96, 8, 151424, head_dim=None, **_gate(128, 8, 1408, 1, 1, 1.0),
            **ONE_SHARED, first_k_dense_replace=1,
        ),
        spellings=LOCAL,
        qkv_bias=True,
        trap="as GLM-4.5",
    ),
    "sarvam_moe": deepseek(
        defaults=defaults_of(
            19, 4096, 8192, 64, 4, 262144, head_dim=64, **_gate(128, 6, 1024, 1, 1, 2.5),
            **ONE_SHARED, first_k_dense_replace=1,
        ),
        spellings=SARVAM,
        select_bias="gate.expert_bias",
        memory={"select_bias": IN_GATE},
        qk_norm="head",
        trap="as DeepSeek-V3; the bias is `gate.expert_bias`",
    ),
    "sarvam_mla": deepseek(
        defaults=defaults_of(
            32, 4096, 16384, 64, 64, 262144, **latent(None, 512, 64, 128, 128),
            **_gate(128, 8, 2048, 1, 1, 2.5), **ONE_SHARED, first_k_dense_replace=1,
        ),
        nulls=KV_NULL | NO_NORM | Q_NULL,
        spellings=SARVAM,
        latent=True,
        trap="as DeepSeek-V3, one group by default",
    ),
    "dots3_note_text": deepseek(
        defaults=defaults_of(
            46, 5120, 13824, 128, 128, 152064, **latent(1024, 512, 64, 128, 128),
            **_gate(256, 8, 1536, 1, 1, 1.0), **ONE_SHARED,
            shared_experts_intermediate_size=1536, mlp_layer_types=None, mlp_bias=False,
        ),
        nulls=KIND_NULL | Q_NULL,
        **of_kinds(past(1), "all but the first"),
        shared_width=("shared_experts_intermediate_size", "n_shared_experts"),
        spellings=LOCAL,
        only=ACTIVATIONS | {"mlp_bias": (False,)},
        latent=True,
        trap="as DeepSeek-V3; the shared expert has a width of its own",
    ),
    "beam": deepseek(
        defaults=defaults_of(
            52, 5120, 20480, 48, 8, 151936, head_dim=128, num_experts=256, num_experts_per_tok=8,
            moe_intermediate_size=2560, n_group=8, topk_group=4, norm_topk_prob=True,
            routed_scaling_factor=2.5, mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        **of_kinds(past(3), "all but the first three"),
        n_experts="num_experts",
        spellings={},
        shared="",
        shared_width=(),
        qk_norm="head",
        trap="as DeepSeek-V3 without a shared expert",
    ),
    "mistral4": deepseek(
        layout=STACKED,
        memory=None,
        defaults=defaults_of(
            36, 4096, 12288, 32, 32, 131072, **latent(1024, 256, 64, 64, 128),
            **_gate(128, 4, 2048, 1, 1, 1.0), **ONE_SHARED, first_k_dense_replace=0,
        ),
        nulls=KV_NULL | NO_NORM | Q_NULL,
        router="deepseek_v2",
        options=GROUPED | {"group_score_of": 2},
        select_bias="",
        spellings=LOCAL,
        latent=True,
        trap="softmax scores without a bias, groups by their two best; renormalised by default",
    ),
    "unlimited_ocr_text": deepseek(
        defaults=defaults_of(
            12, 1280, 6848, 10, 10, 129280, head_dim=None, n_routed_experts=64,
            num_experts_per_tok=6, moe_intermediate_size=896, n_shared_experts=2, n_group=1,
            topk_group=1, routed_scaling_factor=1.0, first_k_dense_replace=1,
            mlp_layer_types=None, topk_method="greedy", mlp_bias=False,
        ),
        nulls=KIND_NULL | KV_NULL | HEAD_NULL | GROUP_NULL | DENSE_NULL,
        **KINDS_AFTER_DENSE | GREEDY,
        spellings={"n_routed_experts": ("num_experts",)},
        trap="as DeepSeek-V2",
    ),
    "deepseek_ocr2_text": deepseek(
        defaults=defaults_of(
            32, 4096, 11008, 32, 32, 102400, head_dim=None, n_routed_experts=64,
            num_experts_per_tok=int, moe_intermediate_size=1407, n_shared_experts=2, n_group=int,
            topk_group=int, routed_scaling_factor=1.0, mlp_layer_types=list,
            topk_method="greedy", mlp_bias=False,
        ),
        nulls=KV_NULL | HEAD_NULL | GROUP_NULL,
        **of_kinds(past(0), "none") | GREEDY,
        spellings={"n_routed_experts": ("num_experts",)},
        trap="as DeepSeek-V2; `mlp_layer_types` has to be there",
    ),
    "hy_v4": deepseek(
        layout=STACKED,
        memory={"shared_names": USUAL_NAMES},
        shared_names=("linear_gate", "up_proj", "down_proj"),
        defaults=defaults_of(
            34, 2816, 6912, 32, 32, 120832, **latent(1536, 512, 64, 192, 256),
            **_gate(256, 8, 768, 1, 1, 2.827), **ONE_SHARED, mlp_layer_types=None,
            swiglu_limit=10.0,
        ),
        **LIMITED,
        **of_kinds(past(1), "all but the first"),
        trap="as DeepSeek-V3, with a limit on what SwiGLU gets; experts all in one",
    ),
    "hy_v4_vl_text": deepseek(
        layout=STACKED,
        memory={"shared_names": USUAL_NAMES},
        shared_names=("linear_gate", "up_proj", "down_proj"),
        defaults=defaults_of(
            78, 6144, 18432, 64, 64, 120832, **latent(2048, 512, 64, 192, 256),
            **_gate(256, 8, 2048, 1, 1, 2.827), **ONE_SHARED, mlp_layer_types=None,
            swiglu_limit=10.0,
        ),
        **LIMITED,
        **of_kinds(past(1), "all but the first"),
        trap="as Hunyuan 4",
    ),
    "glm5_next_text": deepseek(
        defaults=defaults_of(
            45, 4096, 12288, 64, 64, 154880, **latent(1536, 512, 0, 256, 256),
            **_gate(288, 8, 2048, 1, 1, 2.5), **ONE_SHARED, mlp_layer_types=None,
            swiglu_limit=10.0,
        ),
        **LIMITED,
        **of_kinds(past(3), "all but the first three"),
        uncounted="linear attention in most layers, an indexer and wider residual streams",
        trap="as DeepSeek-V3, with a limit on what SwiGLU gets",
    ),
    "deepseek_v4": deepseek(
        block="ffn",
        layout=W123,
        memory={"block": "mlp", "select_bias": IN_GATE, "shared_names": USUAL_NAMES},
        select_bias="gate.bias",
        defaults=defaults_of(
            43, 4096, 0, 64, 1, 129280, head_dim=512, n_routed_experts=256,
            num_experts_per_tok=6, moe_intermediate_size=2048, routed_scaling_factor=1.5,
            num_nextn_predict_layers=1, mlp_layer_types=None, num_hash_layers=3,
            scoring_func="sqrtsoftplus", mlp_bias=False, swiglu_limit=10.0,
        ),
        nulls=KIND_NULL | {"num_hash_layers": 3},
        d_dense="moe_intermediate_size",
        router="deepseek_v4",
        options={"scale": Key("routed_scaling_factor")},
        activation=LIMITED_SWIGLU,
        shared="shared_experts",
        shared_names=("w1", "w3", "w2"),
        shared_width=("moe_intermediate_size",),
        only=ACTIVATIONS | {"mlp_bias": (False,), "scoring_func": ("sqrtsoftplus",)},
        spellings=LOCAL | {"moe_intermediate_size": ("intermediate_size",)},
        is_moe=past(0),
        moe_rule="all; `mlp_layer_types` hash_moe or the first `num_hash_layers` by a table",
        by_table=by_hash,
        trap="square root of softplus as score, a limit on what SwiGLU gets; layers with a table "
        "of token ids are refused",
    ),
}  # fmt: skip
