"""Small parts that differ between model families: biases, norms inside attention, sinks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What a family has beside plain matrices; all of it together is below 0.1 % of a model.

    Attributes
    ----------
    qkv_bias, output_bias
        Biases of the attention's projections.
    qk_norm
        Norms of queries and keys: '', 'head' (one weight per head dimension) or 'full' (one per
        projected channel).
    sinks
        One learned attention sink a head.
    expert_bias
        Biases of both projections of an expert.
    router_bias, correction_bias
        One number per expert and layer, in the gate or only for the choice.
    norm_bias
        Norms with bias.
    shared_gate
        A gate on the shared expert.
    """

    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = ""
    sinks: bool = False
    expert_bias: bool = False
    router_bias: bool = False
    correction_bias: bool = False
    norm_bias: bool = False
    shared_gate: bool = False


PLAIN = Family()
FAMILIES: dict[str, Family] = {
    "dbrx": PLAIN,
    "deepseek": PLAIN,
    "deepseek_v2": PLAIN,
    "deepseek_v3": Family(correction_bias=True),
    "ernie4_5_moe": Family(correction_bias=True),
    "glm4_moe": Family(qkv_bias=True, correction_bias=True),
    "gpt_oss": Family(
        qkv_bias=True, output_bias=True, sinks=True, expert_bias=True, router_bias=True
    ),
    "granitemoe": PLAIN,
    "grok": PLAIN,
    "hunyuan_v1_moe": Family(qk_norm="head"),
    "llama": PLAIN,
    "llama4_text": PLAIN,
    "minimax_m2": Family(qk_norm="full", correction_bias=True),
    "mistral": PLAIN,
    "mixtral": PLAIN,
    "olmoe": Family(qk_norm="full"),
    "phimoe": Family(qkv_bias=True, output_bias=True, norm_bias=True),
    "qwen2": Family(qkv_bias=True),
    "qwen2_moe": Family(qkv_bias=True, shared_gate=True),
    "qwen3": Family(qk_norm="head"),
    "qwen3_moe": Family(qk_norm="head"),
}
