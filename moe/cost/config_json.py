"""A user's config.json, as model hubs have it, read into a `ModelConfig`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoints.header import read_limited
from ..checkpoints.strict_json import parse_json, quoted
from ..errors import CheckpointError, shown
from .config_keys import OTHER_PARTS, not_counted
from .family import FAMILIES
from .model import ModelConfig

MAX_BYTES = 2**20  # of a config.json; published ones have a few thousand
SAME_AS = {"kimi_k2": "deepseek_v3", "llama4": "llama4_text", "hunyuan": "hunyuan_v1_moe"}
DENSE = {"llama", "mistral", "qwen2", "qwen3"}
# Their config.json calls the expert's width intermediate_size and has no dense layers.
PLAIN_WIDTH = {"gpt_oss", "granitemoe", "minimax_m2", "mixtral", "olmoe", "phimoe"}
LATENT = {"deepseek_v2", "deepseek_v3"}
# The library leaves out what equals its default, and this family ties by default.
TIED_UNLESS_SAID = {"ernie4_5_moe"}
READABLE = tuple(sorted((set(FAMILIES) - {"grok"}) | set(SAME_AS)))

# Theirs have one shared expert without a word.
ALWAYS_SHARED = {"hunyuan_v1_moe", "llama4_text"}

EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
TOP_K = ("num_experts_per_tok", "experts_per_token", "moe_k", "moe_topk", "moe_top_k")
NO_EXPERTS = ("d_ff_expert", "experts", "shared_experts", "d_ff_shared", "top_k")
SHARED = ("n_shared_experts", "num_shared_expert", "moe_num_shared_experts")
FIRST_MOE = ("first_k_dense_replace", "moe_layer_start_index")
MTP = ("num_nextn_predict_layers", "num_mtp_modules")
LARGEST, MOST_LAYERS = 10**12, 10**5  # no model comes near; larger ones would only take long


class _Reader:
    """Look-ups in one file that say what is missing or wrong."""

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        read: set[str] | None = None,
        inside: str = "",
    ) -> None:
        self.values, self.where, self.inside = values, where, inside
        self.read: set[str] = set() if read is None else read

    def get(self, name: str) -> Any:
        """What stands there, noted as read."""
        self.read.add(self.inside + name)
        return self.values.get(name)

    def flag(self, name: str, default: bool) -> bool:
        """True or false, the default if it is not said."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise CheckpointError(
                f"{self.where}: {name} is {shown(value)}, allowed is true or false"
            )
        return value

    def unused(self, name: str) -> int:
        """0 for a size that no layer of this shape has, noted as read."""
        self.get(name)
        return 0

    def int(self, *names: str, default: int | None = None, low: int = 0) -> int:
        """First of the names that is there, as a whole number; lists must agree in all layers."""
        self.read.update(self.inside + name for name in names)
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, list):
                if not value or any(item != value[0] for item in value):
                    raise CheckpointError(
                        f"{self.where}: {name} differs between layers ({shown(value)}), "
                        "allowed is one value for all"
                    )
                value = value[0]
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not low <= value <= LARGEST:
                raise CheckpointError(
                    f"{self.where}: {name} is {shown(value)}, allowed is a whole number >= {low} "
                    f"and <= 10^12"
                )
            return int(value)
        if default is None:
            raise CheckpointError(f"{self.where}: {' or '.join(names)} is missing")
        return default

    def part(self, name: str) -> _Reader:
        """A nested object."""
        value = self.get(name)
        if not isinstance(value, Mapping):
            raise CheckpointError(f"{self.where}: {name} is missing")
        return _Reader(value, f"{self.where}: {name}", self.read, f"{self.inside}{name}.")


def model_from_config(config: Mapping[str, Any] | str | Path, name: str = "") -> ModelConfig:
    """Read a config.json, or the mapping in it.

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
    where, values = "config", config
    if isinstance(config, str | Path):
        values, where = _load(Path(config))
        name = name or Path(where).parent.name
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{where}: got {type(values).__name__}, allowed is a JSON object")
    said = values.get("model_type")
    if said not in READABLE:
        raise CheckpointError(
            f"{where}: model_type is {shown(said)}, allowed is one of {', '.join(READABLE)}"
        )
    model_type = SAME_AS.get(str(said), str(said))
    reader = _Reader(values, where)
    if said == "llama4":
        text = reader.part("text_config")
        reader = _Reader(text.values, text.where)
    fields = _dbrx(reader) if model_type == "dbrx" else _fields(reader, model_type)
    tied = reader.flag("tie_word_embeddings", model_type in TIED_UNLESS_SAID)
    label = name or str(values.get("_name_or_path") or model_type)
    # Beside a part for text, the file says that there are others.
    asked = {**reader.values, **{key: values[key] for key in OTHER_PARTS if key in values}}
    notes = not_counted(asked, model_type, reader.read)
    try:
        return ModelConfig(
            name=label, model_type=model_type, tied=tied, source=where, notes=notes, **fields
        )
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error


def _load(path: Path) -> tuple[Any, str]:
    path = path / "config.json" if os.path.isdir(path) else path
    where = str(path) if str(path).isprintable() and len(str(path)) < 300 else quoted(str(path))
    return parse_json(read_limited(path, where, MAX_BYTES), where), where


def _fields(reader: _Reader, model_type: str) -> dict[str, Any]:
    layers = _layers(reader, "num_hidden_layers")
    heads = reader.int("num_attention_heads")
    d_model = reader.int("hidden_size")
    kv_heads = reader.int("num_key_value_heads", default=heads)
    fields: dict[str, Any] = dict(
        layers=layers,
        d_model=d_model,
        heads=heads,
        kv_heads=kv_heads,
        vocab=reader.int("vocab_size"),
        attention="mha" if kv_heads == heads else "gqa",
    )
    if model_type in LATENT:
        fields |= _latent(reader)
    else:
        usual = d_model // max(heads, 1)
        fields["head_dim"] = reader.int("head_dim", "attention_head_dim", default=usual)
    shared = reader.int("cla_share_factor", default=1, low=1)
    fields["kv_share"] = shared if reader.flag("use_cla", False) else 1
    if model_type in DENSE:
        moe = dict(dense_layers=layers, d_ff_dense=reader.int("intermediate_size"))
        return fields | moe | dict.fromkeys(NO_EXPERTS, 0)
    return fields | _experts(reader, model_type, layers)


def _layers(reader: _Reader, name: str) -> int:
    layers = reader.int(name)
    if layers > MOST_LAYERS:
        raise CheckpointError(
            f"{reader.where}: {name} is {layers}, allowed is a whole number in 1..{MOST_LAYERS}"
        )
    return layers


def _latent(reader: _Reader) -> dict[str, Any]:
    return dict(
        attention="mla",
        q_lora=reader.int("q_lora_rank", default=0),
        kv_lora=reader.int("kv_lora_rank"),
        qk_rope=reader.int("qk_rope_head_dim"),
        qk_nope=reader.int("qk_nope_head_dim"),
        v_head=reader.int("v_head_dim"),
        n_group=reader.int("n_group", default=0),
        topk_group=reader.int("topk_group", default=0),
    )


def _experts(reader: _Reader, model_type: str, layers: int) -> dict[str, Any]:
    dense = _dense_layers(reader, model_type, layers)
    plain = model_type in PLAIN_WIDTH or model_type == "llama4_text"
    names = ["intermediate_size"] if plain else ["moe_intermediate_size"]
    if model_type == "hunyuan_v1_moe":
        names.append("intermediate_size")
    # A file without any layer of experts need not say anything about them.
    missing = None if dense < layers else 0
    expert = reader.int(*names, default=missing)
    shared = reader.int(*SHARED, default=int(model_type in ALWAYS_SHARED))
    shared_width = expert
    if model_type == "qwen2_moe":
        shared = 1
        shared_width = reader.int("shared_expert_intermediate_size", default=missing)
    dense_width = "intermediate_size_mlp" if model_type == "llama4_text" else "intermediate_size"
    modules = reader.int(*MTP, default=0)
    return dict(
        dense_layers=dense,
        d_ff_dense=reader.int(dense_width) if dense else reader.unused(dense_width),
        d_ff_expert=expert,
        experts=reader.int(*EXPERTS, default=missing),
        shared_experts=shared if shared_width else 0,
        d_ff_shared=shared_width if shared else 0,
        top_k=reader.int(*TOP_K, default=missing),
        mtp_layers=modules if reader.flag("use_mtp", True) else 0,
    )


def _dense_layers(reader: _Reader, model_type: str, layers: int) -> int:
    """Count the layers without experts, by whichever rule the family has."""
    if model_type == "llama4_text":
        chosen = reader.get("moe_layers")
        step = max(reader.int("interleave_moe_layer_step", default=1), 1)
        return layers - (len(chosen) if isinstance(chosen, list) else layers // step)
    if model_type in {"qwen2_moe", "qwen3_moe"}:
        step = max(reader.int("decoder_sparse_step", default=1), 1)
        said = reader.get("mlp_only_layers")
        only = {layer for layer in said if isinstance(layer, int)} if isinstance(said, list) else ()
        return sum(layer in only or (layer + 1) % step != 0 for layer in range(layers))
    if model_type in PLAIN_WIDTH or model_type == "hunyuan_v1_moe":
        return 0
    first = min(reader.int(*FIRST_MOE, default=0), layers)
    step = max(reader.int("moe_layer_freq", "moe_layer_interval", default=1), 1)
    shift = int(model_type == "ernie4_5_moe")  # it counts layers from one
    last = reader.get("moe_layer_end_index")
    end = last + 1 if isinstance(last, int) and 0 <= last < layers else layers
    return layers - sum((layer + shift) % step == 0 for layer in range(first, end))


def _dbrx(reader: _Reader) -> dict[str, Any]:
    heads, d_model = reader.int("n_heads"), reader.int("d_model")
    ffn = reader.part("ffn_config")
    return dict(
        layers=_layers(reader, "n_layers"),
        dense_layers=0,
        d_model=d_model,
        d_ff_dense=0,
        d_ff_expert=ffn.int("ffn_hidden_size"),
        experts=ffn.int("moe_num_experts"),
        shared_experts=0,
        d_ff_shared=0,
        top_k=ffn.int("moe_top_k"),
        heads=heads,
        kv_heads=reader.part("attn_config").int("kv_n_heads"),
        head_dim=d_model // max(heads, 1),
        vocab=reader.int("vocab_size"),
    )
