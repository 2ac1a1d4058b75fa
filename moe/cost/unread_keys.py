"""Keys of a config.json that no figure counts: the harmless ones, and a note on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checkpoints.families import FAMILIES
from .mixing import MIXING, PLAIN

# Positions, dropout, starting values, token numbers, losses, how the gate scores and scales, and
# how the file was made: none changes a parameter, an operation or a byte of the cache.
NEUTRAL = frozenset((
    "_name_or_path", "architectures", "auto_map", "dtype", "ep_size", "model_type",
    "pretraining_tp", "quantization_config", "torch_dtype", "transformers_version", "use_cache",
    "bos_token_id", "eod_token_id", "eos_token_id", "im_end_id", "im_start_id", "pad_id",
    "pad_token_id", "sep_token_id",
    "attention_dropout", "attn_pdrop", "clip_qkv", "emb_pdrop", "embd_pdrop", "hidden_act",
    "hidden_dropout", "initializer_range", "layer_norm_eps", "resid_pdrop", "rms_norm_eps",
    "norm_eps", "swiglu_alpha", "swiglu_limit",
    "attn_scale", "attn_temperature_tuning", "floor_scale", "initial_context_length",
    "max_position_embeddings", "max_seq_len", "max_window_layers", "no_rope_layer_interval",
    "no_rope_layers", "partial_rotary_factor", "rope_interleave", "rope_parameters",
    "rope_scaling", "rope_theta", "rotary_dim", "use_sliding_window",
    "aux_loss_alpha", "enable_moe_fp32_combine", "experts_per_token", "ffn_act_fn",
    "input_jitter_noise",
    "moe_capacity", "moe_jitter_eps", "route_scale", "router_scaling_factor",
    "moe_loss_weight", "moe_norm_min", "moe_normalize_expert_weights", "moe_renormalize", "n_group",
    "num_expert_group", "norm_topk_prob",
    "output_router_logits", "routed_scaling_factor", "router_aux_loss_coef", "router_jitter_noise",
    "scoring_func", "seq_aux", "topk_group", "topk_method", "uniform_expert_assignment",
    "activation_situ_beta", "activation_situ_linear_beta", "attention_multiplier",
    "attn_output_gate", "embedding_multiplier", "gate_lower_bound", "mamba_ssm_dtype",
    "mla_use_nope", "moe_router_activation_func", "use_gemma_norm", "hidden_activation",
    "index_block_size", "index_local_blocks", "index_topk_blocks", "moe_router_scaling_factor",
    "query_pre_attn_scalar", "use_bidirectional_attention", "vocab_size_per_layer_input",
    "logits_scaling", "qk_norm_type",
    "residual_multiplier",
    "attention_value_scale", "compress_rope_theta", "expert_selection_fn", "hc_eps",
    "hc_sinkhorn_iters", "logit_scale", "prefix_dense_sliding_window_pattern",
    "shared_expert_combination_strategy", "chunk_size", "expand", "final_logit_softcapping",
    "layer_norm_epsilon",
    "layer_rope_theta", "mamba_hidden_act", "mamba_ssm_cache_dtype", "mlp_hidden_act",
    "moe_shared_expert_overlap", "mtp_layers_block_type", "num_logits_to_keep",
    "rescale_prenorm_residual", "residual_in_fp32", "time_step_floor", "time_step_max",
    "time_step_min", "block_size", "global_attn_every_n_layers", "model_max_length",
    "sliding_window_pattern", "full_attn_alpha_factor", "full_attn_beta_factor", "index_topk",
    "indexer_rope_interleave", "kda_lower_bound", "kda_safe_gate", "linear_attn_alpha_factor",
    "linear_attn_beta_factor", "mamba_chunk_size", "mlp_alpha_factor", "mlp_beta_factor",
    "time_step_limit", "use_associative_scan", "use_mamba_kernels", "use_mambapy",
))  # fmt: skip
# In latent attention these follow from the sizes that are read.
NEUTRAL_IF_LATENT = frozenset({"head_dim", "qk_head_dim"})
# Values that every model has whose family does not read the key; any other value is named.
IMPLIED = {"moe_layer_freq": 1, "num_shared_expert": 1, "n_shared_experts": 1}
# Qwen's files carry a window that is not used unless `use_sliding_window` is true.
WINDOW_OFF = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe")
WINDOWS = ("attention_chunk_size", "attn_type_list", "layer_types", "sliding_window")
NO_WINDOW = ("full_attention", "attention")
OTHER_PARTS = ("audio_config", "vision_config")
SHOWN_KEYS, SHOWN_LETTERS = 8, 30


def not_counted(values: Mapping[str, Any], model_type: str) -> tuple[str, ...]:
    """Sentences on the keys of a file that could change a figure and that no figure counts.

    Parameters
    ----------
    values
        The file, or the part of it that was read.
    model_type
        Its family, whose keys are read.
    """
    family = FAMILIES[model_type]
    assumed = {
        "attention_bias": family.qkv_bias,
        "lm_head_bias": False,
        "mlp_bias": False,
        "moe_use_aux_free": bool(family.select_bias),
        "qkv_bias": family.qkv_bias,
        "use_bias": False,
        "use_mixed_mlp_moe": True,
        "use_qk_norm": bool(family.qk_norm),
        "use_routing_bias": bool(family.select_bias),
    }
    if family.select_bias_if:
        assumed[family.select_bias_if] = True
    if model_type == "llama4_text":
        assumed["use_qk_norm"] = bool(values.get("use_qk_norm"))  # its norms have no weights
    notes = []
    if windows := _windows(values, model_type):
        notes.append(
            f"Attention to a part of the text ({', '.join(windows)}) is counted as attention to "
            "all of it: cache and attention are upper bounds."
        )
    other = [k for k, usual in assumed.items() if isinstance(values.get(k, usual), bool)
             and values.get(k, usual) != usual]  # fmt: skip
    if family.uncounted:
        notes.append(
            f"Attention is counted without {family.uncounted}: its figures and the cache's are "
            "approximate."
        )
    if other:
        flags = ", ".join(f"{key} {str(values[key]).lower()}" for key in other)
        notes.append(
            f"{flags}: not counted as this family's models have it otherwise; less than 0.1 % of a "
            "model."
        )
    if parts := [key for key in OTHER_PARTS if values.get(key)]:
        notes.append(f"{', '.join(parts)}: only the part for text is counted.")
    if values.get("use_mtp", True) and values.get("mtp_transformer_layers") not in (None, 1):
        notes.append("mtp_transformer_layers is not 1: a module is counted as one layer.")
    read = family.keys | MIXING.get(model_type, PLAIN).keys
    known = read | NEUTRAL | {*assumed, *OTHER_PARTS, *WINDOWS, "mtp_transformer_layers"}
    if family.latent:
        known |= NEUTRAL_IF_LATENT
    implied = IMPLIED | {"moe_intermediate_size": values.get(family.d_expert)}
    known |= {key for key, usual in implied.items() if _always(values.get(key), usual)}
    unknown = [key for key, value in values.items() if key not in known and value]
    for part, inner in values.items():
        if isinstance(inner, Mapping) and any(key.startswith(f"{part}.") for key in known):
            unknown += [
                f"{part}.{key}"
                for key, value in inner.items()
                if value and key not in NEUTRAL and f"{part}.{key}" not in known
            ]
    if unknown:
        notes.append(f"Not read: {_listed(unknown)}.")
    return tuple(notes)


def _windows(values: Mapping[str, Any], model_type: str) -> list[str]:
    """Keys that say that some layer does not attend to all of the text."""
    found = []
    used = values.get("use_sliding_window", model_type not in WINDOW_OFF)
    longest, kinds = values.get("max_position_embeddings"), values.get("layer_types")
    everywhere = isinstance(kinds, list) and kinds and _always(kinds, "full_attention")
    for key, on in (("sliding_window", used), ("attention_chunk_size", True)):
        if key in MIXING.get(model_type, PLAIN).defaults:
            continue  # its width is counted
        width = values.get(key)
        whole = isinstance(longest, int) and isinstance(width, int) and width >= longest
        if on and width and not whole and not everywhere:
            found.append(key)
    counted = [*NO_WINDOW, *MIXING.get(model_type, PLAIN).without_window]
    for key, plain in (("layer_types", counted), ("attn_type_list", [1])):
        kinds = values.get(key)
        if isinstance(kinds, list) and any(kind not in plain for kind in kinds):
            found.append(key)
    return found


def _always(value: object, usual: object) -> bool:
    """Whether a value, or each entry of a list of one per layer, is the usual one."""
    return all(entry == usual for entry in (value if isinstance(value, list) else [value]))


def _listed(keys: list[str]) -> str:
    """Names of keys as text, cut if they are many or long."""
    shown = [
        (key if key.isprintable() else ascii(key)[1:-1])[:SHOWN_LETTERS]
        for key in map(str, keys[:SHOWN_KEYS])
    ]
    more = len(keys) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
