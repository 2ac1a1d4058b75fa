"""The table of families: what each `model_type` means, for loading its layers and for counting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .deepseek_families import DEEPSEEK_FAMILIES, GREEDY, GROUP_NULL, LOCAL
from .family import (
    ACTIVATIONS,
    Family,
    Key,
    after_dense_at_step,
    from_to,
    listed,
    no_layer,
    past,
)
from .layouts import FUSED, FUSED_ROWS, INTERLEAVED, PROJ, ROWS, W123
from .lineages import (
    BESIDES,
    HEAD_NULL,
    KIND_NULL,
    KINDS_AFTER_DENSE,
    KV_NULL,
    NO_NORM,
    Q_NULL,
    deepseek,
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
from .nemotron_family import NEMOTRON_FAMILY
from .other_families import OTHER_FAMILIES
from .refused import REFUSED
from .strict_json import quoted

FAMILIES: dict[str, Family] = {
    "mixtral": mixtral(
        layout=W123,
        memory={"block": "mlp"},
        defaults=defaults_of(32, 4096, 14336, 32, 8, 32000, **local(8, 2)),
        nulls=HEAD_NULL,
        options={"renormalize": True},
        trap="w1, w3, w2 are gate, up, down",
    ),
    "qwen2_moe": sparse_qwen(
        defaults=defaults_of(
            24, 2048, 5632, 16, 16, 151936, **plain(60, 4), moe_intermediate_size=1408,
            shared_expert_intermediate_size=5632,
        ),
        shared="shared_expert",
        shared_width=("shared_expert_intermediate_size",),
        shared_gate="shared_expert_gate.weight",
        qkv_bias=True,
        trap="a gate of its own, a sigmoid, on the shared expert; weights not renormalised",
        spellings={},
    ),
    "qwen3_moe": sparse_qwen(
        defaults=defaults_of(
            24, 2048, 6144, 32, 4, 151936, **plain(128, 8), moe_intermediate_size=768
        ),
        qk_norm="head",
        trap="`norm_topk_prob` is false by default and true in the published models",
    ),
    "olmoe": qwen(
        defaults=defaults_of(16, 2048, 2048, 16, None, 50304, **plain(64, 8)),
        nulls=KV_NULL,
        qk_norm="full",
        trap="weights not renormalised",
    ),
    "flex_olmo": qwen(
        defaults=defaults_of(32, 4096, 11008, 32, None, 100352, **plain(7, 5)),
        nulls=KV_NULL,
        qk_norm="full",
    ),
    "deepseek_v2": deepseek(
        defaults=defaults_of(
            32, 4096, 11008, 32, None, 102400, **latent(1536, 512, 64, 128, 128),
            n_routed_experts=64, num_experts_per_tok=int, moe_intermediate_size=1407,
            n_shared_experts=2, n_group=int, topk_group=int, routed_scaling_factor=1.0,
            first_k_dense_replace=0, topk_method="greedy", mlp_bias=False,
        ),
        nulls=KV_NULL | Q_NULL | GROUP_NULL,
        **GREEDY,
        latent=True,
        trap="groups count only with `topk_method` group_limited_greedy; `norm_topk_prob` "
        "is not used by the reference library",
        spellings={"n_routed_experts": ("num_experts",)},
    ),
    "deepseek_v3": deepseek(
        defaults=defaults_of(
            61, 7168, 18432, 128, 128, 129280, **latent(1536, 512, 64, 128, 128),
            n_routed_experts=256, num_experts_per_tok=8, moe_intermediate_size=2048,
            n_shared_experts=1, n_group=8, topk_group=4, norm_topk_prob=True,
            routed_scaling_factor=2.5, first_k_dense_replace=3, num_nextn_predict_layers=1,
        ),
        nulls=KV_NULL | NO_NORM | {"q_lora_rank": None},
        latent=True,
        trap="the bias selects and never weighs; FP8 blocks with `weight_scale_inv`",
        spellings=LOCAL,
    ),
    "gpt_oss": mixtral(
        block="mlp",
        layout=INTERLEAVED,
        memory=None,
        defaults=defaults_of(
            36, 2880, 2880, 64, 8, 201088, **local(128, 4, 64), swiglu_alpha=1.702,
            swiglu_limit=7.0,
        ),
        gate="router.weight",
        gate_bias="router.bias",
        options={"bias": True, "softmax_order": "after"},
        activation="clamped_swiglu(alpha={swiglu_alpha!r},limit={swiglu_limit!r})",
        only={},
        qkv_bias=True,
        output_bias=True,
        sinks=True,
        trap="gate and up alternate; biases everywhere; MXFP4 blocks; `hidden_act` is not used",
    ),
    "granitemoe": mixtral(
        layout=FUSED_ROWS,
        memory={"gate": "router.weight"},
        defaults=defaults_of(32, 4096, 11008, 32, None, 32000, **local(8, 2)),
        nulls=KV_NULL,
        gate="router.layer.weight",
        options={"softmax_order": "after"},
        trap="softmax over the chosen logits",
        spellings={"num_local_experts": ()},
    ),
    "glm4_moe": deepseek(
        defaults=defaults_of(
            46, 4096, 10944, 96, 8, 151552, head_dim=None, n_routed_experts=128,
            num_experts_per_tok=8, moe_intermediate_size=1408, n_shared_experts=1, n_group=1,
            topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0,
            first_k_dense_replace=1, num_nextn_predict_layers=1,
        ),
        qkv_bias=True,
        trap="as DeepSeek-V3, one group by default",
        spellings=LOCAL,
    ),
    "dots1": deepseek(
        defaults=defaults_of(
            62, 4608, 10944, 32, 32, 152064, head_dim=None, n_routed_experts=int,
            num_experts_per_tok=int, moe_intermediate_size=1408, n_shared_experts=int, n_group=1,
            topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.0,
            first_k_dense_replace=0,
        ),
        nulls=KV_NULL | NO_NORM,
        qk_norm="head",
        trap="as DeepSeek-V3; `norm_topk_prob` is false by default",
        spellings=LOCAL,
    ),
    "minimax_m2": mixtral(
        layout=W123,
        memory={"block": "mlp"},
        defaults=defaults_of(62, 3072, 1536, 48, 8, 200064, **local(256, 8, 128)),
        options={"score": "sigmoid", "renormalize": True},
        select_bias="e_score_correction_bias",
        qk_norm="full",
        trap="sigmoid scores; the bias lies beside the gate, not in it",
    ),
    "ernie4_5_moe": row(
        block="mlp",
        layout=PROJ,
        memory={"select_bias": "gate.moe_statics.e_score_correction_bias"},
        defaults=defaults_of(
            28, 2560, 12288, 20, 4, 103424, head_dim=None, moe_intermediate_size=1536,
            moe_num_experts=64, moe_k=6, moe_num_shared_experts=2, moe_layer_start_index=1,
            moe_layer_end_index=-1, moe_layer_interval=1, moe_norm_min=1e-12, use_bias=False,
            tie_word_embeddings=True,
        ),
        n_experts="moe_num_experts",
        k="moe_k",
        d_expert="moe_intermediate_size",
        options={"renormalize": True, "norm_min": Key("moe_norm_min")},
        shared="shared_experts",
        shared_width=("moe_intermediate_size", "moe_num_shared_experts"),
        select_bias="moe_statics.e_score_correction_bias",
        is_moe=from_to,
        moe_rule="every `moe_layer_interval`-th from `moe_layer_start_index` "
        "to `moe_layer_end_index`",
        spellings={"moe_num_experts": ("num_experts",), "moe_k": ("num_experts_per_tok",)},
        nulls={"use_bias": False},
        only=ACTIVATIONS | {"use_bias": (False,)},
        trap="softmax scores with a selection bias of shape (1, E); a floor under the sum",
    ),
    "llama4_text": mixtral(
        block="feed_forward",
        layout=FUSED,
        memory=None,
        defaults=defaults_of(
            48, 5120, 8192, 40, 8, 202048, **local(16, 1, 128), intermediate_size_mlp=16384,
            interleave_moe_layer_step=1, moe_layers=None,
        ),
        nulls={"moe_layers": None},
        d_dense="intermediate_size_mlp",
        gate="router.weight",
        options={"score": "sigmoid", "renormalize": False, "weigh_input": True},
        shared="shared_expert",
        shared_width=("intermediate_size",),
        is_moe=listed,
        moe_rule="`moe_layers`, or every `interleave_moe_layer_step`-th",
        trap="the weight multiplies what goes into the expert",
        spellings={"num_local_experts": ()},
    ),
    "phimoe": mixtral(
        layout=W123,
        memory={"block": "mlp", "gate": "router.weight"},
        defaults=defaults_of(
            32, 4096, 6400, 32, 8, 32064, **local(16, 2), router_jitter_noise=0.01
        ),
        router="sparsemixer",
        takes_k=False,
        options={"jitter_eps": Key("router_jitter_noise")},
        only=ACTIVATIONS | {"num_experts_per_tok": (2,)},
        qkv_bias=True,
        output_bias=True,
        norm_bias=True,
        trap="each of two choices has a softmax of its own, over logits near the best",
        spellings={"num_local_experts": ()},
    ),
    "hunyuan_v1_moe": row(
        block="mlp",
        layout=PROJ,
        defaults=defaults_of(
            32, 4096, 11008, 32, None, 290943, head_dim=None, num_experts=1, moe_topk=1
        ),
        nulls=KV_NULL,
        k="moe_topk",
        gate="gate.wg.weight",
        options={"renormalize": True},
        shared="shared_mlp",
        shared_width=("intermediate_size",),
        spellings={
            "num_experts": ("num_local_experts",),
            "moe_topk": ("num_experts_per_tok",),
            "head_dim": ("attention_head_dim",),
        },
        per_layer=True,
        qk_norm="head",
        trap="`num_experts` and `moe_topk` may be lists, one entry a layer",
    ),
    **DEEPSEEK_FAMILIES,
    **OTHER_FAMILIES,
    # Counted only: the layers of these are dense, or nobody has compared a loaded one.
    "llama": row(
        defaults=defaults_of(32, 4096, 11008, 32, None, 32000, head_dim=None),
        nulls=KV_NULL | HEAD_NULL,
        is_moe=no_layer,
    ),
    "mistral": row(
        defaults=defaults_of(32, 4096, 14336, 32, 8, 32000, head_dim=None),
        nulls=HEAD_NULL,
        is_moe=no_layer,
    ),
    "qwen2": row(
        defaults=defaults_of(32, 4096, 22016, 32, 32, 151936, head_dim=None),
        nulls=KV_NULL,
        is_moe=no_layer,
        qkv_bias=True,
    ),
    "qwen3": row(
        defaults=defaults_of(32, 4096, 22016, 32, 32, 151936, head_dim=128),
        nulls=KV_NULL,
        is_moe=no_layer,
        qk_norm="head",
    ),
    "deepseek": deepseek(  # never in the reference library: what has no default has to be there
        block="",
        defaults=defaults_of(
            int, int, int, int, None, int, head_dim=None, n_routed_experts=int,
            num_experts_per_tok=int, moe_intermediate_size=int, n_shared_experts=0,
            first_k_dense_replace=0, moe_layer_freq=1,
        ),
        nulls=KV_NULL | {"n_shared_experts": 0},
        router="topk",
        options={},
        select_bias="",
        is_moe=after_dense_at_step,
    ),
    "dbrx": row(
        defaults=BESIDES
        | {
            "n_layers": 24, "d_model": 2048, "n_heads": 16, "vocab_size": 32000,
            "tie_word_embeddings": False, "num_nextn_predict_layers": 0, "head_dim": None,
            "attn_config.kv_n_heads": 1, "ffn_config.ffn_hidden_size": 3584,
            "ffn_config.moe_num_experts": 4, "ffn_config.moe_top_k": 1,
        },
        layers="n_layers",
        d_model="d_model",
        heads="n_heads",
        kv_heads="attn_config.kv_n_heads",
        n_experts="ffn_config.moe_num_experts",
        k="ffn_config.moe_top_k",
        d_expert="ffn_config.ffn_hidden_size",
        stack="blocks",
        block="ffn",
        gate="router.layer.weight",
        layout=ROWS,
        memory=None,
        options={"renormalize": True},
        only={
            "ffn_config.moe_normalize_expert_weights": (1.0, 1),
            "ffn_config.ffn_act_fn": ({"name": "silu"}, None),
        },
        nulls={"ffn_config.ffn_act_fn": None},
        trap="keys inside `ffn_config`; layers are `transformer.blocks.N`; weights not divided by "
        "their sum (`moe_normalize_expert_weights` null), and other activations, are refused",
    ),
    "cohere2_moe": row(
        block="mlp",
        layout=PROJ,
        defaults=defaults_of(
            40, 8192, 22528, 64, None, 256000, head_dim=128, num_experts=8, num_experts_per_tok=2,
            num_shared_experts=0, tie_word_embeddings=True, mlp_layer_types=None,
            first_k_dense_replace=0, expert_selection_fn="softmax", norm_topk_prob=True,
            shared_expert_combination_strategy="average", prefix_dense_intermediate_size=None,
        ),
        nulls=KV_NULL | KIND_NULL | {"prefix_dense_intermediate_size": None},
        only=ACTIVATIONS
        | {
            "expert_selection_fn": ("softmax", "sigmoid"),
            "shared_expert_combination_strategy": ("average", "sum"),
        },
        d_dense="prefix_dense_intermediate_size",
        options={
            "score": Key("expert_selection_fn"), "softmax_order": "after",
            "renormalize": Key("norm_topk_prob"),
        },
        shared="shared_experts",
        shared_width=("intermediate_size", "num_shared_experts"),
        average_if=("shared_expert_combination_strategy", "average"),
        **KINDS_AFTER_DENSE,
        trap="softmax over the chosen logits, or sigmoids; routed and shared experts are averaged "
        "or summed: half of an average is in the layer's weights and in its last shared matrix",
    ),
    **NEMOTRON_FAMILY,
    "grok": mixtral(  # its sizes stand in xai-org/grok-1 run.py, under the usual keys here
        block="",
        defaults=defaults_of(64, 6144, 32768, 48, 8, 131072, **local(8, 2, 128))
        | {"tie_word_embeddings": True},
    ),
    "gemma4_text": qwen(  # a network of the usual width beside the experts; a scale for each
        block="",
        defaults=defaults_of(
            30, 2304, 9216, 8, 4, 262144, head_dim=256, num_experts=int, top_k_experts=int,
            moe_intermediate_size=int,
        )
        | {"tie_word_embeddings": True},
        k="top_k_experts",
        d_expert="moe_intermediate_size",
        shared_width=("intermediate_size",),
        options={},
        select_bias="router.per_expert_scale",
    ),
    "step3p5": deepseek(
        block="",
        defaults=defaults_of(
            45, 4096, 11264, 64, 8, 128815, head_dim=128, n_routed_experts=288,
            num_experts_per_tok=8, moe_intermediate_size=1280, share_expert_dim=1280,
            mlp_layer_types=None,
        ),
        nulls=KIND_NULL,
        spellings={
            "n_routed_experts": ("moe_num_experts", "num_experts", "num_local_experts"),
            "num_experts_per_tok": ("moe_top_k",), "share_expert_dim": ("share_expert_dims",),
            "num_key_value_heads": ("num_attention_groups",),
        },
        options={},
        shared_width=("share_expert_dim",),
        **of_kinds(past(3), "all but the first three"),
    ),
}  # fmt: skip

LOADABLE = {name: family for name, family in FAMILIES.items() if family.block}
COUNTABLE = {name: family for name, family in FAMILIES.items() if family.defaults}

# Models with more than text keep the text model's configuration in a part of theirs.
PARTS = ("text_config", "thinker_config", "llm_config", "language_config")
# Architectures under names of their publishers', whose layers nobody has compared.
ALIASES = {"hunyuan": "hunyuan_v1_moe", "minimax_m3": "minimax_m3_vl_text"}


def family_of(
    config: Mapping[str, Any],
    known: Mapping[str, Family],
    aliases: Mapping[str, str] | None = None,
    where: str = "config.json",
) -> tuple[str, Family, Mapping[str, Any]]:
    """The `model_type` whose row of the table counts, the row, and the configuration it reads.

    A type that is not in the table is one of a larger model if it keeps a text model in a part of
    its configuration, and then the part's type counts.

    Parameters
    ----------
    config
        All of config.json.
    known, aliases
        `LOADABLE`, or `COUNTABLE` with `ALIASES`.
    where
        The file's name, for messages.

    Raises
    ------
    CheckpointError
        If the `model_type` is unknown; the message lists the known ones.
    """
    part, aliases, path, got = config, aliases or {}, "", []
    reasons: list[str] = []
    model_type = config.get("model_type")
    while True:
        name = aliases.get(model_type, model_type) if isinstance(model_type, str) else ""
        if name in known:
            return name, known[name], part
        if name in REFUSED:
            reasons.append(f"; {name} is refused: {REFUSED[name]}")
        got.append(f"{path and f'in its {path} '}{quoted(model_type)}")
        path = next((key for key in PARTS if key in part), "")
        if not path or not isinstance(model_type, str) or len(got) > len(PARTS):
            break
        part = part[path]
        if not isinstance(part, Mapping):
            raise CheckpointError(f"{where}: {path}: got {quoted(part)}, allowed is an object")
        model_type = part.get("model_type", f"{model_type}_text")
    names = ", ".join(sorted([*known, *aliases]))
    raise CheckpointError(
        f"{where}: model_type: got {', '.join(got)}, allowed is one of {names}, or any "
        f"other with one of these in its {PARTS[0]}{''.join(reasons)}"
    )
