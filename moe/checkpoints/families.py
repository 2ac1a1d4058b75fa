"""The table of families: tensor names, layout, router and MoE layers of each `model_type`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .layouts import FUSED, FUSED_ROWS, INTERLEAVED, PROJ, W123, Layout
from .settings import Settings

Rule = Callable[[Settings, int], bool]


@dataclass(frozen=True)
class Key:
    """An option whose value stands in config.json under this name."""

    name: str


@dataclass(frozen=True)
class Family:
    """How one family publishes its MoE layers.

    Attributes
    ----------
    block, gate
        Names after the layer's prefix, and after the block's.
    layout
        How the experts are stored.
    router, options
        Registry name and options; a `Key` is read from config.json.
    n_experts, k, d_expert
        Keys of E, of experts per token and of F.
    shared, shared_width, shared_gate
        Name of the shared expert, the keys whose product is its width, and its gate.
    select_bias, gate_bias
        Names of the selection bias and of the gate's own bias.
    activation
        Expert function; `{key}` is filled in from config.json.
    is_moe, moe_rule
        Which layers are MoE, as a function and in words.
    defaults
        Defaults of the configuration class for all keys; a type means that the key is required.
    spellings
        Other names of keys.
    nulls
        What null means, by key: what the reference library makes of it where its configuration
        class allows it. Every other null is refused.
    only
        Keys for which just these values are supported; the first one is the default.
    groups_if
        Key and value without which the router's groups do not count.
    takes_k
        Whether the router has the option k.
    per_layer
        Whether E and k may be lists, one entry a layer.
    trap
        What is easily got wrong, for the documentation.
    """

    block: str
    layout: Layout
    defaults: Mapping[str, Any]
    n_experts: str = "num_experts"
    k: str = "num_experts_per_tok"
    d_expert: str = "intermediate_size"
    gate: str = "gate.weight"
    router: str = "topk"
    options: Mapping[str, Any] = field(default_factory=dict)
    shared: str = ""
    shared_width: tuple[str, ...] = ()
    shared_gate: str = ""
    select_bias: str = ""
    gate_bias: str = ""
    activation: str = "swiglu"
    is_moe: Rule = lambda settings, layer: True
    moe_rule: str = "all"
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nulls: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(
        default_factory=lambda: {"hidden_act": ("silu", "swish")}
    )
    groups_if: tuple[str, str] | None = None
    takes_k: bool = True
    per_layer: bool = False
    trap: str = ""


def _after_dense(settings: Settings, layer: int) -> bool:
    return layer >= settings.whole("first_k_dense_replace", 0)


def _every_step(settings: Settings, layer: int) -> bool:
    step = settings.whole("decoder_sparse_step")
    return layer not in (settings.wholes("mlp_only_layers") or ()) and (layer + 1) % step == 0


def _from_to(settings: Settings, layer: int) -> bool:
    start = settings.whole("moe_layer_start_index", 0)
    end = settings.whole("moe_layer_end_index", -1)
    step = settings.whole("moe_layer_interval")
    return (layer + 1) % step == 0 and start <= layer and (end == -1 or layer <= end)


def _listed(settings: Settings, layer: int) -> bool:
    step, layers = settings.whole("interleave_moe_layer_step"), settings.wholes("moe_layers")
    return (layer + 1) % step == 0 if layers is None else layer in layers


AFTER_DENSE = "after the first `first_k_dense_replace`"
EVERY_STEP = "every `decoder_sparse_step`-th but `mlp_only_layers`"
LOCAL = {"num_experts": ("num_local_experts",)}
N_LOCAL = {"num_local_experts": ("num_experts",)}
N_ROUTED = {"n_routed_experts": ("num_local_experts", "num_experts")}
GROUPED = {
    "n_group": Key("n_group"),
    "topk_group": Key("topk_group"),
    "renormalize": Key("norm_topk_prob"),
    "scale": Key("routed_scaling_factor"),
}


def _sizes(layers: int, d: int, f: int, e: Any, k: Any, **more: Any) -> dict[str, Any]:
    """Defaults that every family has, under the usual keys."""
    return {
        "num_hidden_layers": layers, "hidden_size": d, "intermediate_size": f,
        "num_experts": e, "num_local_experts": e, "n_routed_experts": e,
        "num_experts_per_tok": k,
    } | more  # fmt: skip


NO_NORM = {"norm_topk_prob": False}  # a null is falsy there


def _deepseek(
    shared_default: Any, trap: str, nulls: Mapping[str, Any] | None = None, **defaults: Any
) -> Family:
    """DeepSeek-V3's block, which GLM-4.5 and dots.llm1 took over."""
    return Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(**defaults) | {"n_shared_experts": shared_default},
        n_experts="n_routed_experts",
        d_expert="moe_intermediate_size",
        router="deepseek_v3",
        options=GROUPED,
        shared="shared_experts",
        shared_width=("moe_intermediate_size", "n_shared_experts"),
        select_bias="gate.e_score_correction_bias",
        is_moe=_after_dense,
        moe_rule=AFTER_DENSE,
        spellings=N_ROUTED,
        nulls=nulls or {},
        trap=trap,
    )


FAMILIES: dict[str, Family] = {
    "mixtral": Family(
        block="block_sparse_moe",
        layout=W123,
        defaults=_sizes(32, 4096, 14336, 8, 2),
        n_experts="num_local_experts",
        options={"renormalize": True},
        spellings=N_LOCAL,
        trap="w1, w3, w2 are gate, up, down",
    ),
    "qwen2_moe": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(
            24, 2048, 5632, 60, 4, moe_intermediate_size=1408, norm_topk_prob=False,
            shared_expert_intermediate_size=5632, decoder_sparse_step=1,
        ),
        d_expert="moe_intermediate_size",
        options={"renormalize": Key("norm_topk_prob")},
        shared="shared_expert",
        shared_width=("shared_expert_intermediate_size",),
        shared_gate="shared_expert_gate.weight",
        is_moe=_every_step,
        moe_rule=EVERY_STEP,
        spellings=LOCAL,
        trap="a gate of its own, a sigmoid, on the shared expert; weights not renormalised",
    ),
    "qwen3_moe": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(
            24, 2048, 6144, 128, 8, moe_intermediate_size=768, norm_topk_prob=False,
            decoder_sparse_step=1,
        ),
        d_expert="moe_intermediate_size",
        options={"renormalize": Key("norm_topk_prob")},
        is_moe=_every_step,
        moe_rule=EVERY_STEP,
        spellings=LOCAL,
        trap="`norm_topk_prob` is false by default and true in the published models",
    ),
    "olmoe": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(16, 2048, 2048, 64, 8, norm_topk_prob=False),
        options={"renormalize": Key("norm_topk_prob")},
        spellings=LOCAL,
        trap="weights not renormalised",
    ),
    "flex_olmo": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(32, 4096, 11008, 7, 5, norm_topk_prob=False),
        options={"renormalize": Key("norm_topk_prob")},
        spellings=LOCAL,
    ),
    "deepseek_v2": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(
            32, 4096, 11008, 64, int, moe_intermediate_size=1407, n_shared_experts=2,
            n_group=1, topk_group=1, routed_scaling_factor=1.0, first_k_dense_replace=0,
            topk_method="greedy", mlp_bias=False,
        ),
        n_experts="n_routed_experts",
        d_expert="moe_intermediate_size",
        router="deepseek_v2",
        options={name: GROUPED[name] for name in ("n_group", "topk_group", "scale")},
        shared="shared_experts",
        shared_width=("moe_intermediate_size", "n_shared_experts"),
        is_moe=_after_dense,
        moe_rule=AFTER_DENSE,
        spellings=N_ROUTED,
        only={
            "hidden_act": ("silu", "swish"),
            "mlp_bias": (False,),
            "topk_method": ("greedy", "group_limited_greedy"),
        },
        groups_if=("topk_method", "group_limited_greedy"),
        trap="groups count only with `topk_method` group_limited_greedy; `norm_topk_prob` "
        "is not used by the reference library",
    ),
    "deepseek_v3": _deepseek(
        1, "the bias selects and never weighs; FP8 blocks with `weight_scale_inv`", NO_NORM,
        layers=61, d=7168, f=18432, e=256, k=8, moe_intermediate_size=2048, n_group=8,
        topk_group=4, norm_topk_prob=True, routed_scaling_factor=2.5, first_k_dense_replace=3,
    ),
    "gpt_oss": Family(
        block="mlp",
        layout=INTERLEAVED,
        defaults=_sizes(36, 2880, 2880, 128, 4, swiglu_alpha=1.702, swiglu_limit=7.0),
        n_experts="num_local_experts",
        gate="router.weight",
        gate_bias="router.bias",
        options={"bias": True, "softmax_order": "after"},
        activation="clamped_swiglu(alpha={swiglu_alpha!r},limit={swiglu_limit!r})",
        spellings=N_LOCAL | {"num_experts_per_tok": ("experts_per_token",)},
        only={},
        trap="gate and up alternate; biases everywhere; MXFP4 blocks; `hidden_act` is not used",
    ),
    "granitemoe": Family(
        block="block_sparse_moe",
        layout=FUSED_ROWS,
        defaults=_sizes(32, 4096, 11008, 8, 2),
        n_experts="num_local_experts",
        gate="router.layer.weight",
        options={"softmax_order": "after"},
        spellings=N_LOCAL,
        trap="softmax over the chosen logits",
    ),
    "glm4_moe": _deepseek(
        1, "as DeepSeek-V3, one group by default",
        layers=46, d=4096, f=10944, e=128, k=8, moe_intermediate_size=1408, n_group=1,
        topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0, first_k_dense_replace=1,
    ),
    "dots1": _deepseek(
        int, "as DeepSeek-V3; `norm_topk_prob` is false by default", NO_NORM,
        layers=62, d=4608, f=10944, e=int, k=int, moe_intermediate_size=1408, n_group=1,
        topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.0, first_k_dense_replace=0,
    ),
    "minimax_m2": Family(
        block="block_sparse_moe",
        layout=W123,
        defaults=_sizes(62, 3072, 1536, 256, 8),
        n_experts="num_local_experts",
        options={"score": "sigmoid", "renormalize": True},
        select_bias="e_score_correction_bias",
        spellings=N_LOCAL,
        trap="sigmoid scores; the bias lies beside the gate, not in it",
    ),
    "ernie4_5_moe": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(
            28, 2560, 12288, 64, 6, moe_intermediate_size=1536, moe_num_experts=64, moe_k=6,
            moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_end_index=-1,
            moe_layer_interval=1, moe_norm_min=1e-12, use_bias=False,
        ),
        n_experts="moe_num_experts",
        k="moe_k",
        d_expert="moe_intermediate_size",
        options={"renormalize": True, "norm_min": Key("moe_norm_min")},
        shared="shared_experts",
        shared_width=("moe_intermediate_size", "moe_num_shared_experts"),
        select_bias="moe_statics.e_score_correction_bias",
        is_moe=_from_to,
        moe_rule="every `moe_layer_interval`-th from `moe_layer_start_index` "
        "to `moe_layer_end_index`",
        spellings={"moe_num_experts": ("num_experts",), "moe_k": ("num_experts_per_tok",)},
        nulls={"use_bias": False},
        only={"hidden_act": ("silu", "swish"), "use_bias": (False,)},
        trap="softmax scores with a selection bias of shape (1, E); a floor under the sum",
    ),
    "llama4_text": Family(
        block="feed_forward",
        layout=FUSED,
        defaults=_sizes(48, 5120, 8192, 16, 1, interleave_moe_layer_step=1),
        n_experts="num_local_experts",
        gate="router.weight",
        options={"score": "sigmoid", "renormalize": False, "weigh_input": True},
        shared="shared_expert",
        shared_width=("intermediate_size",),
        is_moe=_listed,
        moe_rule="`moe_layers`, or every `interleave_moe_layer_step`-th",
        spellings=N_LOCAL,
        trap="the weight multiplies what goes into the expert",
    ),
    "phimoe": Family(
        block="block_sparse_moe",
        layout=W123,
        defaults=_sizes(32, 4096, 6400, 16, 2, router_jitter_noise=0.01),
        n_experts="num_local_experts",
        router="sparsemixer",
        takes_k=False,
        options={"jitter_eps": Key("router_jitter_noise")},
        spellings=N_LOCAL,
        only={"hidden_act": ("silu", "swish"), "num_experts_per_tok": (2,)},
        trap="each of two choices has a softmax of its own, over logits near the best",
    ),
    "hunyuan_v1_moe": Family(
        block="mlp",
        layout=PROJ,
        defaults=_sizes(32, 4096, 11008, 1, 1, moe_topk=1),
        k="moe_topk",
        gate="gate.wg.weight",
        options={"renormalize": True},
        shared="shared_mlp",
        shared_width=("intermediate_size",),
        spellings=LOCAL | {"moe_topk": ("num_experts_per_tok",)},
        per_layer=True,
        trap="`num_experts` and `moe_topk` may be lists, one entry a layer",
    ),
}  # fmt: skip

# Models with more than text keep the text model's configuration in a part of theirs.
NESTED = {"llama4": ("text_config", "llama4_text")}

# What may stand before "layers.N.": causal models, bare models, text models inside larger ones.
PREFIXES = ("model.", "", "language_model.model.", "model.language_model.")
