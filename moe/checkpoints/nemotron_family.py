"""The row of Nemotron, whose layers are attention, Mamba, experts or one network each."""

from __future__ import annotations

from typing import Any

from .config import ConfigValues
from .family import Family
from .layouts import STACKED_UP_DOWN, UP_DOWN
from .lineages import KV_NULL, deepseek, defaults_of

NEMOTRON_KINDS = ("linear_attention", "mamba", "full_attention", "attention", "moe", "mlp")
NEMOTRON_LETTERS = {"M": "linear_attention", "*": "full_attention", "E": "moe", "-": "mlp"}
LISTS: dict[str, Any] = {"layers_block_type": None, "hybrid_override_pattern": "ME*-"}


def nemotron_kinds(values: ConfigValues, n_layers: int) -> tuple[str, ...]:
    """What each layer is, by a list of words or a text of letters."""
    words = values.kinds("layers_block_type", NEMOTRON_KINDS, n_layers)
    if words is not None:
        return words
    return values.kinds("hybrid_override_pattern", tuple(NEMOTRON_LETTERS), n_layers) or ()


def _is_moe_in_nemotron(values: ConfigValues, layer: int) -> bool:
    lengths = (values.length(key) for key in LISTS)
    n_layers = next(n for n in lengths if n is not None)
    return nemotron_kinds(values, n_layers)[layer] in ("moe", "E")


NEMOTRON_FAMILY: dict[str, Family] = {
    "nemotron_h": deepseek(
        block="mixer",
        layout=UP_DOWN,
        memory={"layout": STACKED_UP_DOWN},
        defaults=defaults_of(
            4, 4096, 21504, 32, 8, 131072, head_dim=128, n_routed_experts=8, num_experts_per_tok=2,
            moe_intermediate_size=7688, moe_shared_expert_intermediate_size=7688,
            moe_latent_size=None, n_group=1, topk_group=1, norm_topk_prob=True,
            routed_scaling_factor=1.0, mlp_bias=False, **LISTS,
        ),
        nulls=KV_NULL | LISTS | {"moe_latent_size": None},
        layer_lists=tuple(LISTS),
        shared_names=("up_proj", "down_proj"),
        shared_width=("moe_shared_expert_intermediate_size",),
        activation="relu2",
        d_latent="moe_latent_size",
        latent_names=("fc1_latent_proj", "fc2_latent_proj"),
        only={"mlp_hidden_act": ("relu2",), "mlp_bias": (False,)},
        spellings={"n_routed_experts": ("num_local_experts",)},
        is_moe=_is_moe_in_nemotron,
        moe_rule="`layers_block_type` moe, or E in `hybrid_override_pattern`",
        trap="as DeepSeek-V3, but experts are up and down with the square of ReLU between; "
        "with `moe_latent_size` they stand between `fc1_latent_proj` and `fc2_latent_proj`, and "
        "the gate and the shared expert beside them",
    ),
}  # fmt: skip
