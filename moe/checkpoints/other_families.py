"""Rows of the table of families: those after Qwen, Mixtral and Granite, and those of their own."""

from __future__ import annotations

from typing import Any

from .family import (
    ACTIVATIONS,
    Family,
    Key,
    after_period,
    after_that_many,
    by_frequency,
    past,
    with_experts,
)
from .layouts import FC, FUSED, FUSED_BIASES, FUSED_ROWS, PROJ, STACKED, W123
from .lineages import (
    BESIDES,
    HEAD_NULL,
    KIND_NULL,
    KV_NULL,
    defaults_of,
    latent,
    local,
    mixtral,
    of_kinds,
    plain,
    qwen,
    row,
    sparse_qwen,
)

PLAIN_MLP = ACTIVATIONS | {"mlp_bias": (False,)}
# One shared expert, with a gate of its own.
SHARED: dict[str, Any] = {
    "shared": "shared_expert",
    "shared_width": ("shared_expert_intermediate_size",),
    "shared_gate": "shared_expert_gate.weight",
}


UNGATED = SHARED | {"shared_gate": ""}


def _widths(expert: int, shared: int) -> dict[str, Any]:
    return {"moe_intermediate_size": expert, "shared_expert_intermediate_size": shared}


def _granite(shared: int, **fields: Any) -> Family:
    """Granite's experts with a network beside them, which is all there is if there is no expert."""
    usual: dict[str, Any] = {
        "layout": FUSED_ROWS, "gate": "router.layer.weight", "memory": {"gate": "router.weight"},
    }  # fmt: skip
    return mixtral(
        defaults=defaults_of(
            32, 4096, 11008, 32, None, 32000, **local(8, 2), shared_intermediate_size=shared
        ),
        nulls=KV_NULL,
        spellings={"num_local_experts": ()},
        options={"softmax_order": "after"},
        d_dense="shared_intermediate_size",
        shared="/shared_mlp",
        shared_names=("input_linear", "output_linear"),
        shared_width=("shared_intermediate_size",),
        is_moe=with_experts,
        **usual | fields,
    )


OTHER_FAMILIES: dict[str, Family] = {
    "qwen3_next": sparse_qwen(
        defaults=defaults_of(
            48, 2048, 5632, 16, 2, 151936, **plain(512, 10, 256) | _widths(512, 512),
            norm_topk_prob=True,
        ),
        spellings={},
        qk_norm="head",
        **SHARED,
        trap="as Qwen2-MoE, but weights are renormalised by default",
    ),
    "qwen3_5_moe_text": qwen(
        defaults=defaults_of(40, 2048, 0, 16, 2, 248320, **plain(256, 8, 256) | _widths(512, 512)),
        options={"renormalize": True},
        spellings={},
        d_expert="moe_intermediate_size",
        qk_norm="head",
        **SHARED,
        trap="as Qwen2-MoE, but weights are always renormalised",
    ),
    "mellum": qwen(
        defaults=defaults_of(
            28, 2304, 7168, 32, 4, 98304, **local(64, 8, 128), moe_intermediate_size=896,
            norm_topk_prob=True, mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        n_experts="num_local_experts",
        spellings={"num_local_experts": ("num_experts",)},
        d_expert="moe_intermediate_size",
        **of_kinds(past(0), "all"),
        qk_norm="head",
        trap="as Qwen3-MoE; weights are renormalised by default",
    ),
    "minimax": mixtral(
        layout=W123,
        memory={"block": "mlp"},
        defaults=defaults_of(32, 4096, 14336, 32, 8, 32000, **local(8, 2)),
        nulls=HEAD_NULL,
        options={"renormalize": True},
        trap="as Mixtral",
    ),
    "jamba": row(
        block="feed_forward",
        layout=PROJ,
        gate="router.weight",
        defaults=defaults_of(
            32, 4096, 14336, 32, 8, 65536, num_experts=16, num_experts_per_tok=2, head_dim=None,
            expert_layer_period=2, expert_layer_offset=1,
        ),
        options={"renormalize": False},
        spellings={"num_experts": ("num_local_experts",)},
        is_moe=after_period,
        moe_rule="every `expert_layer_period`-th from `expert_layer_offset`",
        trap="weights not renormalised; with one expert all layers are dense",
    ),
    "lfm2_moe": row(
        block="feed_forward",
        layout=W123,
        defaults=defaults_of(
            32, 2048, 7168, 32, 8, 65536, num_experts=32, num_experts_per_tok=4, head_dim=None,
            moe_intermediate_size=1792, num_dense_layers=2, use_expert_bias=True,
            norm_topk_prob=True, routed_scaling_factor=1.0, tie_word_embeddings=True,
        ),
        d_expert="moe_intermediate_size",
        options={
            "score": "sigmoid",
            "renormalize": Key("norm_topk_prob"),
            "scale": Key("routed_scaling_factor"),
            "norm_eps": 1e-6,
        },
        select_bias="expert_bias",
        select_bias_if="use_expert_bias",
        spellings={"tie_word_embeddings": ("tie_embedding",)},
        only={},
        is_moe=after_that_many,
        moe_rule="after the first `num_dense_layers`",
        qk_norm="head",
        trap="sigmoid scores; 1e-6 is added to the sum that divides them; no key for an activation",
    ),
    "afmoe": row(
        block="mlp",
        layout=PROJ,
        gate="router.gate.weight",
        defaults=defaults_of(
            32, 2048, 6144, 16, 16, 200192, num_experts=64, num_experts_per_tok=6, head_dim=128,
            moe_intermediate_size=1408, num_shared_experts=2, num_dense_layers=1, route_scale=1.0,
        ),
        nulls=KV_NULL,
        d_expert="moe_intermediate_size",
        options={"score": "sigmoid", "renormalize": True, "scale": Key("route_scale")},
        select_bias="expert_bias",
        shared="shared_experts",
        shared_width=("moe_intermediate_size", "num_shared_experts"),
        is_moe=after_that_many,
        moe_rule="after the first `num_dense_layers`",
        qk_norm="head",
        trap="sigmoid scores, always renormalised; the bias lies beside the gate",
    ),
    "hy_v3": row(
        block="mlp",
        layout=PROJ,
        gate="router.gate.weight",
        defaults=defaults_of(
            80, 4096, 13312, 64, 8, 120832, num_experts=192, num_experts_per_tok=8, head_dim=128,
            moe_intermediate_size=1536, num_shared_experts=1, router_scaling_factor=2.826,
            mlp_layer_types=None, mlp_bias=False,
        ),
        nulls=KIND_NULL,
        d_expert="moe_intermediate_size",
        options={"score": "sigmoid", "renormalize": True, "scale": Key("router_scaling_factor")},
        select_bias="expert_bias",
        shared="shared_mlp",
        memory={
            "gate": "gate.weight",
            "select_bias": "e_score_correction_bias",
            "shared": "shared_experts",
        },
        shared_width=("moe_intermediate_size", "num_shared_experts"),
        spellings={"num_experts": ("num_local_experts",)},
        only=PLAIN_MLP,
        **of_kinds(past(1), "all but the first"),
        qk_norm="head",
        trap="sigmoid scores, always renormalised; the shared expert is `shared_mlp`",
    ),
    "qwen3_omni_moe_text": sparse_qwen(
        defaults=defaults_of(
            28, 2048, 18944, 28, 4, 3584, **plain(128, 8), moe_intermediate_size=768,
            norm_topk_prob=True,
        ),
        spellings={},
        qk_norm="head",
        trap="as Qwen3-MoE; weights are renormalised by default",
    ),
    "qwen3_vl_moe_text": sparse_qwen(
        layout=FUSED,
        defaults=defaults_of(
            24, 2048, 5632, 16, 16, 151936, **local(60, 4), moe_intermediate_size=1408,
            tie_word_embeddings=True,
        ),
        nulls=HEAD_NULL,
        n_experts="num_local_experts",
        options={"renormalize": True},
        spellings={"num_local_experts": ("num_experts",)},
        qk_norm="head",
        trap="as Qwen3-MoE, always renormalised; (E, D, 2F) in published files, (E, 2F, D) in the "
        "library's",
    ),
    "qwen4_exp_text": qwen(
        defaults=defaults_of(
            40, 2048, 0, 16, 2, 248320, **plain(512, 10, 256) | _widths(512, 512),
            norm_topk_prob=True,
        ),
        spellings={},
        d_expert="moe_intermediate_size",
        **SHARED,
        qk_norm="head",
        trap="as Qwen3-Next",
    ),
    "flint": sparse_qwen(
        defaults=defaults_of(
            49, 2048, 6144, 32, 4, 150144, **plain(256, 6, 128) | _widths(512, 1024),
            norm_topk_prob=True, mlp_only_layers=[0, 1],
        ),
        nulls={"mlp_only_layers": [0, 1]},
        options={"score": "sigmoid", "renormalize": Key("norm_topk_prob")},
        spellings={},
        **UNGATED,
        qk_norm="head",
        sinks=True,
        trap="as Qwen2-MoE, but sigmoid scores and no gate on the shared expert",
    ),
    "lara_mini": qwen(
        defaults=defaults_of(
            34, 1024, 0, 16, 4, 151936, **plain(128, 4, 128) | _widths(512, 512),
            norm_topk_prob=True, tie_word_embeddings=True,
        ),
        spellings={},
        d_expert="moe_intermediate_size",
        **UNGATED,
        qk_norm="head",
        trap="as Qwen3-Next, but no gate on the shared expert",
    ),
    "laguna": qwen(
        defaults=defaults_of(
            40, 2048, 8192, 48, 8, 100352, **plain(256, 8, 128) | _widths(512, 512),
            moe_routed_scaling_factor=1.0, mlp_layer_types=None,
            moe_router_logit_softcapping=0.0, moe_apply_router_weight_on_input=False,
        ),
        nulls=KIND_NULL,
        options={
            "score": "sigmoid", "renormalize": True, "scale": Key("moe_routed_scaling_factor"),
        },
        only=ACTIVATIONS
        | {"moe_router_logit_softcapping": (0.0,), "moe_apply_router_weight_on_input": (False,)},
        spellings={},
        d_expert="moe_intermediate_size",
        **of_kinds(past(1), "all but the first"),
        **UNGATED,
        select_bias="experts.e_score_correction_bias",
        memory={"select_bias": "gate.e_score_correction_bias", "shared": "shared_experts"},
        qk_norm="head",
        trap="sigmoid scores, always renormalised; the bias stands among the experts",
    ),
    "minimax_m3_vl_text": mixtral(
        layout=W123,
        defaults=defaults_of(
            60, 6144, 3072, 64, 4, 200064, **local(128, 4, 128), dense_intermediate_size=12288,
            shared_intermediate_size=3072, routed_scaling_factor=2.0, mlp_layer_types=None,
            swiglu_alpha=1.702, swiglu_limit=7.0, moe_layer_freq=None,
        ),
        nulls=KIND_NULL | {"moe_layer_freq": None},
        spellings={"num_nextn_predict_layers": ()},  # beside it `num_mtp_modules` says another
        memory={
            "block": "mlp", "select_bias": "gate.e_score_correction_bias",
            "shared_names": ("gate_up_proj", "down_proj"),
        },
        d_dense="dense_intermediate_size",
        options={"score": "sigmoid", "renormalize": True, "scale": Key("routed_scaling_factor")},
        select_bias="e_score_correction_bias",
        activation="clamped_swiglu(alpha={swiglu_alpha!r},limit={swiglu_limit!r})",
        shared="shared_experts",
        shared_width=("shared_intermediate_size",),
        only={},
        **of_kinds(by_frequency, "where `moe_layer_freq` is 1, or all"),
        qk_norm="head",
        trap="as MiniMax-M2 with a shared expert and gpt-oss's clamped SwiGLU",
    ),
    "openai_privacy_filter": mixtral(
        block="mlp",
        layout=FUSED_BIASES,
        memory=None,
        defaults=defaults_of(
            8, 640, 640, 14, 2, 200064, **local(128, 4, 64), swiglu_alpha=1.702, swiglu_limit=7.0
        ),
        gate="router.weight",
        gate_bias="router.bias",
        options={"bias": True, "softmax_order": "after"},
        activation="clamped_swiglu(alpha={swiglu_alpha!r},limit={swiglu_limit!r})",
        only={},
        qkv_bias=True,
        output_bias=True,
        sinks=True,
        uncounted="that it reads both ways, without a table of outputs",
        trap="as gpt-oss, gate half first",
    ),
    "aria_text": row(
        block="mlp",
        layout=FC,
        memory={"layout": FUSED},
        gate="router.weight",
        defaults=defaults_of(
            32, 4096, 4096, 32, 32, 32000, head_dim=None, moe_num_experts=8, moe_topk=2,
            moe_num_shared_experts=2, mlp_bias=False,
        ),
        nulls=KV_NULL | HEAD_NULL,
        n_experts="moe_num_experts",
        k="moe_topk",
        options={"softmax_order": "after"},
        shared="shared_experts",
        shared_width=("intermediate_size", "moe_num_shared_experts"),
        only=PLAIN_MLP,
        trap="(E, D, 2F) under the names fc1 and fc2",
    ),
    "granitemoeshared": _granite(0, trap="as Granite; a network beside the block"),
    "granitemoehybrid": _granite(1024, trap="as Granite; a network beside the block"),
    "granitemoe_swa": _granite(0, layout=STACKED, gate="router.weight", memory=None, sinks=True,
                               trap="as Granite; a network beside the block"),
    "longcat_flash": row(
        block="mlp",
        beside=("mlps",),
        layout=PROJ,
        defaults=BESIDES
        | {
            "num_layers": 28, "hidden_size": 6144, "num_attention_heads": 64,
            "num_key_value_heads": None, "vocab_size": 131072, "ffn_hidden_size": 12288,
            "tie_word_embeddings": False, "num_nextn_predict_layers": 0, "n_routed_experts": 512,
            "zero_expert_num": 256, "moe_topk": 12, "expert_ffn_hidden_size": 2048,
            "routed_scaling_factor": 6.0, **latent(1536, 512, 64, 128, 128),
        },
        nulls=KV_NULL | {"router_bias": False},
        only=ACTIVATIONS | {"router_bias": (False,), "zero_expert_type": ("identity",)},
        spellings={
            "n_routed_experts": ("num_local_experts",), "moe_topk": ("num_experts_per_tok",),
            "expert_ffn_hidden_size": ("moe_intermediate_size",),
            "ffn_hidden_size": ("intermediate_size",),
        },
        layers="num_layers",
        d_dense="ffn_hidden_size",
        n_experts="n_routed_experts",
        k="moe_topk",
        d_expert="expert_ffn_hidden_size",
        identity="zero_expert_num",
        gate="router.classifier.weight",
        select_bias="router.e_score_correction_bias",
        router="longcat",
        options={"scale": Key("routed_scaling_factor")},
        latent=True,
        trap="the last `zero_expert_num` experts return x; the layer is `mlp` alone, without the "
        "two networks `mlps` beside it",
    ),
}  # fmt: skip
