"""Published layouts of whole models: what each can express, and its config.json, read and written.

The table of `moe.checkpoints.families` says what MoE layers are; this one says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..checkpoints.config import ConfigValues
from ..checkpoints.families import FAMILIES
from ..checkpoints.family import Family, Key, after_dense, every_step
from ..checkpoints.layer_spec import layer_spec
from ..checkpoints.strict_json import quoted
from ..errors import CheckpointError
from ..routers import Router
from .config import LMConfig, options_text

Config = dict[str, Any]
QK_NORMS = {"": "none", "head": "head", "full": "width"}  # as the table of families names them
PLAIN_ROPE = {"rope_type": "default", "type": "default", "partial_rotary_factor": 1.0}
NO_BIAS: dict[str, tuple[Any, ...]] = {"attention_bias": (False,)}
NO_WINDOW = NO_BIAS | {"use_sliding_window": (False,)}


@dataclass(frozen=True)
class Layout:
    """What the table of families does not say of one `model_type`.

    Attributes
    ----------
    architecture
        Name of the reference library's class.
    norm_eps, context, theta
        What a missing `rms_norm_eps`, `max_position_embeddings` and `rope_theta` mean.
    only
        Keys that change what a model computes, with the values that are supported; the first is
        the default.
    defaults
        Further keys that are read, with what a missing one means.
    """

    architecture: str
    norm_eps: float = 1e-6
    context: int = 32768
    theta: float = 10_000.0
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: NO_BIAS)
    defaults: Mapping[str, Any] = field(default_factory=dict)


LAYOUTS: dict[str, Layout] = {
    "mixtral": Layout(
        "MixtralForCausalLM", 1e-5, 131_072, 1e6, only={}, defaults={"sliding_window": None}
    ),
    "olmoe": Layout("OlmoeForCausalLM", 1e-5, 4096, only=NO_BIAS | {"clip_qkv": (None,)}),
    "qwen3_moe": Layout("Qwen3MoeForCausalLM", only=NO_WINDOW),
    "dots1": Layout(
        "Dots1ForCausalLM",
        context=2048,
        defaults={"sliding_window": 4096, "max_window_layers": 62},
    ),
    "deepseek_v3": Layout(
        "DeepseekV3ForCausalLM", context=4096, defaults={"rope_interleave": True}
    ),
    "qwen3": Layout("Qwen3ForCausalLM", only=NO_WINDOW),
    "llama": Layout("LlamaForCausalLM", context=2048, only=NO_BIAS | {"mlp_bias": (False,)}),
}


def family_of_layout(model_type: str) -> Family:
    """The family's row with the keys that only whole models need."""
    family, layout = FAMILIES[model_type], LAYOUTS[model_type]
    only = {"quantization_config": (None,)} | dict(layout.only) | dict(family.only)
    nulls = {key: None for key, allowed in only.items() if None in allowed}
    defaults = {
        "rms_norm_eps": layout.norm_eps,
        "max_position_embeddings": layout.context,
        "head_dim": None,
    }
    return replace(
        family,
        defaults=defaults | dict(layout.defaults) | dict(family.defaults),
        nulls=nulls | {"sliding_window": None, "rope_interleave": False} | dict(family.nulls),
        only=only,
    )


def dense_in_front(model_type: str) -> bool:
    """Whether first layers of the layout may be dense."""
    return FAMILIES[model_type].is_moe in (after_dense, every_step)


# Reading ----------------------------------------------------------------------------------------


def model_type_of(config: Mapping[str, Any]) -> str:
    """The `model_type` of a config.json, one of `LAYOUTS`.

    Raises
    ------
    CheckpointError
        If it is another one.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in LAYOUTS:
        raise CheckpointError(
            f"config.json: model_type: got {quoted(model_type)}, allowed for whole models is one "
            f"of {', '.join(LAYOUTS)}"
        )
    return model_type


def read_lm_config(config: Mapping[str, Any]) -> LMConfig:
    """What a config.json says of a whole model.

    Raises
    ------
    CheckpointError
        If its `model_type` has no layout here, a value is not allowed, or a key asks for something
        that changes what the model computes and that is not supported.
    """
    model_type = model_type_of(config)
    family = family_of_layout(model_type)
    values = family.values(config)
    for key, allowed in family.only.items():
        values.choice(key, allowed)
    n_layers, context = family.n_layers(values), values.whole("max_position_embeddings")
    _check_windows(config, family, values)
    options = _attention(family, values) | _feed_forward(config, family, values)
    try:
        return LMConfig(
            n_vocab=values.whole("vocab_size"),
            context=context,
            n_layers=n_layers,
            d_model=values.whole(family.d_model),
            norm_eps=float(values.option("rms_norm_eps")),
            rope_theta=_theta(config, LAYOUTS[model_type].theta, values),
            tied=bool(values.option("tie_word_embeddings")),
            **options,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"config.json: {error}") from error


def _attention(family: Family, values: ConfigValues) -> Config:
    """The options of the heads."""
    n_heads, d_model = values.whole(family.heads), values.whole(family.d_model)
    n_kv = values.whole_or(family.kv_heads, n_heads)
    if family.latent:
        n_rotating, n_pass = values.whole("qk_rope_head_dim"), values.whole("qk_nope_head_dim")
        if n_kv != n_heads:
            raise values.wrong(family.kv_heads, n_kv, f"as many as heads ({n_heads})")
        head_size = values.whole_or("head_dim", n_rotating)
        if head_size != n_rotating:
            raise values.wrong("head_dim", head_size, f"qk_rope_head_dim ({n_rotating})")
        return {
            "n_heads": n_heads,
            "head_size": n_pass + n_rotating,
            "rope_size": n_rotating,
            "interleaved": bool(values.option("rope_interleave")),
            "kv_rank": values.whole("kv_lora_rank"),
            "q_rank": values.whole_or("q_lora_rank", 0),
            "value_size": values.whole("v_head_dim"),
        }
    head_size = values.whole_or("head_dim", max(1, d_model // n_heads))
    if family.qk_norm == "full" and head_size * n_heads != d_model:
        raise values.wrong("head_dim", head_size, f"{d_model} over {n_heads} heads")
    return {
        "n_heads": n_heads,
        "n_kv_heads": None if n_kv == n_heads else n_kv,
        "head_size": None if head_size * n_heads == d_model else head_size,
        "qk_norm": QK_NORMS[family.qk_norm],
    }


def _feed_forward(config: Mapping[str, Any], family: Family, values: ConfigValues) -> Config:
    """The options of the layers' other part: dense ones first, then experts."""
    n_layers, moe_layers = family.n_layers(values), family.moe_layers(values)
    n_dense = n_layers - len(moe_layers)
    if moe_layers != tuple(range(n_dense, n_layers)):
        raise CheckpointError(
            f"config.json: got {n_dense} dense layers of {n_layers} that are not the first ones, "
            f"allowed is {family.moe_rule} only where they are"
        )
    options: Config = {"activation": "swiglu"}
    if n_dense:
        options["d_dense"] = values.whole(family.d_dense)
    if not moe_layers:
        return options | {"n_experts": 0}
    spec = layer_spec(config, n_dense)
    return options | {
        "n_dense": n_dense,
        "n_experts": spec.sizes.n_experts,
        "d_expert": spec.sizes.d_expert,
        "n_shared": spec.sizes.d_shared // spec.sizes.d_expert,
        "k": spec.router.options()["k"],
        "router": spec.router.name,
        "router_options": options_text(spec.router),
    }


def _check_windows(config: Mapping[str, Any], family: Family, values: ConfigValues) -> None:
    """Refuse windows that let a token see less than all tokens before it."""
    n_layers, kinds = family.n_layers(values), config.get("layer_types")
    full = isinstance(kinds, list) and kinds == ["full_attention"] * n_layers
    if kinds is not None and not full:
        raise values.wrong("layer_types", kinds, f"{n_layers} times 'full_attention'")
    if "sliding_window" not in family.defaults:
        return
    n_full = 0
    if "max_window_layers" in family.defaults:
        n_full = n_layers if full else values.whole("max_window_layers", 0)
    context = values.whole("max_position_embeddings")
    window = values.whole_or("sliding_window", context, 0)
    if n_full < n_layers and window < context:
        raise values.wrong(
            "sliding_window", window, f"null or at least max_position_embeddings ({context})"
        )


def _theta(config: Mapping[str, Any], usual: float, values: ConfigValues) -> float:
    """Base of the rotary positions; every way to stretch them is refused."""
    stated = [config["rope_theta"]] if "rope_theta" in config else []
    for name in ("rope_parameters", "rope_scaling"):
        part = config.get(name)
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise values.wrong(name, part, "an object")
        for key, value in part.items():
            if key == "rope_theta":
                stated.append(value)
            elif key not in PLAIN_ROPE or value != PLAIN_ROPE[key]:
                allowed = repr(PLAIN_ROPE[key]) if key in PLAIN_ROPE else "no such key"
                raise values.wrong(f"{name}.{quoted(key)[1:-1]}", value, allowed)
    if config.get("partial_rotary_factor", 1.0) != 1:
        raise values.wrong("partial_rotary_factor", config["partial_rotary_factor"], "1.0")
    for value in stated:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != stated[0]:
            raise values.wrong("rope_theta", value, "one number, the same wherever it stands")
    return float(stated[0]) if stated else usual


# Writing ----------------------------------------------------------------------------------------


def write_lm_config(
    model_type: str, config: LMConfig, router: Router | None, dtype: str
) -> dict[str, Any]:
    """What config.json says of a model; all that the layout cannot express is left out.

    Parameters
    ----------
    model_type
        One of `LAYOUTS`.
    config
        Sizes and kinds.
    router
        Of the layers with experts; None if there are none.
    dtype
        'float32' or 'float64'.
    """
    family, layout = FAMILIES[model_type], LAYOUTS[model_type]
    n_heads, n_kv, key_size, value_size = config.head_shape
    written: Config = {
        "architectures": [layout.architecture],
        "model_type": model_type,
        "dtype": dtype,
        "vocab_size": config.n_vocab,
        "max_position_embeddings": config.context,
        family.layers: config.n_layers,
        family.d_model: config.d_model,
        family.heads: n_heads,
        family.kv_heads: n_kv,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "tie_word_embeddings": config.tied,
        family.d_dense: config.dense_width,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
    }
    if family.latent:
        written |= {
            "qk_rope_head_dim": config.rotating,
            "qk_nope_head_dim": key_size - config.rotating,
            "v_head_dim": value_size,
            "kv_lora_rank": config.kv_rank,
            "q_lora_rank": config.q_rank or None,
            "rope_interleave": config.interleaved,
        }
    elif family.qk_norm != "full":  # there it follows from the model's width
        written["head_dim"] = key_size
    if "sliding_window" in layout.defaults:
        written["sliding_window"] = None
    written |= {key: allowed[0] for key, allowed in layout.only.items()}
    return written | _written_experts(family, config, router)


def _written_experts(family: Family, config: LMConfig, router: Router | None) -> Config:
    """Keys of experts, and of which layers have them."""
    n_dense = config.n_layers if router is None else config.n_dense
    written: Config = {}
    if family.is_moe is after_dense:
        written["first_k_dense_replace"] = n_dense
    elif family.is_moe is every_step:
        written |= {"decoder_sparse_step": 1, "mlp_only_layers": list(range(n_dense))}
    if router is None:
        return written
    written |= {
        family.n_experts: config.n_experts,
        family.k: router.options()["k"],
        family.d_expert: config.d_expert,
    }
    if family.shared_width:
        written[family.shared_width[-1]] = config.n_shared
    for name, key in family.options.items():
        if isinstance(key, Key) and name in router.options():
            written[key.name] = router.options()[name]
    return written
