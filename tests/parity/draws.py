"""Random configurations, answered by the live library and by `load_layer`: `make soak`.

A draw begins with the type's tiny model (`settings.py`), gives options and sizes other values,
leaves keys out, writes null, or uses another spelling. Both then say the same: the layer's
output, that the layer is dense, or that the configuration is refused. Where the library takes a
configuration and its model then breaks off, there is nothing to compare, nor where a token is to
choose more experts than its groups have.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import moe
from moe.checkpoints.families import FAMILIES
from moe.checkpoints.family import Family, Key
from moe.porting.tiny import nested

from ..test_parity import LAYER
from . import generate
from .settings import LAYERS, tiny

FLOATS = (0.5, 1.0, 2.0, 2.5, 16.0)
# What a layer does not read is another model's size, and not drawn.
ATTENTION = ("head_dim", "q_lora", "kv_lora", "qk_", "v_head", "num_key", "num_attention", "vocab")
DENSE, REFUSED, BROKEN = "a dense layer", "refused", "broken"
# The library lets such a token choose among experts that it has excluded, whichever comes first.
UNREACHED = "more experts than a token's groups have"


def draw(model_type: str, rng: np.random.Generator) -> dict[str, Any]:
    """A configuration of the type."""
    family, config = FAMILIES[model_type], tiny(model_type)
    experts = int(rng.choice([4, 6, 8]))
    config[family.n_experts] = experts
    reach = experts
    if "n_group" in family.options:
        groups = int(rng.choice([n for n in (1, 2, 4) if experts % n == 0 and experts // n > 1]))
        chosen = int(rng.integers(1, groups + 1))
        reach = experts // groups * chosen
        config |= {
            family.options["n_group"].name: groups,
            family.options["topk_group"].name: chosen,
        }
    config[family.k] = int(rng.integers(1, reach + 1))
    if family.shared_width:
        config[family.shared_width[-1]] = int(rng.integers(1, 4))
    for option, key in family.options.items():
        if isinstance(key, Key) and option not in ("n_group", "topk_group"):
            default = family.defaults[key.name]
            values = family.only.get(
                key.name, (True, False) if isinstance(default, bool) else FLOATS
            )
            config[key.name] = rng.choice(values).item()
    for key, allowed in family.only.items():  # all others are refused here, and by nobody else
        if key in config or key in family.defaults:
            config[key] = allowed[rng.integers(len(allowed))]
    if family.d_latent:
        config[family.d_latent] = [None, 3, 9][rng.integers(3)]
    if family.select_bias_if:
        config[family.select_bias_if] = bool(rng.integers(2))
    for key in set(config) & set(LAYERS):
        config[key] = _layers(key, config[key], rng)
    _leave_out(
        config, [key for key in family.defaults if key in config and _read(key, family)], rng
    )
    others = [key for key in family.spellings if key in config and family.spellings[key]]
    if others and rng.random() < 0.3:
        key = str(rng.choice(others))
        config[str(rng.choice(family.spellings[key]))] = config.pop(key)
    return config


def _layers(key: str, usual: Any, rng: np.random.Generator) -> Any:
    """A value of a key that says which of two layers are MoE, where the tiny model has `usual`."""
    if key == "mlp_only_layers":
        return [[], [0], [1]][rng.integers(3)]
    if key == "mlp_layer_types" and usual != LAYERS[key]:
        return usual  # DeepSeek-V4's words
    if isinstance(LAYERS[key], list):
        return [["dense", "sparse"], ["sparse", "sparse"], ["sparse", "dense"]][rng.integers(3)]
    return int(rng.integers("step" in key or "period" in key, 3))


def _read(key: str, family: Family) -> bool:
    sizes = (family.d_model, family.layers, family.heads, family.kv_heads)
    return not key.startswith(ATTENTION) and key not in sizes


def _leave_out(config: dict[str, Any], keys: list[str], rng: np.random.Generator) -> None:
    """Drop up to two keys, and write null for up to one."""
    for key in rng.permutation(keys)[: rng.integers(3)]:
        config.pop(str(key), None)
    left = [key for key in keys if key in config]
    if left and rng.random() < 0.3:
        config[str(rng.choice(left))] = None


def library(config: dict[str, Any], model_type: str, folder: Path) -> tuple[str, Any]:
    """What the library says, with the input and output of a layer that it has; writes a folder."""
    try:
        model = generate.make_model(model_type, dict(config))
    except Exception as error:  # whatever a strange configuration ends in
        known = type(error).__name__ in ("StrictDataclassFieldValidationError", "ValueError")
        return (REFUSED if known else BROKEN), f"{type(error).__name__}: {error}"
    try:
        block = generate.block_of(model)
    except StopIteration:
        block = None
    if block is not None:
        torch.manual_seed(1)
        generate.randomise(block)
    tensors = generate.published(model, folder)
    saved = {**nested(config), "model_type": model_type}
    (folder / "config.json").write_text(json.dumps(saved))
    if block is None:
        return DENSE, None
    generate.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    width = model.config.get_text_config().hidden_size
    x = np.random.default_rng(7).standard_normal((11, width)).astype(np.float32)
    try:
        with torch.no_grad():
            return "", (x, generate.run(block, torch.tensor(x)).numpy())
    except Exception as error:
        return BROKEN, f"{type(error).__name__}: {error}"


def compare(model_type: str, config: dict[str, Any]) -> tuple[str, str]:
    """What both said of a configuration, in a word, and how they differ, or nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        word, given = library(config, model_type, folder)
        if word == BROKEN:
            return word, ""
        if word == REFUSED:
            (folder / "config.json").write_text(
                json.dumps({**nested(config), "model_type": model_type})
            )
        try:
            layer = moe.load_layer(folder, LAYER)
        except moe.CheckpointError as error:
            if not word and "groups reach" in str(error):
                return UNREACHED, ""
            # A null that only layers of experts trip over is refused before a layer is looked at.
            same = word == DENSE and (DENSE in str(error) or "got None" in str(error))
            same |= word == REFUSED and "got no tensor" not in str(error)
            return word or "refused here", "" if same else f"{config}: {word or 'runs'}: {error}"
        if word:
            return word, f"{config}: {word} {given}; loaded here"
        x, y = given
        error = float(np.abs(layer(x) - y).max() / max(np.abs(y).max(), 1e-30))
        return "equal", "" if error <= 1e-5 else f"{config}: off by {error:.1e}"


def answers(model_type: str, draws: int) -> tuple[Counter[str], list[str]]:
    """How often which word was said of the type's draws, and every difference."""
    rng = np.random.default_rng(0)
    return _said(model_type, [draw(model_type, rng) for _ in range(draws)])


def nulls(model_type: str) -> tuple[Counter[str], list[str]]:
    """The same of the case's configuration with one key of the layer missing, or null, in turn."""
    family, config = FAMILIES[model_type], generate.settings_of(model_type)
    options = {key.name for key in family.options.values() if isinstance(key, Key)}
    sizes = {*family.shared_width, family.n_experts, family.k, *filter(None, [family.d_latent])}
    keys = options | sizes | set(config) & set(LAYERS)
    changed = []
    for key in sorted(keys):
        rest = {name: value for name, value in config.items() if name != key}
        changed += [rest, rest | {key: None}]
    return _said(model_type, changed)


def _said(model_type: str, configs: list[dict[str, Any]]) -> tuple[Counter[str], list[str]]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    said = [compare(model_type, config) for config in configs]
    return Counter(word for word, _ in said), [wrong for _, wrong in said if wrong]
