"""Published tensors of a model's parts without experts: each is a view of one of its arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from ..checkpoints.layouts import USUAL_NAMES, Slot, View, linear_slots, transposed, whole
from ..experts import dense_name
from .config import LMConfig

Shapes = dict[str, tuple[int, ...]]


def shapes_around(config: LMConfig) -> Shapes:
    """Shapes of the arrays around the blocks."""
    d_model, n_vocab = config.d_model, config.n_vocab
    shapes: Shapes = {"embed_VD": (n_vocab, d_model), "gain_D": (d_model,)}
    return shapes if config.tied else shapes | {"out_DV": (d_model, n_vocab)}


def slots_around(config: LMConfig) -> Iterator[Slot]:
    """Tensors around the blocks."""
    d_model, n_vocab = config.d_model, config.n_vocab
    yield Slot("model.embed_tokens.weight", (n_vocab, d_model), "embed_VD", whole)
    yield Slot("model.norm.weight", (d_model,), "gain_D", whole)
    if not config.tied:
        yield Slot("lm_head.weight", (n_vocab, d_model), "out_DV", transposed)


def prefix_of(layer: int) -> str:
    """What stands in front of the names of a layer's tensors."""
    return f"model.layers.{layer}."


def block_shapes(config: LMConfig, dense: bool) -> Shapes:
    """Shapes of a block's arrays by name, those of experts left out."""
    n_heads, n_kv, key, value = config.head_shape
    d_model, width = config.d_model, config.dense_width
    shapes: Shapes = {"attention_gain_D": (d_model,), "ffn_gain_D": (d_model,)}
    if config.latent and config.q_rank:
        shapes |= {
            "attention.w_q_down_DR": (d_model, config.q_rank),
            "attention.q_gain_R": (config.q_rank,),
            "attention.w_q_up_RX": (config.q_rank, n_heads * key),
        }
    elif config.latent:
        shapes["attention.w_q_DX"] = (d_model, n_heads * key)
    if config.latent:
        shapes |= {
            "attention.w_kv_down_DX": (d_model, config.kv_rank + config.rotating),
            "attention.kv_gain_L": (config.kv_rank,),
            "attention.w_kv_up_LX": (config.kv_rank, n_heads * (key - config.rotating + value)),
        }
    else:
        shapes["attention.w_qkv_DX"] = (d_model, (n_heads + n_kv) * key + n_kv * value)
    shapes["attention.w_out_XD"] = (n_heads * value, d_model)
    if config.qk_norm != "none" and not config.latent:
        over = (n_heads, n_kv) if config.qk_norm == "width" else (1, 1)
        shapes |= {"attention.q_gain": (over[0] * key,), "attention.k_gain": (over[1] * key,)}
    if dense:
        shapes |= {"ffn.w_gate_up_D2F": (d_model, 2 * width), "ffn.w_down_FD": (width, d_model)}
    return shapes


def block_slots(config: LMConfig, dense: bool) -> Iterator[Slot]:
    """Tensors of a block without its experts, their names without `prefix_of` the layer."""
    d_model = config.d_model
    yield Slot("input_layernorm.weight", (d_model,), "attention_gain_D", whole)
    yield Slot("post_attention_layernorm.weight", (d_model,), "ffn_gain_D", whole)
    for slot in _latent_slots(config) if config.latent else _head_slots(config):
        yield replace(slot, name=f"self_attn.{slot.name}.weight", array=f"attention.{slot.array}")
    if dense:
        for slot in linear_slots(USUAL_NAMES, "mlp.", config.dense_width, d_model):
            yield replace(slot, array=f"ffn.{dense_name(slot.array)}")


def _head_slots(config: LMConfig) -> Iterator[Slot]:
    """Queries, keys and values stand side by side in one array, and apart in the file."""
    n_heads, n_kv, key, value = config.head_shape
    d_model, start = config.d_model, 0
    for name, width in (
        ("q_proj", n_heads * key),
        ("k_proj", n_kv * key),
        ("v_proj", n_kv * value),
    ):
        yield Slot(name, (width, d_model), "w_qkv_DX", _columns(start, width))
        start += width
    yield Slot("o_proj", (d_model, n_heads * value), "w_out_XD", transposed)
    if config.qk_norm != "none":
        over = (n_heads, n_kv) if config.qk_norm == "width" else (1, 1)
        yield Slot("q_norm", (over[0] * key,), "q_gain", whole)
        yield Slot("k_norm", (over[1] * key,), "k_gain", whole)


def _latent_slots(config: LMConfig) -> Iterator[Slot]:
    n_heads, _, key, value = config.head_shape
    d_model, rank, q_rank = config.d_model, config.kv_rank, config.q_rank
    if q_rank:
        yield Slot("q_a_proj", (q_rank, d_model), "w_q_down_DR", transposed)
        yield Slot("q_a_layernorm", (q_rank,), "q_gain_R", whole)
        yield Slot("q_b_proj", (n_heads * key, q_rank), "w_q_up_RX", transposed)
    else:
        yield Slot("q_proj", (n_heads * key, d_model), "w_q_DX", transposed)
    down, up = rank + config.rotating, n_heads * (key - config.rotating + value)
    yield Slot("kv_a_proj_with_mqa", (down, d_model), "w_kv_down_DX", transposed)
    yield Slot("kv_a_layernorm", (rank,), "kv_gain_L", whole)
    yield Slot("kv_b_proj", (up, rank), "w_kv_up_LX", transposed)
    yield Slot("o_proj", (d_model, n_heads * value), "w_out_XD", transposed)


def _columns(start: int, width: int) -> View:
    return partial(_transposed_columns, start, width)


def _transposed_columns(start: int, width: int, array: np.ndarray) -> np.ndarray:
    return transposed(array[:, start : start + width])
