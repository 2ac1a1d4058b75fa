"""A tiny layer of every family: its config.json, and weights that every float format holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..checkpoints.families import LOADABLE
from ..checkpoints.family import Family, Key
from ..checkpoints.layer_spec import layer_spec, layers_in
from ..checkpoints.load import Origin
from ..errors import check_choice, shown
from ..layer import MoELayer
from ..routers.fixed_k import FixedK

D_MODEL, D_EXPERT, D_SHARED, POOL, K = 16, 4, 6, 12, 3
GROUPS = {"n_group": 4, "topk_group": 2}  # groups of three experts: more than a score's two best
N_IDENTITY = 3
N_LAYERS = 4  # of which the last one is MoE in every family whose layers are not listed
# Experts of one number in the last two groups; their selection biases are the same, for ties.
TWINS = tuple(zip(range(6, 9), range(9, 12), strict=True))
# Selection biases: of the size of the scores that they stand beside, and below all of them.
BIAS = np.array((-64, -56, -40, -72, -48, -80, -60, -44, -68, -60, -44, -68))
BIAS_UNITS = {"softmax": 1 / 512, "sigmoid": 1 / 64, "sqrt_softplus": 1 / 64}


def tiny_config(model_type: str, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config.json of small sizes, with the options that the family has by default.

    Groups of experts are made smaller where the family has any by default, or no default.

    Parameters
    ----------
    model_type
        The family.
    chosen
        Other values of its options, by the keys of config.json; sizes and groups stay.

    Raises
    ------
    ValueError
        If the family's layers cannot be loaded, or it has no such option.
    """
    family = LOADABLE[check_choice("family", model_type, LOADABLE)]
    config: dict[str, Any] = {"model_type": model_type}
    # Keys that a layer looks at, with what the family's own class has for them.
    asked = [value.name for value in family.options.values() if isinstance(value, Key)]
    asked += [*family.only, family.select_bias_if]
    asked += [key for key in family.defaults if f"{{{key}" in family.activation]
    for key in asked:
        default = family.defaults.get(key)
        if default is not None and not isinstance(default, type):
            config[key] = default
    config |= {key: ["sparse"] * N_LAYERS for key, d in family.defaults.items() if d is list}
    for option, value in family.options.items():
        if option in GROUPS and isinstance(value, Key) and config.get(value.name) != 1:
            config[value.name] = GROUPS[option]
    if family.groups_if is not None:
        config[family.groups_if[0]] = family.groups_if[1]
    options = [key for key, value in config.items() if isinstance(value, bool | float | str)]
    for key, value in (chosen or {}).items():
        if key not in options[1:]:  # the first is the model type
            allowed = ", ".join(options[1:]) or "none"
            raise ValueError(f"option: got {shown(key)}, allowed for {model_type}: {allowed}")
        config[key] = value
    return nested(config | sizes_of(family))


def written_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options that were written as KEY=VALUE: true, false, a number, or else a word.

    Raises
    ------
    ValueError
        If a text has another form, or its key was there before.
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ValueError(f"set: got {shown(text)}, allowed is KEY=VALUE")
        if key in options:
            raise ValueError(
                f"set: got {shown(text)} after another {shown(key)}, allowed is each KEY once"
            )
        words: dict[str, Any] = {"true": True, "false": False}
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        # JSON has no number for NaN and infinity: they are words, which the reader refuses.
        options[key] = words.get(value, number if math.isfinite(number) else value)
    return options


def sizes_of(family: Family) -> dict[str, int]:
    """The sizes, under the family's keys."""
    sizes = {
        family.layers: N_LAYERS, family.d_model: D_MODEL, family.heads: 2, family.kv_heads: 2,
        family.d_dense: D_EXPERT, family.identity: N_IDENTITY, family.k: K,
        family.n_experts: POOL - N_IDENTITY if family.identity else POOL,
        family.d_expert: D_EXPERT, "vocab_size": D_MODEL,
    }  # fmt: skip
    if not family.takes_k:
        sizes[family.k] = family.only[family.k][0]
    if family.shared_width:  # of one network, or of one of so many
        width, *number = family.shared_width
        sizes |= {number[0]: 2} if number else {}
        sizes.setdefault(width, D_SHARED)
    return {key: size for key, size in sizes.items() if key in family.defaults}


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with each `part.key` as a key inside of that part."""
    parts: dict[str, Any] = {key: value for key, value in config.items() if "." not in key}
    for key in config.keys() - parts.keys():
        part, _, last = key.rpartition(".")
        parts[part] = parts.get(part, {}) | {last: config[key]}
    return parts


def tiny_layer(config: Mapping[str, Any], rng: np.random.Generator) -> MoELayer:
    """The configuration's last MoE layer in float64, which `save_layer` can write.

    Weights are multiples of 1/32 of at most seven bits, which bfloat16 holds exactly. The gate's
    first rows are a triangle of whole numbers, so that `inputs_of` finds the token that has any
    wanted logits, and their sum is exact in whatever order it is taken.
    """
    number = layers_in(config)[-1]
    spec = layer_spec(config, number)
    params = {name: drawn(rng, shape) for name, shape in spec.array_shapes().items()}
    pool = spec.sizes.pool
    params["gate_DE"][:pool] = np.triu(rng.choice((-1, 0, 0, 0, 1), (pool, pool)), 1) + np.eye(pool)
    buffers = {name: np.zeros(pool) for name in spec.router.buffers}
    if spec.family.select_bias:
        assert isinstance(spec.router, FixedK)
        buffers["select_bias_E"] = BIAS * BIAS_UNITS[spec.router.score]
    stored = {slot.name: "F64" for slot in spec.slots()}
    origin = Origin(config, number, f"model.{spec.family.place(number)}", stored)
    return MoELayer(
        spec.router, spec.activation, params, buffers, check_finite=False, origin=origin
    )


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of a spread of a quarter, multiples of 1/32 within two."""
    return np.clip(np.round(8 * rng.standard_normal(shape)), -64, 64) / 32


def inputs_of(layer: MoELayer, logits_NE: np.ndarray, rest_NR: np.ndarray) -> np.ndarray:
    """Tokens (N, D) with these logits, exactly, whose last channels are `rest_NR`."""
    gate_DE = layer.params["gate_DE"].astype(np.float64)
    pool = gate_DE.shape[1]
    x_ND = np.concatenate([np.zeros_like(logits_NE), rest_NR], axis=1)
    wanted_NE = logits_NE - layer.params.get("gate_bias_E", np.zeros(pool)).astype(np.float64)
    for e in range(pool):
        x_ND[:, e] = wanted_NE[:, e] - x_ND @ gate_DE[:, e]
    return x_ND
