"""Parameters of a language model by formula: all of them, and those that one token uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import check_choice
from .family import FAMILIES

if TYPE_CHECKING:
    from .model import ModelConfig

CONVENTIONS = ("with_input", "head_only", "neither")


@dataclass(frozen=True)
class Params:
    """Parameters by part, of the whole model.

    Attributes
    ----------
    attention
        Projections of all layers, with their biases and inner norms.
    dense
        Feed-forward networks of the layers without experts.
    experts, active_experts
        Routed experts: all, and the k a token uses.
    shared
        Shared experts, which every token uses.
    router
        Gates.
    norms
        Norms of the layers and the last one.
    embedding
        Table of input embeddings: a look-up, no arithmetic.
    head
        The output matrix; 0 if it is the input table again (tied).
    tied
        Whether it is. The product with it is computed all the same.
    """

    attention: int
    dense: int
    experts: int
    active_experts: int
    shared: int
    router: int
    norms: int
    embedding: int
    head: int
    tied: bool

    @property
    def total(self) -> int:
        """Everything that has to be stored; a tied table once, no multi-token prediction."""
        return self._body + self.experts + self.embedding + self.head

    def active(self, convention: str) -> int:
        """Parameters that one token uses, in one of the three conventions in print.

        Parameters
        ----------
        convention
            'with_input' counts the input table and the head, 'head_only' the head, which is
            what costs arithmetic, 'neither' none of the two. A tied table counts once.

        Raises
        ------
        ValueError
            If the convention is none of the three.
        """
        check_choice("convention", convention, CONVENTIONS)
        body = self._body + self.active_experts
        if convention == "neither":
            return body
        if convention == "head_only":
            return body + self.embedding  # head and table have the same size, tied or not
        return body + self.embedding + self.head

    @property
    def _body(self) -> int:
        return self.attention + self.dense + self.shared + self.router + self.norms


def attention_params(config: ModelConfig) -> int:
    """Weights, biases and inner norms of one attention layer."""
    d, h, kv, size = config.d_model, config.heads, config.kv_heads, config.head_dim
    family = FAMILIES[config.model_type]
    if config.attention == "mla":
        width = h * (config.qk_nope + config.qk_rope)
        query = d * width
        if config.q_lora:
            query = d * config.q_lora + config.q_lora * width + config.q_lora
        latent = d * (config.kv_lora + config.qk_rope) + config.kv_lora
        expand = config.kv_lora * h * (config.qk_nope + config.v_head)
        return query + latent + expand + h * config.v_head * d
    count = 2 * d * h * size + 2 * d * kv * size
    if family.qkv_bias:
        count += (h + 2 * kv) * size
    if family.output_bias:
        count += d
    if family.sinks:
        count += h
    count += {"": 0, "head": 2 * size, "full": (h + kv) * size}[family.qk_norm]
    return count


def kv_params(config: ModelConfig) -> int:
    """Weights and biases of plain attention's keys and values, which layers that share lack."""
    size = 2 * config.kv_heads * config.head_dim
    return size * (config.d_model + FAMILIES[config.model_type].qkv_bias)


def expert_params(config: ModelConfig) -> int:
    """Weights of one routed expert: gate, up and down."""
    bias = FAMILIES[config.model_type].expert_bias
    return 3 * config.d_model * config.d_ff_expert + bias * (
        2 * config.d_ff_expert + config.d_model
    )


def shared_params(config: ModelConfig) -> int:
    """Weights of the shared experts of one layer."""
    gate = config.d_model if FAMILIES[config.model_type].shared_gate else 0
    return 3 * config.d_model * config.d_ff_shared * config.shared_experts + gate


def router_params(config: ModelConfig) -> int:
    """Weights of one layer's gate."""
    family = FAMILIES[config.model_type]
    return config.experts * (config.d_model + family.router_bias + family.correction_bias)


def _norm_params(config: ModelConfig) -> int:
    return config.d_model * (2 if FAMILIES[config.model_type].norm_bias else 1)


def count_params(config: ModelConfig) -> Params:
    """Count the parameters of every part of the main model."""
    layers, moe = config.layers, config.moe_layers
    table = config.vocab * config.d_model
    return Params(
        attention=layers * attention_params(config)
        - (layers - config.cache_layers) * kv_params(config),
        dense=config.dense_layers * 3 * config.d_model * config.d_ff_dense,
        experts=moe * config.experts * expert_params(config),
        active_experts=moe * config.top_k * expert_params(config),
        shared=moe * shared_params(config),
        router=moe * router_params(config),
        norms=(2 * layers + 1) * _norm_params(config),
        embedding=table,
        head=0 if config.tied else table,
        tied=config.tied,
    )


def mtp_params(config: ModelConfig, active: bool = False) -> int:
    """Parameters of the multi-token-prediction modules, their shared table and head left out.

    A module is one more layer, a projection of two vectors to one, and three norms; no published
    total counts it. With `active`, only the experts that one token uses.
    """
    experts = config.top_k if active else config.experts
    layer = (
        attention_params(config)
        + 2 * _norm_params(config)
        + experts * expert_params(config)
        + shared_params(config)
        + router_params(config)
    )
    join = 2 * config.d_model**2 + 3 * config.d_model
    return config.mtp_layers * (layer + join)
