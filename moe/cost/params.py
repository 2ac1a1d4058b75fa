"""Parameters of a language model by formula: all of them, and those that one token uses."""

from __future__ import annotations

from dataclasses import dataclass

from ..checkpoints.families import FAMILIES
from ..errors import check_choice
from .mixers import latent
from .shape import Mixer, Shape

CONVENTIONS = ("with_input", "head_only", "neither")


@dataclass(frozen=True)
class Params:
    """Parameters by part, of the whole model.

    Attributes
    ----------
    attention
        Projections of all layers, with their biases and inner norms; what mixes tokens instead.
    dense
        Feed-forward networks of the layers without experts.
    experts, active_experts
        Routed experts: all, and the k a token uses.
    shared
        Shared experts, which every token uses.
    router
        Gates.
    norms
        Norms of the layers and the last one, and what else stands between layers, such as wider
        residual streams.
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


def attention_params(shape: Shape) -> int:
    """Weights, biases and inner norms of one attention layer."""
    d, h, kv, size = shape.d_model, shape.heads, shape.kv_heads, shape.head_dim
    family = FAMILIES[shape.model_type]
    if shape.attention == "mla":
        sizes = (shape.q_lora, shape.kv_lora, shape.qk_rope, shape.qk_nope, shape.v_head)
        return latent(d, h, *sizes)
    count = 2 * d * h * size + 2 * d * kv * size
    if family.qkv_bias:
        count += (h + 2 * kv) * size
    if family.output_bias:
        count += d
    if family.sinks:
        count += h
    count += {"": 0, "head": 2 * size, "full": (h + kv) * size}[family.qk_norm]
    return count


def kv_params(shape: Shape) -> int:
    """Weights and biases of plain attention's keys and values, which layers that share lack."""
    size = 2 * shape.kv_heads * shape.head_dim
    return size * (shape.d_model + FAMILIES[shape.model_type].qkv_bias)


def expert_params(shape: Shape) -> int:
    """Weights of one routed expert: gate, up and down."""
    bias = FAMILIES[shape.model_type].layout.biases
    width = shape.d_latent or shape.d_model
    return shape.matrices * width * shape.d_ff_expert + bias * (2 * shape.d_ff_expert + width)


def shared_params(shape: Shape) -> int:
    """Weights of the shared experts of one layer, and of what leads to the routed ones and back."""
    gate = shape.d_model if FAMILIES[shape.model_type].shared_gate else 0
    latent = 2 * shape.d_model * shape.d_latent
    networks = shape.matrices * shape.d_model * shape.d_ff_shared * shape.shared_experts
    return networks + gate + latent


def router_params(shape: Shape) -> int:
    """Weights of one layer's gate."""
    family = FAMILIES[shape.model_type]
    return shape.experts * (shape.d_model + bool(family.gate_bias) + bool(family.select_bias))


def _norm_params(shape: Shape) -> int:
    return shape.d_model * (2 if FAMILIES[shape.model_type].norm_bias else 1)


def count_params(shape: Shape) -> Params:
    """Count the parameters of every part of the main model."""
    layers, moe = shape.layers, shape.moe_layers
    own, without_kv = shape.attention_layers, shape.attention_layers - shape.cache_layers
    others = sum(mixer.layers * mixer.params for mixer in shape.mixers)
    table = shape.vocab * shape.d_model
    return Params(
        attention=own * attention_params(shape) - without_kv * kv_params(shape) + others,
        dense=shape.dense_layers * shape.matrices * shape.d_model * shape.d_ff_dense,
        experts=moe * shape.experts * expert_params(shape),
        active_experts=moe * shape.top_k * expert_params(shape),
        shared=moe * shared_params(shape),
        router=moe * router_params(shape),
        norms=(shape.layer_norms * layers + 1) * _norm_params(shape) + shape.other,
        embedding=table,
        head=0 if shape.tied else table,
        tied=shape.tied,
    )


def module_mixers(shape: Shape) -> tuple[Mixer, ...]:
    """What a multi-token-prediction module has beside attention, or instead where no layer has it.

    Of what a model has instead of attention it is the smallest.
    """
    beside = tuple(mixer for mixer in shape.mixers if mixer.beside)
    instead = (mixer for mixer in shape.mixers if not mixer.beside)
    if shape.attention_layers:
        return beside
    return (*beside, min(instead, key=lambda mixer: mixer.params))


def mtp_params(shape: Shape, active: bool = False) -> int:
    """Parameters of the multi-token-prediction modules, their shared table and head left out.

    A module is one more layer, with the model's attention or else the smallest of what it has
    instead, a projection of two vectors to one, and three norms; no published total counts it.
    With `active`, only the experts that one token uses.
    """
    experts = shape.top_k if active else shape.experts
    layer = (
        (attention_params(shape) if shape.attention_layers else 0)
        + sum(mixer.params for mixer in module_mixers(shape))
        + shape.layer_norms * _norm_params(shape)
        + experts * expert_params(shape)
        + shared_params(shape)
        + router_params(shape)
    )
    join = 2 * shape.d_model**2 + 3 * shape.d_model
    return shape.mtp_layers * (layer + join)
