"""What families have in common with those that they come from: rows begin with these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .family import Family, Key, Rule, after_dense, by_kind, every_step
from .layouts import PROJ

AFTER_DENSE = "after the first `first_k_dense_replace`"
EVERY_STEP = "every `decoder_sparse_step`-th but `mlp_only_layers`"
GROUPED = {
    "n_group": Key("n_group"),
    "topk_group": Key("topk_group"),
    "renormalize": Key("norm_topk_prob"),
    "scale": Key("routed_scaling_factor"),
}

# Keys of publishers' files that the reference library's classes do not have; null leaves them out.
BESIDES = {"use_mtp": True, "use_cla": False, "cla_share_factor": 1}
NULLS = BESIDES | {"num_nextn_predict_layers": 0}
SPELLINGS = {
    "num_nextn_predict_layers": ("num_mtp_layers", "num_mtp_modules", "mtp_num_hidden_layers")
}
# What null leaves out is then derived: as many key heads as heads, heads of `hidden_size` / heads.
KV_NULL: dict[str, None] = {"num_key_value_heads": None}
HEAD_NULL: dict[str, None] = {"head_dim": None}
NO_NORM = {"norm_topk_prob": False}  # a null is falsy there
Q_NULL: dict[str, None] = {"q_lora_rank": None}  # one projection of queries
KIND_NULL: dict[str, None] = {"mlp_layer_types": None}


def defaults_of(
    layers: Any, d: Any, f: Any, heads: Any, kv: int | None, vocab: Any, **more: Any
) -> dict[str, Any]:
    """Defaults under the usual keys.

    With None there are as many key heads as heads; an `f` of 0 means that there is no such key.
    """
    width = {"intermediate_size": f} if f else {}
    return BESIDES | width | {
        "num_hidden_layers": layers, "hidden_size": d, "num_attention_heads": heads,
        "num_key_value_heads": kv, "vocab_size": vocab, "tie_word_embeddings": False,
        "num_nextn_predict_layers": 0,
    } | more  # fmt: skip


def local(e: int, k: int, head_dim: int | None = None) -> dict[str, Any]:
    """Experts under the keys of Mixtral and those that followed it."""
    return {"num_local_experts": e, "num_experts_per_tok": k, "head_dim": head_dim}


def plain(e: int, k: int, head_dim: int | None = None) -> dict[str, Any]:
    """Experts under the keys of Qwen and OLMoE."""
    return {"num_experts": e, "num_experts_per_tok": k, "head_dim": head_dim}


def latent(q: Any, kv: Any, rope: Any, nope: Any, v: Any) -> dict[str, Any]:
    """Sizes of multi-head latent attention."""
    return {
        "q_lora_rank": q, "kv_lora_rank": kv, "qk_rope_head_dim": rope,
        "qk_nope_head_dim": nope, "v_head_dim": v,
    }  # fmt: skip


def row(nulls: Mapping[str, Any] | None = None, **fields: Any) -> Family:
    """A family with the nulls and spellings that all have."""
    spellings = SPELLINGS | fields.pop("spellings", {})
    return Family(nulls=NULLS | dict(nulls or {}), spellings=spellings, **fields)


def mixtral(block: str = "block_sparse_moe", **fields: Any) -> Family:
    """Experts counted by `num_local_experts`."""
    more = fields.pop("spellings", {})
    spellings = {"num_local_experts": ("num_experts",)} | more
    return row(block=block, n_experts="num_local_experts", spellings=spellings, **fields)


def qwen(**fields: Any) -> Family:
    """Experts counted by `num_experts`, weights renormalised if the file says so."""
    if "options" not in fields:
        fields["defaults"] = NO_NORM | fields["defaults"]
    usual: dict[str, Any] = {
        "block": "mlp",
        "layout": PROJ,
        "options": {"renormalize": Key("norm_topk_prob")},
        "spellings": {"num_experts": ("num_local_experts",)},
    }
    return row(**usual | fields)


def sparse_qwen(nulls: Mapping[str, Any] | None = None, **fields: Any) -> Family:
    """Qwen's families with experts, in which some layers may be dense."""
    defaults = {"decoder_sparse_step": 1, "mlp_only_layers": None} | fields.pop("defaults")
    return qwen(
        defaults=defaults, d_expert="moe_intermediate_size", is_moe=every_step, moe_rule=EVERY_STEP,
        nulls={"mlp_only_layers": None} | dict(nulls or {}), **fields,
    )  # fmt: skip


def deepseek(**fields: Any) -> Family:
    """DeepSeek's block, which GLM-4.5 and dots.llm1 took over."""
    usual: dict[str, Any] = {
        "block": "mlp",
        "layout": PROJ,
        "n_experts": "n_routed_experts",
        "d_expert": "moe_intermediate_size",
        "router": "deepseek_v3",
        "options": GROUPED,
        "shared": "shared_experts",
        "shared_width": ("moe_intermediate_size", "n_shared_experts"),
        "select_bias": "gate.e_score_correction_bias",
        "is_moe": after_dense,
        "moe_rule": AFTER_DENSE,
        "spellings": {"n_routed_experts": ("num_local_experts", "num_experts")},
    }
    return row(**usual | fields)


def of_kinds(otherwise: Rule, words: str) -> dict[str, Any]:
    """Fields of a family that may list in `mlp_layer_types` which layers are MoE."""
    return {"is_moe": by_kind(otherwise), "moe_rule": f"`mlp_layer_types`, or {words}"}


KINDS_AFTER_DENSE = of_kinds(after_dense, AFTER_DENSE)
