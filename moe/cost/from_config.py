"""A user's config.json, as model hubs have it, read into a `ModelConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoints.config import ConfigValues
from ..checkpoints.families import ALIASES, COUNTABLE, FAMILIES, family_of
from ..checkpoints.family import Family
from ..checkpoints.files import CONFIG, MAX_CONFIG, read_config
from ..checkpoints.header import read_limited
from ..checkpoints.quantisation import quantisation
from ..checkpoints.strict_json import parse_object, quoted
from ..errors import CheckpointError
from .mixed_layers import mixing_notes
from .mixing import MIXING, PLAIN
from .model import ModelConfig
from .unread_keys import OTHER_PARTS, not_counted


def model_from_config(config: Mapping[str, Any] | str | Path, name: str = "") -> ModelConfig:
    """Read a config.json, or the mapping in it; missing keys have the reference library's defaults.

    Parameters
    ----------
    config
        The mapping, a file, or a folder with a config.json.
    name
        Name of the model; by default what the file calls itself, else its folder's name.

    Raises
    ------
    CheckpointError
        If the file cannot be read, its model type is not known, or a value is missing or wrong.
    """
    where = "config"
    if isinstance(config, str | Path):
        config, where = _load(Path(config))
        name = name or Path(where).parent.name
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{where}: got {type(config).__name__}, allowed is a JSON object")
    model_type, family, part = family_of(config, COUNTABLE, ALIASES, where)
    values = family.values(part, where)
    # Parts for sound and pictures stand beside the part for text.
    whole = {**part, **{key: config[key] for key in OTHER_PARTS if key in config}}
    try:
        fields = _sizes(family, values) | _attention(family, values)
        fields |= _mixing(model_type, part, where)
        fields |= _experts(family, values, fields["bare_layers"])
        return ModelConfig(
            name=name or str(config.get("_name_or_path") or model_type),
            model_type=model_type,
            source=where,
            notes=(
                *mixing_notes(fields["mixers"], fields["layers"], fields["other"]),
                *not_counted(whole, model_type),
                *_quantised(config),
            ),
            **fields,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error


def _load(path: Path) -> tuple[Mapping[str, Any], str]:
    folder = os.path.isdir(path)
    named = str(path / CONFIG if folder else path)
    where = named if named.isprintable() and len(named) < 300 else quoted(named)
    if folder:
        return read_config(path), where
    return parse_object(read_limited(path, where, MAX_CONFIG), where), where


def _quantised(config: Mapping[str, Any]) -> list[str]:
    """What the file says of its quantisation, as a sentence."""
    name = quantisation(config)
    words = "parameters and memory are those of the plain weights."
    return [f"The files are quantised ({name}): {words}"] if name else []


def _sizes(family: Family, values: ConfigValues) -> dict[str, Any]:
    return dict(
        layers=family.n_layers(values),
        d_model=values.whole(family.d_model),
        vocab=values.whole("vocab_size"),
        tied=values.option("tie_word_embeddings"),
        mtp_layers=_mtp_layers(values),
        kv_share=values.whole("cla_share_factor") if values.option("use_cla") else 1,
    )


def _mtp_layers(values: ConfigValues) -> int:
    modules = values.whole("num_nextn_predict_layers", 0)
    return modules if values.option("use_mtp") else 0


def _attention(family: Family, values: ConfigValues) -> dict[str, Any]:
    heads = values.whole(family.heads)
    kv_heads = values.whole_or(family.kv_heads, heads)
    sizes = dict(heads=heads, kv_heads=kv_heads)
    if not family.latent:
        usual = values.whole(family.d_model) // heads
        kind = "mha" if kv_heads == heads else "gqa"
        return sizes | dict(attention=kind, head_dim=values.whole_or("head_dim", usual))
    return sizes | dict(
        attention="mla",
        q_lora=values.whole_or("q_lora_rank", 0, 0),
        kv_lora=values.whole("kv_lora_rank"),
        qk_rope=values.whole("qk_rope_head_dim", 0),
        qk_nope=values.whole("qk_nope_head_dim"),
        v_head=values.whole("v_head_dim"),
    )


def _mixing(model_type: str, part: Mapping[str, Any], where: str) -> dict[str, Any]:
    family, mixing = FAMILIES[model_type], MIXING.get(model_type, PLAIN)
    values = mixing.values(family, part, where)
    n_layers = family.n_layers(values)
    return dict(
        mixers=mixing.mixers(values, n_layers),
        bare_layers=mixing.bare_layers(values, n_layers),
        layer_norms=mixing.layer_norms,
        other=mixing.other(values, n_layers) if mixing.other else 0,
        matrices=mixing.matrices,
        d_latent=values.whole_or(mixing.d_latent, 0) if mixing.d_latent else 0,
    )


def _dense_width(family: Family, values: ConfigValues) -> int:
    """Width of a layer without experts; where the key may be left out and is, an expert's."""
    if family.defaults.get(family.d_dense) is None:
        return values.whole_or(family.d_dense, values.whole(family.d_expert))
    return values.whole(family.d_dense)


def _experts(family: Family, values: ConfigValues, bare: int) -> dict[str, Any]:
    """The sizes of feed-forward networks; experts only where a layer or an MTP module has them."""
    n_moe = len(family.moe_layers(values))
    dense = family.n_layers(values) - n_moe - bare
    fields = dict.fromkeys(("d_ff_expert", "experts", "shared_experts", "d_ff_shared", "top_k"), 0)
    fields |= dict(dense_layers=dense, d_ff_dense=_dense_width(family, values) if dense else 0)
    if family.n_experts not in family.defaults or not (n_moe or _mtp_layers(values)):
        return fields
    sizes, options = family.sizes(values), family.router_options(values)
    counted = len(family.shared_width) > 1 and sizes.d_shared > 0
    count = values.whole(family.shared_width[1]) if counted else 1
    return fields | dict(
        d_ff_expert=sizes.d_expert,
        experts=sizes.n_experts,
        shared_experts=count if sizes.d_shared else 0,
        d_ff_shared=sizes.d_shared // count,
        top_k=family.top_k(values),
        n_group=options.get("n_group", 0),
        topk_group=options.get("topk_group", 0),
    )
