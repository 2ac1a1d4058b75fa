"""Rows of the table of families: those that are counted, and whose layers nobody has compared."""

from __future__ import annotations

from typing import Any

from .config import ConfigValues
from .family import Family
from .lineages import KV_NULL, defaults_of, local, row

NEMOTRON_KINDS = ("linear_attention", "mamba", "full_attention", "attention", "moe", "mlp")
NEMOTRON_LETTERS = {"M": "linear_attention", "*": "full_attention", "E": "moe", "-": "mlp"}
LISTS: dict[str, Any] = {"layers_block_type": None, "hybrid_override_pattern": "ME*-"}


def _has_experts(values: ConfigValues, layer: int) -> bool:
    """All, unless there is no expert: then the part beside them is the whole network."""
    return values.whole("num_local_experts", 0) > 0


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


def _granite(shared: int, **fields: Any) -> Family:
    """Granite's experts with a network beside them."""
    return row(
        defaults=defaults_of(
            32, 4096, 11008, 32, None, 32000, **local(8, 2), shared_intermediate_size=shared
        ),
        nulls=KV_NULL,
        n_experts="num_local_experts",
        d_dense="shared_intermediate_size",
        shared_width=("shared_intermediate_size",),
        is_moe=_has_experts,
        **fields,
    )


COUNTED_FAMILIES: dict[str, Family] = {
    "granitemoeshared": _granite(0),
    "granitemoehybrid": _granite(1024),
    "granitemoe_swa": _granite(0, sinks=True),
    "nemotron_h": row(
        defaults=defaults_of(
            4, 4096, 21504, 32, 8, 131072, head_dim=128, n_routed_experts=8, num_experts_per_tok=2,
            moe_intermediate_size=7688, moe_shared_expert_intermediate_size=7688,
            moe_latent_size=None, **LISTS,
        ),
        nulls=KV_NULL | LISTS | {"moe_latent_size": None},
        layer_lists=tuple(LISTS),
        n_experts="n_routed_experts",
        d_expert="moe_intermediate_size",
        shared_width=("moe_shared_expert_intermediate_size",),
        select_bias="gate.e_score_correction_bias",
        spellings={"n_routed_experts": ("num_local_experts",)},
        is_moe=_is_moe_in_nemotron,
    ),
}  # fmt: skip
