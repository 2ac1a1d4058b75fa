"""Which published layout can express a model; and of one that none can, why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..capacity import NO_LIMIT
from ..checkpoints.families import FAMILIES
from ..checkpoints.layer_spec import LayerSpec, layer_spec
from ..dense import DenseFFN
from ..errors import check_choice, shown
from ..layer import MoELayer
from ..routers import Router
from .layouts import LAYOUTS, QK_NORMS, dense_in_front, write_lm_config
from .model import LanguageModel

# A layer's buffers that act on its choice, with the value at which they do not.
ACTING = {"select_bias_E": 0.0, "select_factor_E": 1.0}


def published_config(model: LanguageModel, name: str | None = None) -> dict[str, Any]:
    """The config.json of a model, in the layout that follows from what it is.

    Parameters
    ----------
    model
        Any language model.
    name
        A layout of `LAYOUTS` to use instead.

    Raises
    ------
    ValueError
        If the layout cannot express the model; the message says what and what it could.
    """
    router = model.moe_layers[0].router if model.moe_layers else None
    if name is None:
        name = usual_layout(model, router)
    check_choice("name", name, LAYOUTS)
    for what, got, allowed in (*_misfits(name, model), *_strange_layers(name, model)):
        raise ValueError(f"model: got {what} {got}, allowed in the layout {name} is {allowed}")
    config = write_lm_config(name, model.config, router, model.dtype.name)
    for number, block in enumerate(model.blocks):
        if isinstance(block.ffn, MoELayer):
            _check_router(name, number, block.ffn, layer_spec(config, number))
    return config


def usual_layout(model: LanguageModel, router: Router | None) -> str:
    """The layout whose attention and router are the model's, or are closest to them."""
    config = model.config
    if config.latent:
        return "deepseek_v3"
    if router is None:
        return "llama" if config.qk_norm == "none" else "qwen3"
    if config.qk_norm == "head":
        return "dots1" if router.name == FAMILIES["dots1"].router else "qwen3_moe"
    return "olmoe" if config.qk_norm == "width" else "mixtral"


Misfit = tuple[str, object, str]


def _misfits(name: str, model: LanguageModel) -> Iterator[Misfit]:
    """What the layout's attention and kinds of layers do not have: what, got, allowed."""
    config, family = model.config, FAMILIES[name]
    if config.latent != family.latent:
        yield "kv_rank", config.kv_rank, "at least 1 (latent attention)" if family.latent else "0"
    if not family.latent:
        norm = QK_NORMS[family.qk_norm]
        if config.qk_norm != norm:
            yield "qk_norm", repr(config.qk_norm), repr(norm)
        if config.rotating != config.key_size:
            yield "rope_size", config.rotating, f"the width of a head ({config.key_size})"
        if config.interleaved:
            yield "interleaved", True, "False"
    if family.qk_norm == "full" and config.key_size * config.n_heads != config.d_model:
        yield "head_size", config.key_size, "d_model over n_heads"
    if name == "llama" and config.d_model % config.n_heads:
        yield "n_heads", config.n_heads, f"a divisor of d_model ({config.d_model})"
    moe = [isinstance(block.ffn, MoELayer) for block in model.blocks]
    if moe != sorted(moe):
        yield "dense layers", "behind layers with experts", "dense layers in front of them"
    if any(moe) and not family.block:
        yield "layers with experts", sum(moe), "none"
    if not all(moe) and family.block and not dense_in_front(name):
        yield "dense layers", moe.count(False), "none"


def _strange_layers(name: str, model: LanguageModel) -> Iterator[Misfit]:
    """The same of the layers' other part."""
    family, routers = FAMILIES[name], [layer.router for layer in model.moe_layers]
    for number, block in enumerate(model.blocks):
        here, ffn = f"in layer {number}", block.ffn
        if ffn.activation != "swiglu":
            yield f"{here} the activation", repr(ffn.activation), "'swiglu'"
        if isinstance(ffn, DenseFFN):
            continue
        if ffn.capacity != NO_LIMIT:
            yield f"{here} the capacity", ffn.capacity, f"{NO_LIMIT}, in which no token is dropped"
        if ffn.router.name != family.router:
            yield f"{here} the router", repr(ffn.router.name), _routers_words(name, ffn.router)
        if ffn.router != routers[0]:
            yield f"{here} the router", ffn.router, f"that of the layers before, {routers[0]}"
        if "shared_w_down_FD" in ffn.params and not family.shared:
            yield (
                f"{here} shared experts",
                model.config.n_shared,
                f"none; {_with_shared()} have any",
            )
        for buffer, still in ACTING.items():
            stored = buffer == "select_bias_E" and family.select_bias
            if not stored and np.any(ffn.buffers.get(buffer, still) != still):
                yield f"{here} a {buffer}", f"that is not {still:g}", _bias_words(buffer)


def _check_router(name: str, number: int, layer: MoELayer, spec: LayerSpec) -> None:
    """Compare with what the layer's own part of config.json means."""
    mine, theirs = layer.router.options(), spec.router.options()
    for option, value in mine.items():
        if value != theirs[option]:
            raise ValueError(
                f"model: got in layer {number} the router's {option}={value!r}, allowed in the "
                f"layout {name} is {theirs[option]!r}"
            )
    groups = getattr(layer.router, "n_group", 1)
    if layer.n_experts < 2 * groups and spec.family.select_bias:
        raise ValueError(
            f"model: got in layer {number} {layer.n_experts} experts in {groups} groups, allowed "
            f"in the layout {name} are groups of at least 2"
        )
    others = sorted(set(layer.params) - set(spec.array_shapes()))
    if others:
        raise ValueError(
            f"model: got in layer {number} {shown(others[0])}, which the layout {name} has not; "
            f"allowed are {', '.join(spec.array_shapes())}"
        )


def _routers_words(name: str, router: Router) -> str:
    """Which router a layout has, and which layouts have the router that was given."""
    words = repr(FAMILIES[name].router)
    others = [one for one in LAYOUTS if FAMILIES[one].block and FAMILIES[one].router == router.name]
    return f"{words}; {' and '.join(others)} have {router.name!r}" if others else words


def _with_shared() -> str:
    return " and ".join(name for name in LAYOUTS if FAMILIES[name].shared)


def _bias_words(buffer: str) -> str:
    """Which layouts have the buffer."""
    if buffer != "select_bias_E":
        return "1 for every expert"
    having = [name for name in LAYOUTS if FAMILIES[name].select_bias]
    return f"0 for every expert; {' and '.join(having)} have such a bias (router deepseek_v3)"
